import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChangeLog } from '../faults/changeLog.ts';

const made = (content: string) => ({ content, dueAtMs: 0 });
const told = (id: number, content: string) => ({ id, version: 1, content, dueAtMs: 0 });
/** What may still be sent, of which timer. */
const open = (log: ChangeLog) => log.open().map(({ content, id }) => [content, id]);

test('an answer ends what was possible before, one that was lost does not', () => {
  const log = new ChangeLog();
  log.changed(told(1, 'a'), 0);
  log.unknown(1, made('b'));
  assert.deepEqual(open(log), [
    ['a', 1],
    ['b', 1],
    ['b', undefined],
  ]);
  log.changed({ ...told(1, 'c'), version: 3 }, 2);
  assert.deepEqual(open(log), [['c', 1]]);
});

test('of a name that went to another, what is being delivered goes its own way', () => {
  const log = new ChangeLog();
  log.changed(told(1, 'a'), 0);
  log.changed(told(2, 'b'), 1, 1);
  assert.deepEqual(open(log), [
    ['a', 1],
    ['b', 2],
  ]);
});

test('so does one whose own answer was lost, told of by the next', () => {
  const log = new ChangeLog();
  log.unknown(0, made('a'));
  log.changed(told(2, 'b'), 1, 1);
  assert.deepEqual(open(log), [
    ['a', 1],
    ['b', 2],
  ]);
  const other = new ChangeLog();
  other.unknown(0, made('a'));
  other.changed(told(1, 'b'), 1);
  assert.deepEqual(open(other), [['b', 1]], 'in its place');
});

test('and one beside which another was made whose answer was lost as well', () => {
  const log = new ChangeLog();
  log.unknown(0, made('a'));
  log.unknown(1, made('b'));
  log.changed(told(2, 'c'), 2);
  assert.deepEqual(open(log), [
    ['a', undefined],
    ['c', 2],
  ]);
});

test('answers that are lost one after another add no more than what they asked for', () => {
  const log = new ChangeLog();
  for (let change = 0; change < 12; change += 1) log.unknown(change, made(`c${change}`));
  assert.ok(log.possible.length < 100);
});
