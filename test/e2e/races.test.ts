import { test } from 'node:test';
import { changeRace } from '../races/changeRace.ts';

// The races at a size for every day; `npm run test:races` runs them in full, and asks for 95 % of what
// came in time. Here other tests run beside them: that what is answered is true is what counts, and a
// machine on which requests take longer than the race lasts races further ahead of due.
const percentMin = 50;

const aroundDue = {
  timers: 800,
  perSecond: 200,
  sentTo: 'either',
  earliestMs: 50,
  percentMin,
  widening: 4,
  expected: { sentTo: 'owner', fromMs: 20, toMs: 50 },
} as const;

void test('a cancel around due is final, whichever process is asked', (t) =>
  changeRace(t, { ...aroundDue, wish: 'cancel' }));

void test('a move around due is final, whichever process is asked', (t) =>
  changeRace(t, { ...aroundDue, wish: 'move' }));

void test('a cancel sent to another process is final, and made if there is time', (t) =>
  changeRace(t, {
    wish: 'cancel',
    timers: 400,
    perSecond: 100,
    sentTo: 'other',
    earliestMs: 400,
    percentMin,
    widening: 2,
    expected: { sentTo: 'other', fromMs: 200, toMs: 400 },
  }));
