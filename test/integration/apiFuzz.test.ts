import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { assertProblem, exchange, rawPost, request } from '../support/http.ts';
import { fuzzedTimers } from '../support/fuzzedTimers.ts';
import { contractOf } from '../support/openapi.ts';
import { startReceiver } from '../support/receiver.ts';

const db = await createTestDatabase();
const receiver = await startReceiver();
const app = await startTestApp(db.url, { ROLES: 'api' });
after(async () => {
  await app[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});

const contract = await contractOf(app.url);
const isDocumented = contract.validator('#/components/schemas/NewTimer');

const { bodies } = fuzzedTimers(receiver.url);

async function stored(): Promise<number> {
  const [row] = await sql<[number]>(db.database, 'SELECT count(*) FROM belfry.timers');
  return row?.[0] ?? -1;
}

test('a body of any JSON shape is a 201 that is stored, or a 4xx that names its fault and stores nothing', async () => {
  let taken = await stored();
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(bodies, async (body) => {
      const answer = await request(`${app.url}/timers`, {
        method: 'POST',
        body: JSON.stringify(body),
      });
      if (answer.status === 201) {
        taken += 1;
        accepted += 1;
        const id = Number(answer.body['id']);
        assert.ok(Number.isSafeInteger(id) && id > 0);
        assert.ok(Number(answer.body['time_left']) >= 0);
        const read = await request(`${app.url}/timers/${id}`);
        assert.equal(read.status, 200);
        assert.equal(read.body['due_at'], answer.body['due_at']);
        assert.equal(read.body['url'], answer.body['url']);
      } else {
        assertProblem(answer, { status: answer.status });
        assert.ok([400, 403].includes(answer.status), answer.text);
      }
      // A target that is not allowed is a 403 before the rest is looked at.
      if (!isDocumented(JSON.parse(JSON.stringify(body)))) assert.notEqual(answer.status, 201);
      assert.equal(await stored(), taken);
    }),
    { numRuns: 600 },
  );
  assert.ok(accepted > 20, `only ${accepted} were accepted: the generator misses the point`);
});

test('any bytes as a body, whatever their Content-Type, are a 201 or a 400', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.string().map(Buffer.from),
        fc.json().map(Buffer.from),
      ),
      fc.constantFrom(
        'application/json',
        'text/plain; charset=latin1',
        'x',
        'a/b;c=d;;',
        undefined,
      ),
      async (bytes, type) => {
        const before = await stored();
        const headers = type === undefined ? [] : [`content-type: ${type}`];
        const answer = await exchange(app.url, rawPost('/timers', Buffer.from(bytes), headers));
        assertProblem(answer, { status: 400 });
        assert.equal(await stored(), before);
      },
    ),
    { numRuns: 200 },
  );
});
