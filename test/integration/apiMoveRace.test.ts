import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import { startTwoApps } from '../support/twoApps.ts';

const both = await startTwoApps({});
const { receiver, app, other, send, created } = both;
after(() => both[Symbol.asyncDispose]());

const count = 600;

test('timers moved around the instant that they are due fire at their new time or their old one, never both', async () => {
  const startedAtMs = Date.now();
  const moves = await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const dueAtMs = startedAtMs + 1_500 + index * 3;
      const id = await created({ due_at: new Date(dueAtMs).toISOString() });
      const planAtMs = dueAtMs - 50 + ((index * 7_919) % 100);
      await sleep(Math.max(0, planAtMs - Date.now()));
      const to = index % 2 === 0 ? app : other;
      const { status, body } = await send('PATCH', `/timers/${id}`, { delay: 3_600 }, { to });
      assert.ok(status === 200 || status === 409, `${status} ${JSON.stringify(body)}`);
      return { id, isMoved: status === 200 };
    }),
  );
  const late = moves.filter(({ isMoved }) => !isMoved).map(({ id }) => id);
  const arrivalsOf = (id: number) =>
    receiver.arrivals.filter(({ path }) => path === `/${id}`).length;
  await eventually('what was too late to move has arrived', () =>
    late.every((id) => arrivalsOf(id) > 0),
  );
  for (const { id, isMoved } of moves) {
    assert.equal(arrivalsOf(id), isMoved ? 0 : 1, `timer ${id}, moved: ${isMoved}`);
    const { body } = await app.get(`/timers/${id}`);
    if (isMoved) assert.partialDeepStrictEqual(body, { status: 'pending', version: 2 });
    else assert.equal(body['version'], 1);
  }
  assert.ok(late.length > 0 && late.length < count, `${late.length} of ${count} were too late`);
});
