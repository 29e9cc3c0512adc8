import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { createDeadlines } from '../../src/delivery/deadlines.ts';

test('deadlines that end together are told a few in a turn, in their order', async () => {
  const deadlines = createDeadlines();
  const told: number[] = [];
  const users = Array.from({ length: 50 }, (_, nth) => ({ onDeadline: () => told.push(nth) }));

  for (const user of users) deadlines.set(20, user);
  let most = 0;
  for (let before = 0; told.length < users.length; before = told.length) {
    await turn();
    most = Math.max(most, told.length - before);
  }

  assert.deepEqual(
    told,
    users.map((_, nth) => nth),
  );
  assert.ok(most <= 8, `${most} in one turn`);
});

test('of thousands more are told in a turn, so that the last has not long to wait', async () => {
  const deadlines = createDeadlines();
  let told = 0;
  const user = { onDeadline: () => (told += 1) };

  for (let count = 0; count < 5_000; count++) deadlines.set(20, user);
  while (told === 0) await turn();
  let turns = 0;
  for (; told < 5_000; turns++) await turn();

  assert.ok(turns < 500, `${turns} turns`);
});

test('one that ends while others are told comes after them, a later one by itself', async () => {
  const deadlines = createDeadlines();
  const told: string[] = [];
  const user = (name: string) => ({ onDeadline: () => told.push(name) });

  deadlines.set(1, {
    onDeadline() {
      told.push('first');
      deadlines.set(1, user('set by the first'));
    },
  });
  deadlines.set(60, user('later'));
  await sleep(100);

  assert.deepEqual(told, ['first', 'set by the first', 'later']);
});

test('one that is cleared is not told', async () => {
  const deadlines = createDeadlines();
  let isTold = false;

  clearTimeout(deadlines.set(5, { onDeadline: () => (isTold = true) }));
  await sleep(30);

  assert.equal(isTold, false);
});
