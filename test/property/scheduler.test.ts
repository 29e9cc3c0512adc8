import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TimerId } from '../../src/core/ids.ts';
import type { TakenTimer } from '../../src/scheduler/scheduler.ts';
import { fakeTime, settled } from '../unit/fakes/time.ts';
import { schedulerWorld } from '../unit/fakes/world.ts';

const pick = fc.nat({ max: 1_000 });
const operation = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom('create', 'create and wake'),
      dueInMs: fc.integer({ min: -300, max: 2_500 }),
      projectId: fc.constantFrom(1, 1, 1, 2, 3, 4, 5, 6, 7),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('create claimed'),
      dueInMs: fc.integer({ min: -50, max: 1_900 }),
      isLost: fc.boolean(),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant('advance'), ms: fc.integer({ min: 1, max: 400 }) }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('take back'), pick }) },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constantFrom('commit', 'put back', 'unknown'), pick }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('succeed', 'fail', 'gone'), pick }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('admit') }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom('distrust', 'trust', 'break store', 'mend store', 'lose identity'),
    }),
  },
);

/**
 * The scheduler against rows in memory, in any order of events. What must hold:
 * nothing starts before it is due by the database's true clock; no attempt starts twice while the
 * identity is kept; after a committed take-back nothing starts; in the end everything that was not
 * cancelled has been finished; and nothing is held any more.
 */
test('in any order of events: never early, never twice, none lost, none after its cancel', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(operation, { minLength: 10, maxLength: 80, size: 'max' }),
      fc.integer({ min: 0, max: 30 }),
      fc.constantFrom(5, 1_000),
      async (operations, latencyMs, heldRowsMax) => {
        using time = fakeTime();
        const world = schedulerWorld(time, { latencyMs, heldRowsMax, startAtOnce: false });
        const { scheduler } = world;
        const created: TimerId[] = [];
        const taken = new Map<TimerId, TakenTimer>();
        const cancelled = new Map<TimerId, number>();
        let identityLosses = 0;
        scheduler.start();

        function endOne(pick: number, status: number): void {
          const underWay = world.underWay();
          const id = underWay[pick % underWay.length];
          if (id !== undefined) world.end(id, status);
        }

        for (const step of operations) {
          const chosen = 'pick' in step ? [...taken][step.pick % taken.size] : undefined;
          if ('dueInMs' in step && 'isLost' in step) {
            const reservation = scheduler.reserve(1);
            const id = world.insert(step.dueInMs, reservation ?? {});
            created.push(id);
            if (reservation === undefined) continue;
            if (step.isLost) reservation.lost();
            else reservation.settle([world.claimedAs(id, reservation)]);
          } else if ('dueInMs' in step) {
            const id = world.insert(step.dueInMs, { projectId: step.projectId });
            created.push(id);
            if (step.do === 'create and wake') scheduler.wake(world.rows.get(id)?.dueAtMs ?? NaN);
          } else if ('ms' in step) await time.advance(step.ms, 4);
          else if ('pick' in step && step.do === 'take back') {
            const id = created[step.pick % created.length];
            if (id === undefined) continue;
            const result = scheduler.takeBack(id);
            if (typeof result === 'object') taken.set(id, result);
            else if (result === 'not_held') assert.ok(!world.underWay().includes(id));
          } else if ('pick' in step && step.do === 'succeed') endOne(step.pick, 200);
          else if ('pick' in step && step.do === 'fail') endOne(step.pick, 500);
          else if ('pick' in step && step.do === 'gone') endOne(step.pick, 410);
          else if (chosen !== undefined) {
            const [id, takenTimer] = chosen;
            taken.delete(id);
            const row = world.rows.get(id);
            const { owner, claim } = takenTimer.timer;
            const isOurs = row !== undefined && row.owner === owner && row.claim === claim;
            if (step.do === 'commit' && isOurs) {
              world.rows.delete(id);
              cancelled.set(id, world.firings.length);
              takenTimer.done();
            } else if (step.do === 'commit') takenTimer.done();
            else if (step.do === 'put back') takenTimer.putBack();
            else takenTimer.unknown();
          } else if (step.do === 'admit') world.admit();
          else if (step.do === 'distrust') world.trust(false);
          else if (step.do === 'trust') world.trust(true);
          else if (step.do === 'break store') world.breakStore();
          else if (step.do === 'mend store') world.mendStore();
          else if (step.do === 'lose identity') {
            identityLosses += 1;
            world.changeIdentity();
          }
          await settled();
          if (heldRowsMax < 10) assert.ok(scheduler.held() <= heldRowsMax);
        }

        // Now all is well again: everything must come to its end.
        world.mendStore();
        world.trust(true);
        for (const { putBack } of taken.values()) putBack();
        for (let round = 0; round < 600 && world.rows.size > 0; round++) {
          world.admit();
          for (const id of world.underWay()) world.end(id);
          await time.advance(50, 25);
        }

        assert.equal(world.rows.size, 0, `unfinished: ${[...world.rows.keys()].join(', ')}`);
        assert.equal(scheduler.held(), 0);
        for (const [index, { id, attempt, dueAtMs, atMs }] of world.firings.entries()) {
          assert.ok(atMs >= dueAtMs, `timer ${id} was ${dueAtMs - atMs} ms early`);
          assert.ok(
            index < (cancelled.get(id) ?? Infinity),
            `timer ${id} started after its cancel`,
          );
          const same = world.firings.filter(
            (other) => other.id === id && other.attempt === attempt,
          );
          assert.ok(same.length <= 1 + identityLosses, `timer ${id} started ${same.length} times`);
        }
        for (const id of created) {
          assert.ok(cancelled.has(id) !== world.finished.has(id), `timer ${id} has one end`);
        }

        const aborted = new AbortController();
        aborted.abort();
        const stopping = scheduler.stop(aborted.signal);
        await time.advance(500, 250);
        await stopping;
      },
    ),
    { numRuns: 150 },
  );
});
