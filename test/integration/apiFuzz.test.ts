import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { assertProblem, exchange, rawPost, request } from '../support/http.ts';
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

const anything = fc.oneof(fc.jsonValue(), fc.string({ unit: 'binary' }), fc.double());
const url = fc.oneof(
  { weight: 4, arbitrary: fc.constant(`${receiver.url}/x`) },
  fc.webUrl({ withFragments: true, withQueryParameters: true }),
  fc.string({ unit: 'binary' }).map((text) => `http://127.0.0.1/${text}`),
  fc.string({ unit: 'binary' }).map((text) => `http://${text}/`),
  anything,
);
const number = fc.oneof(
  fc.integer(),
  fc.double(),
  fc.integer().map(String),
  fc.constantFrom(0, -0, -1, 0.5, '1.5', ' 7 ', '', null, 1e308, '9'.repeat(30)),
  anything,
);
const span = fc.oneof(number, fc.constantFrom('PT1S', 'P1D', 'P1Y', 'PT0.001S', 'P', 'P99999999D'));
const instant = fc.oneof(
  fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
  fc.constantFrom('2050-01-01T00:00:00+14:00', '2050-13-01T00:00:00Z', '+275760-09-13T00:00:00Z'),
  anything,
);
const hotFields = fc.record(
  {
    url,
    hours: number,
    minutes: number,
    seconds: number,
    delay: span,
    due_at: instant,
    expires_after: span,
    append_id: fc.oneof(fc.boolean(), anything),
    __proto__: anything,
    method: fc.oneof(fc.constantFrom('GET', 'PUT'), anything),
    headers: fc.oneof(
      fc.dictionary(
        fc.oneof(fc.constantFrom('x-a', 'host', 'Webhook-Id', 'Content-Type'), fc.string()),
        fc.oneof(fc.string({ unit: 'binary' }), fc.array(fc.string()), anything),
      ),
      anything,
    ),
    body: fc.oneof(fc.string({ unit: 'binary' }), anything),
    body_base64: fc.oneof(fc.base64String(), anything),
    json: anything,
    timeout: span,
    retry: fc.oneof(
      fc.record(
        {
          max_attempts: number,
          base: span,
          factor: number,
          cap: span,
          jitter: number,
          max_age: span,
        },
        { requiredKeys: [] },
      ),
      anything,
    ),
    labels: fc.oneof(fc.array(fc.string({ unit: 'binary' })), anything),
    metadata: anything,
  },
  { requiredKeys: [] },
);
const likely = fc.record(
  {
    url: fc.constant(`${receiver.url}/x`),
    delay: span,
    expires_after: span,
    labels: fc.array(fc.string({ minLength: 1 }), { maxLength: 4 }),
    metadata: anything,
    json: anything,
    headers: fc.dictionary(fc.constantFrom('x-a', 'x-b'), fc.string()),
  },
  { requiredKeys: ['url'] },
);
const bodies = fc.oneof(
  { weight: 4, arbitrary: hotFields },
  { weight: 4, arbitrary: likely },
  { weight: 1, arbitrary: fc.jsonValue() },
);

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

const word = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('', '\u0000', '1'),
);
const parameter = fc.oneof(
  fc.tuple(
    fc.constant('status'),
    fc.oneof(fc.constantFrom('live', 'failed,pending', 'finished'), word),
  ),
  fc.tuple(fc.constantFrom('label', 'key', 'url_prefix', 'cursor'), word),
  fc.tuple(fc.constant('host'), fc.oneof(fc.domain(), fc.ipV4(), fc.webAuthority(), word)),
  fc.tuple(
    fc.constantFrom('due_after', 'due_before', 'created_after', 'created_before'),
    fc.oneof(
      fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
      fc.constantFrom(
        '0000-01-01T00:00:00Z',
        '9999-12-31T23:59:59.9999Z',
        '2030-01-01T00:00:00+14:00',
      ),
      word,
    ),
  ),
  fc.tuple(fc.constant('order'), fc.oneof(fc.constantFrom('newest', 'soonest'), word)),
  fc.tuple(fc.constant('limit'), fc.oneof(fc.integer({ min: -1, max: 600 }).map(String), word)),
  fc.tuple(fc.oneof(fc.constantFrom('__proto__', 'constructor'), word), word),
);
/** Percent-encoded, but for now and then a byte that is not. */
const encoded = fc.oneof(
  {
    weight: 9,
    arbitrary: parameter.map((pair) =>
      pair.map((text) => encodeURIComponent(text.toWellFormed())).join('='),
    ),
  },
  { weight: 1, arbitrary: fc.stringMatching(/^[a-z_=&%0-9+;,]*$/) },
);

test('any query of a list is a page or a 400 that names its fault', async () => {
  let answered = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(encoded, { maxLength: 3 }), async (pairs) => {
      const answer = await request(`${app.url}/timers?${pairs.join('&')}`);
      if (answer.status === 200) {
        answered += 1;
        assert.ok(Array.isArray(answer.body['timers']));
      } else assertProblem(answer, { status: 400 });
    }),
    { numRuns: 500 },
  );
  assert.ok(answered > 20, `only ${answered} were answered: the generator misses the point`);
});
