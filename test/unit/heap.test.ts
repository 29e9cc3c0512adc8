import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createHeap } from '../../src/scheduler/heap.ts';

test('a heap gives its items back in order, whatever the order of pushes and pops', () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.integer())), (operations) => {
      const heap = createHeap<number>((a, b) => a < b);
      const model: number[] = [];
      for (const operation of operations) {
        if (operation === null) {
          model.sort((a, b) => a - b);
          assert.equal(heap.pop(), model.shift());
        } else {
          heap.push(operation);
          model.push(operation);
        }
        assert.equal(heap.size(), model.length);
        assert.equal(heap.peek(), model.length === 0 ? undefined : Math.min(...model));
      }
    }),
  );
});
