import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emptyLedger, take } from '../../src/core/quotaLedger.ts';
import { createQuotas, type LedgerStore } from '../../src/limits/quotas.ts';
import { BelfryError } from '../../src/core/errors.ts';

/** A keeper over a ledger in memory, on a clock of its own. */
function world() {
  const clock = { nowMs: 0, monotonicMs: () => clock.nowMs };
  const state = { ledger: emptyLedger, asked: 0, isDown: false };
  const store: LedgerStore = {
    take(wishes) {
      state.asked += 1;
      if (state.isDown) return Promise.reject(new BelfryError('store_unavailable', 'gone'));
      return Promise.resolve(
        wishes.map((wish) => {
          const [ledger, granted] = take(state.ledger, wish, clock.nowMs);
          state.ledger = ledger;
          return granted;
        }),
      );
    },
    recount: () => Promise.resolve(),
    kept: () => Promise.resolve([]),
  };
  const keeper = createQuotas({ store, clock, holder: 'a', onFailure: () => undefined });
  const hold = async (createsPerDay: number) => {
    const settle = await keeper.hold(1, { createsPerDay }, 'create');
    assert.ok(settle !== undefined);
    return settle;
  };
  return { clock, state, keeper, hold };
}

test('what nobody bounds is not asked for', () => {
  const { keeper, state } = world();
  assert.equal(keeper.hold(1, {}, 'create'), undefined);
  assert.equal(keeper.hold(1, { bodyBytes: 1 }, 'create'), undefined);
  assert.equal(keeper.hold(1, { createsPerDay: 1 }, 'revive'), undefined);
  assert.equal(state.asked, 0);
});

test('all that wait at a moment are asked for at once, and what is not used is given back', async () => {
  const { keeper, state, hold } = world();
  const settles = await Promise.all(Array.from({ length: 50 }, () => hold(100)));
  assert.ok(state.asked <= 2, `${state.asked}`);
  for (const [index, settle] of settles.entries()) settle(index < 20);
  await keeper.stop();
  assert.equal(state.ledger.created, 20);
  assert.deepEqual(state.ledger.holds, {});
});

test('a process that was paused uses nothing of what it had in stock', async () => {
  const { clock, state, keeper, hold } = world();
  const settles = await Promise.all(Array.from({ length: 10 }, () => hold(100)));
  for (const settle of settles) settle(false);
  const before = state.asked;
  (await hold(100))(true);
  assert.equal(state.asked, before, 'out of the stock');
  clock.nowMs += 5_000;
  (await hold(100))(true);
  assert.equal(state.asked, before + 1, 'asked for');
  await keeper.stop();
  assert.equal(state.ledger.created, 2);
});

test('without the database nothing is created, and nothing is lost of what was', async () => {
  const { state, keeper, hold } = world();
  (await hold(100))(true);
  state.isDown = true;
  await assert.rejects(Promise.all([hold(100), hold(100)]), { code: 'store_unavailable' });
  state.isDown = false;
  (await hold(100))(true);
  await keeper.stop();
  assert.equal(state.ledger.created, 2);
});
