import { test } from 'node:test';
import { slowReceivers } from '../faults/slowReceivers.ts';

test('500 receivers that drip: each ends within a second of its deadline, memory grows by 50 MB at most', (t) =>
  slowReceivers(t, {
    count: 500,
    timeoutMs: 1_500,
    rounds: 2,
    lateMsMax: 1_000,
    grownMbMax: 50,
  }));
