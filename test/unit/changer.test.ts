import assert from 'node:assert/strict';
import { test } from 'node:test';
import { timerIdFromDatabase } from '../../src/core/ids.ts';
import { createChanger, type ChangeFence, type ChangeStore } from '../../src/scheduler/changer.ts';

const id = timerIdFromDatabase(7);
const ownId = 5;

/** A changer whose process has begun an attempt of the timer, which the database says is `owner`'s. */
function changerAfterStart(owner: number | null) {
  const stored = {
    timer: { status: 'pending', nextAtMs: 1 },
    owner,
    ownerLapsedMs: owner === null ? null : -1_000,
    dueInMs: -5,
  } as const;
  const store: ChangeStore = {
    read: () => Promise.resolve(stored),
    ask: () => Promise.resolve(),
    pending: () => Promise.resolve([]),
    give: () => Promise.resolve(false),
    close: () => Promise.resolve(false),
    announce: () => Promise.resolve(),
    declareDead: () => Promise.resolve(),
  };
  const scheduler = { takeBack: () => 'started' as const };
  return createChanger({ store, own: { scheduler, owner: () => ownId } });
}

test('an attempt begun here makes it too late only while the timer is ours in the database', async () => {
  const fences: ChangeFence[] = [];
  const apply = (fence: ChangeFence) => {
    fences.push(fence);
    return Promise.resolve('changed');
  };
  const ours = await changerAfterStart(ownId).change(1, id, apply);
  assert.deepEqual([ours, fences], [{ kind: 'too_late', status: 'delivering' }, []]);
  // Taken over and moved while this process was paused, or waiting for its retry.
  const nobodys = await changerAfterStart(null).change(1, id, apply);
  assert.deepEqual([nobodys, fences], [{ kind: 'done', result: 'changed' }, [null]]);
});

test('who is known to hold it is asked at once, and what he has given back is changed', async () => {
  const calls: string[] = [];
  const call = <Value>(name: string, value: Value) => {
    calls.push(name);
    return Promise.resolve(value);
  };
  const held = {
    timer: { status: 'pending', nextAtMs: 1 },
    owner: 8,
    ownerLapsedMs: -1_000,
    dueInMs: 5_000,
  } as const;
  const changer = createChanger({
    store: {
      read: () => call('read', held),
      async ask(request) {
        await call(`ask ${request.owner}`, undefined);
        changer.answered(request.id);
      },
      pending: () => Promise.resolve([]),
      give: () => Promise.resolve(false),
      close: () => call('close', false),
      announce: () => Promise.resolve(),
      declareDead: () => Promise.resolve(),
    },
    own: { scheduler: { takeBack: () => 'not_held' }, owner: () => ownId },
  });
  const changed = await changer.change(1, id, () => call('apply', 'changed'), held);
  assert.deepEqual(
    [changed, calls],
    [{ kind: 'done', result: 'changed' }, ['ask 8', 'close', 'apply']],
  );
  calls.length = 0;
  // Of nobody, or of this process: it may be over by now.
  for (const owner of [null, ownId]) {
    await changer.change(1, id, () => call('apply', 'changed'), { ...held, owner });
  }
  assert.deepEqual(calls, ['apply', 'apply']);
});
