import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { countMax, explain, type TimerStanding } from '../../src/core/blockers.ts';

const nowMs = 1_000_000;
const origin = 'https://api.example.com';

/** A timer that is due, that nobody holds, and that nothing keeps. */
function standing(over: Partial<TimerStanding> = {}): TimerStanding {
  return {
    nowMs,
    status: 'pending',
    nextAtMs: nowMs - 10,
    expiresAtMs: null,
    finishedAtMs: null,
    failureCode: null,
    attempts: 0,
    lastErrorCode: null,
    origin,
    owner: null,
    projectLane: null,
    destinationLane: null,
    settings: null,
    parkedIn: null,
    ahead: 0,
    isServed: true,
    ...over,
  };
}

const lane = {
  sinceMs: nowMs - 500,
  isClosed: false,
  reason: null,
  failingSinceMs: null,
  nextProbeAtMs: nowMs,
} as const;
const failing = {
  ...lane,
  isClosed: true,
  reason: 'failing',
  failingSinceMs: nowMs - 900,
  nextProbeAtMs: nowMs + 4_000,
} as const;
const limits = { isPaused: false, ratePerSecond: null, concurrencyMax: null };

const codeOf = (over: Partial<TimerStanding>) => explain(standing(over)).blocker.code;

test('each standing has its blocker', () => {
  const cases: [string, Partial<TimerStanding>][] = [
    ['ended', { status: 'failed', nextAtMs: null, finishedAtMs: nowMs, failureCode: 'expired' }],
    ['in_flight', { status: 'delivering', owner: { id: 1, expiresAtMs: nowMs + 1 } }],
    ['not_due', { nextAtMs: nowMs + 1 }],
    ['retry_wait', { nextAtMs: nowMs + 1, attempts: 1, status: 'retrying' }],
    ['project_paused', { projectLane: { state: 'closed', sinceMs: 1 } }],
    ['project_draining', { projectLane: { state: 'draining', sinceMs: 1 }, parkedIn: 'project' }],
    ['destination_paused', { settings: { ...limits, isPaused: true } }],
    ['breaker', { destinationLane: failing }],
    [
      'destination_disabled',
      { destinationLane: { ...failing, reason: 'disabled', nextProbeAtMs: null } },
    ],
    [
      'rate',
      { destinationLane: lane, parkedIn: 'destination', settings: { ...limits, ratePerSecond: 2 } },
    ],
    [
      'concurrency',
      {
        destinationLane: lane,
        parkedIn: 'destination',
        settings: { ...limits, concurrencyMax: 2 },
      },
    ],
    ['destination_busy', { destinationLane: lane, parkedIn: 'destination' }],
    ['lease', { owner: { id: 7, expiresAtMs: nowMs + 5_000 } }],
    ['lease', { owner: { id: 7, expiresAtMs: nowMs - 5 } }],
    ['lease', { owner: { id: 7, expiresAtMs: null } }],
    ['no_process', { isServed: false }],
    ['no_process', { isServed: false, owner: { id: 7, expiresAtMs: nowMs - 5 } }],
    ['claiming', {}],
    ['claiming', { projectLane: { state: 'draining', sinceMs: 1 } }],
    ['expiring', { expiresAtMs: nowMs }],
    ['claiming', { destinationLane: lane, settings: { ...limits, ratePerSecond: 2 } }],
  ];
  for (const [code, over] of cases) assert.equal(codeOf(over), code, JSON.stringify(over));
});

test('what would keep a timer that is not due yet comes after that, and counts for when it fires', () => {
  const nextAtMs = nowMs + 1_000;
  const { blocker, also, expectedAtMs } = explain(standing({ nextAtMs, destinationLane: failing }));
  assert.equal(blocker.code, 'not_due');
  assert.deepEqual(
    also.map(({ code }) => code),
    ['breaker'],
  );
  assert.equal(expectedAtMs, failing.nextProbeAtMs);
  const paused = explain(standing({ nextAtMs, projectLane: { state: 'closed', sinceMs: 1 } }));
  assert.equal(paused.expectedAtMs, null, 'nobody can say when it is resumed');
});

test('the widest comes first of what keeps a timer that is due', () => {
  const { blocker, also } = explain(
    standing({
      projectLane: { state: 'closed', sinceMs: 1 },
      destinationLane: failing,
      settings: { ...limits, isPaused: true, ratePerSecond: 1 },
      parkedIn: 'destination',
    }),
  );
  assert.equal(blocker.code, 'project_paused');
  assert.deepEqual(
    also.map(({ code }) => code),
    ['destination_paused', 'breaker'],
  );
});

test('one that expires before it can start is not expected any more', () => {
  const paused = { projectLane: { state: 'closed', sinceMs: 1 } } as const;
  const kept = explain(standing({ destinationLane: failing, expiresAtMs: nowMs + 3_000 }));
  assert.deepEqual(
    [kept.blocker.code, kept.also[0]?.code, kept.expectedAtMs],
    ['breaker', 'expiring', null],
  );
  const soon = explain(standing({ destinationLane: failing, expiresAtMs: nowMs + 5_000 }));
  assert.deepEqual([soon.also, soon.expectedAtMs], [[], failing.nextProbeAtMs]);
  const unknown = explain(standing({ ...paused, expiresAtMs: nowMs + 5_000 }));
  assert.deepEqual([unknown.also, unknown.expectedAtMs], [[], null], 'it may be resumed in time');
});

test('a rate says when its turn comes, unless too many are before it to count', () => {
  const settings = { ...limits, ratePerSecond: 2 };
  const shared = { destinationLane: lane, parkedIn: 'destination', settings } as const;
  assert.equal(explain(standing({ ...shared, ahead: 9 })).expectedAtMs, nowMs + 5_000);
  assert.equal(explain(standing({ ...shared, ahead: countMax })).expectedAtMs, null);
});

test('there is always one blocker, none twice, and nothing is expected in the past', () => {
  const instant = fc.integer({ min: nowMs - 100_000, max: nowMs + 100_000 });
  const maybe = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: null });
  const standings = fc.record<TimerStanding>({
    nowMs: fc.constant(nowMs),
    status: fc.constantFrom('pending', 'delivering', 'retrying'),
    nextAtMs: instant,
    expiresAtMs: maybe(instant),
    finishedAtMs: fc.constant(null),
    failureCode: fc.constant(null),
    attempts: fc.nat({ max: 5 }),
    lastErrorCode: fc.constantFrom(null, 'timeout', 'http_status'),
    origin: fc.constant(origin),
    owner: maybe(fc.record({ id: fc.nat(), expiresAtMs: maybe(instant) })),
    projectLane: maybe(
      fc.record({ state: fc.constantFrom('closed', 'draining'), sinceMs: instant }),
    ),
    destinationLane: maybe(
      fc.record({
        sinceMs: instant,
        isClosed: fc.boolean(),
        reason: fc.constantFrom(null, 'failing', 'slowed', 'disabled'),
        failingSinceMs: maybe(instant),
        nextProbeAtMs: maybe(instant),
      }),
    ),
    settings: maybe(
      fc.record({
        isPaused: fc.boolean(),
        ratePerSecond: maybe(fc.double({ min: 0.01, max: 100, noNaN: true })),
        concurrencyMax: maybe(fc.integer({ min: 1, max: 100 })),
      }),
    ),
    parkedIn: fc.constantFrom(null, 'project', 'destination'),
    ahead: fc.nat({ max: countMax }),
    isServed: fc.boolean(),
  });
  fc.assert(
    fc.property(standings, (given) => {
      const { blocker, also, expectedAtMs } = explain(given);
      const codes = [blocker, ...also].map(({ code }) => code);
      assert.equal(new Set(codes).size, codes.length, codes.join(' '));
      assert.ok(expectedAtMs === null || expectedAtMs >= nowMs);
      const isUnknowable = [blocker, ...also].some(({ untilMs }) => untilMs === null);
      assert.equal(expectedAtMs === null, isUnknowable, codes.join(' '));
      for (const { message } of [blocker, ...also]) assert.match(message, /^[A-Zh][^\n]+\.$/);
    }),
    { numRuns: 2_000 },
  );
});
