import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase } from '../support/database.ts';
import { assertProblem } from '../support/http.ts';
import { wholeTimers } from '../support/wholeTimers.ts';
import { anything, fuzzedTimers, instant, span } from '../support/fuzzedTimers.ts';

// A process that fires nothing: what is due stays as it is.
const db = await createTestDatabase();
const app = await startTestApp(db.url, { ROLES: 'api' });
after(async () => {
  await app[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});

const { target, createTimer, send, read, assertWhole } = wholeTimers(app);
const { fields, likely } = fuzzedTimers('http://127.0.0.1:9');
const nulls = fc.dictionary(
  fc.constantFrom('headers', 'body', 'timeout', 'retry', 'labels', 'metadata', 'expires_after'),
  fc.constant(null),
);
const someFields = fc
  .tuple(fields, fc.uniqueArray(fc.nat({ max: 20 }), { maxLength: 3 }))
  .map(([all, kept]) => {
    const entries = Object.entries(all);
    return Object.fromEntries(entries.filter((_, index) => kept.includes(index)));
  });
const patches = fc.oneof(someFields, likely, nulls, fc.record({ delay: span }), fc.jsonValue());

test('a PATCH of any JSON shape is made whole, or is a 4xx and changes nothing', async () => {
  const id = await createTimer();
  let made = 0;
  await fc.assert(
    fc.asyncProperty(patches, async (patch) => {
      const before = await read(`/timers/${id}`);
      const answer = await send('PATCH', `/timers/${id}`, patch);
      if (await assertWhole(answer, before)) made += 1;
      else assert.ok([400, 403].includes(answer.status), answer.text);
    }),
    { numRuns: 400 },
  );
  assert.ok(made > 20, `only ${made} were made: the generator misses the point`);
});

test('any If-Match is kept to, or a 400', async () => {
  const id = await createTimer();
  const tags = fc.oneof(
    fc.nat({ max: 20 }).map((version) => `"${version}"`),
    fc.constantFrom(
      '*',
      '"0"',
      '"01"',
      '"1", "2"',
      'W/"1"',
      '""',
      '"',
      '"9007199254740993"',
      '"1e0"',
      `"${'9'.repeat(40)}"`,
    ),
    fc.stringMatching(/^[ -~]{0,12}$/),
  );
  await fc.assert(
    fc.asyncProperty(tags, fc.boolean(), fc.nat(), async (tag, isCurrent, metadata) => {
      const before = await read(`/timers/${id}`);
      const current = `"${Number(before['version'])}"`;
      const wanted = isCurrent ? current : tag;
      const answer = await send('PATCH', `/timers/${id}`, { metadata }, { 'if-match': wanted });
      const isMade = await assertWhole(answer, before);
      assert.equal(isMade, wanted.trim() === current || wanted.trim() === '*', wanted);
      if (!isMade) assert.ok([400, 412].includes(answer.status), answer.text);
    }),
    { numRuns: 150 },
  );
});

test('a PUT by any key and of any JSON shape names a timer, or is a 4xx and changes nothing', async () => {
  const seed = await send('PUT', '/timers/by-key/fixed', { url: target, delay: 3_600 });
  assert.equal(seed.status, 201);
  const keys = fc.oneof(
    { weight: 4, arbitrary: fc.constant('fixed') },
    fc.string({ minLength: 1 }),
    fc.string({ unit: 'binary', minLength: 1 }),
    fc.constantFrom(
      '..',
      '%',
      '%00',
      'a/b',
      'a?b#c',
      '__proto__',
      'x'.repeat(255),
      'x'.repeat(256),
    ),
  );
  const sound = fc.record(
    { url: fc.constant(target), delay: fc.nat(), metadata: anything, json: anything },
    { requiredKeys: ['url'] },
  );
  const bodies = fc.oneof({ weight: 3, arbitrary: sound }, likely, fields, fc.jsonValue());
  let made = 0;
  await fc.assert(
    fc.asyncProperty(keys, bodies, async (key, body) => {
      const path = `/timers/by-key/${encodeURIComponent(key.toWellFormed())}`;
      // A client resolves those away.
      if (key === '.' || key === '..') return;
      const before = await read('/timers/by-key/fixed');
      const answer = await send('PUT', path, body);
      if (key === 'fixed') {
        if (await assertWhole(answer, before)) made += 1;
      } else if (answer.status >= 300) {
        assertProblem(answer, { status: answer.status });
        assert.ok([400, 403].includes(answer.status), answer.text);
      } else assert.equal((await read(path))['key'], key);
    }),
    { numRuns: 300 },
  );
  assert.ok(made > 20, `only ${made} were made: the generator misses the point`);
});

test('a retry of any body makes a cancelled timer live, or is a 4xx and leaves it cancelled', async () => {
  const id = await createTimer();
  await app.cancel(id);
  const bodies = fc.oneof(
    fc.record({ delay: span }),
    fc.record({ due_at: instant }),
    fc.record({ hours: span, seconds: span }, { requiredKeys: [] }),
    anything,
  );
  await fc.assert(
    fc.asyncProperty(bodies, async (body) => {
      const before = await read(`/timers/${id}`);
      const answer = await send('POST', `/timers/${id}/retry`, body);
      if (!(await assertWhole(answer, before))) assert.equal(answer.status, 400, answer.text);
      else assert.equal((await app.cancel(id)).status, 200);
    }),
    { numRuns: 200 },
  );
});

test('any Idempotency-Key creates once and is replayed, or is a 400', async () => {
  await fc.assert(
    fc.asyncProperty(fc.stringMatching(/^[ -~]{0,300}$/), async (key) => {
      const ask = () =>
        send('POST', '/timers', { url: target, delay: 60 }, { 'idempotency-key': key });
      const [first, second] = [await ask(), await ask()];
      assert.equal(first.status, second.status);
      if (first.status === 201)
        assert.equal(first.body['id'], second.body['id'], JSON.stringify(key));
      else assertProblem(first, { status: 400 });
    }),
    { numRuns: 100 },
  );
});
