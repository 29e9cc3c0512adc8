import { test } from 'node:test';
import { lostReplies } from '../faults/lostReplies.ts';
import { killAtEachStage } from '../faults/stages.ts';

// The fault tests at a size for every day; `npm run test:faults` runs them in full.

void test('kill -9 at each stage of a timer', (t) => killAtEachStage(t));

void test('a reply lost between COMMIT and the answer', (t) => lostReplies(t, { repeats: 1 }));
