import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase } from '../support/database.ts';
import { assertProblem, request } from '../support/http.ts';

const db = await createTestDatabase();
const app = await startTestApp(db.url, { ROLES: 'api' });
after(async () => {
  await app[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});

// For filters to meet something.
for (const labels of [['a'], ['b', '1'], []]) {
  await app.post({ url: 'http://127.0.0.1:9/x', delay: 3_600, labels });
}

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
