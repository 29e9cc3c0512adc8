import { test } from 'node:test';
import { changeRace } from './changeRace.ts';

// Races against the due instant, over two processes. One file, so that they run one after another: each
// wants the machine for itself. BELFRY_RACE_TIMERS sets the size; test/e2e runs them at one for every
// day.

const size = process.env['BELFRY_RACE_TIMERS'];
const timers = size === undefined ? 10_000 : Number(size);

const aroundDue = {
  timers,
  perSecond: 250,
  sentTo: 'either',
  earliestMs: 50,
  expected: { sentTo: 'owner', fromMs: 20, toMs: 50 },
} as const;

const acrossProcesses = {
  timers,
  perSecond: 250,
  sentTo: 'other',
  earliestMs: 400,
  expected: { sentTo: 'other', fromMs: 200, toMs: 400 },
} as const;

void test('a cancel within 50 ms of due is final, whichever process is asked', (t) =>
  changeRace(t, { ...aroundDue, wish: 'cancel' }));

void test('a move within 50 ms of due is final, whichever process is asked', (t) =>
  changeRace(t, { ...aroundDue, wish: 'move' }));

void test('a cancel sent to another process is final, and made if there is time', (t) =>
  changeRace(t, { ...acrossProcesses, wish: 'cancel' }));

void test('a move sent to another process is final, and made if there is time', (t) =>
  changeRace(t, { ...acrossProcesses, wish: 'move' }));
