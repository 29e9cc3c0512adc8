import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BelfryError } from '../../src/core/errors.ts';
import { parseRequestHeaders } from '../../src/core/requestHeaders.ts';
import { webhookHeaders } from '../../src/delivery/webhookHeaders.ts';
import { client, success } from './fakes/client.ts';
import { startReceiver } from '../support/receiver.ts';

const reserved =
  'expect upgrade keep-alive connection te host content-length trailer transfer-encoding'.split(
    ' ',
  );
const ordinary =
  'content-type content-encoding accept-encoding cookie date range age user-agent authorization server set-cookie __proto__'.split(
    ' ',
  );
const names = fc.oneof(
  fc.constantFrom(...reserved, ...ordinary),
  fc.string({ maxLength: 12 }),
  fc.stringMatching(/^[!#$%&'*+.^_`|~0-9a-zA-Z-]{1,20}$/),
);
const value = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.stringMatching(/^[\t -~\u0080-\u00ff]{0,30}$/),
  fc.constantFrom('', ' ', '\t', 'a\r\nb: c', '100-continue', 'close', '0', '\u00ff'),
);
const headers = fc.dictionary(names, fc.oneof(value, fc.array(value, { maxLength: 3 })), {
  maxKeys: 5,
});

test('T26: whatever headers are taken at create travel, and the destination never gets stuck', async () => {
  await using receiver = await startReceiver((res, { path }) => {
    res.statusCode = path === '/x/7' ? 200 : 404;
    res.end();
  });
  await using http = client();
  let sent = 0;
  await fc.assert(
    fc.asyncProperty(headers, async (given) => {
      let own: ReturnType<typeof parseRequestHeaders>;
      try {
        own = parseRequestHeaders(given);
      } catch (err) {
        assert.ok(err instanceof BelfryError, String(err));
        return;
      }
      sent += 1;
      const all = webhookHeaders({ webhookId: 'a_7', timestampMs: 5_000, attempt: 1, own });
      const result = await http.send(receiver.url, { headers: all, timeoutMs: 5_000 });
      assert.deepEqual(result, success);
      const arrived = receiver.arrivals.at(-1)?.headers ?? {};
      assert.equal(arrived['webhook-id'], 'a_7');
      assert.equal(arrived['content-length'], '0');
      assert.equal(arrived['transfer-encoding'], undefined);
    }),
    { numRuns: 600 },
  );
  assert.ok(sent > 100, `${sent} of them were sent`);
});
