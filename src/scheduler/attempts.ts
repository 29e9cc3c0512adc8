import {
  judgeAttempt,
  lostInRowMax,
  unprocessableTriesMax,
  type AttemptErrorCode,
  type AttemptRecord,
  type NotStartedReason,
  type Outcome,
  type Verdict,
} from '../core/attempt.ts';
import { emptyBook, type DestinationBook } from '../core/destination.ts';
import { assertNever, BelfryError } from '../core/errors.ts';
import type { TimerId } from '../core/ids.ts';
import { redactSample, secretTexts } from '../core/redaction.ts';
import type { RetryPolicy } from '../core/retryPolicy.ts';
import { loggedUrl } from '../core/target.ts';
import type { ClaimedTimer } from '../core/timer.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { PreparedRequest, Transport } from '../transport/transport.ts';
import type { Breaker } from './breaker.ts';
import type { Admission, Holding, Holdings } from './holdings.ts';
import { isSent, type SecretRequests } from './secretRequests.ts';
import type { SigningKeys } from './signingKeys.ts';

type Fence = Pick<ClaimedTimer, 'id' | 'owner' | 'claim'>;

/** What an attempt needs of the store before it starts. */
export interface AttemptStore {
  markStart(timer: Fence): Promise<boolean>;
  fetchBody(timer: Fence): Promise<Buffer | undefined>;
}

/** Where outcomes are recorded; resolves after the commit. */
export interface OutcomeRecorder {
  add(recording: {
    timer: ClaimedTimer;
    verdict: Verdict;
    attempt: AttemptRecord | null;
  }): Promise<'recorded' | 'stale' | 'refused'>;
}

/** Carries a due timer through its attempt: hand over, judge the outcome, have it recorded. */
export interface Attempts {
  /** The holding is in phase `handed`; from here on it is looked after until it is let go. */
  begin(holding: Holding): void;
  /** Takes a handed timer back: true means that it will not start. */
  recall(id: TimerId): boolean;
  /** Resolves when none is under way, or when `deadline` aborts. */
  quiet(deadline: AbortSignal): Promise<void>;
}

export function createAttempts(options: {
  store: AttemptStore;
  recorder: OutcomeRecorder;
  secrets: SecretRequests;
  /** None: nothing is set. */
  book?: Pick<DestinationBook, 'settingsOfUrl'>;
  signing: SigningKeys;
  transport: Transport;
  holdings: Holdings;
  /** The database's clock, at most. */
  databaseClock: { nowMs(): number };
  retryDefaults: RetryPolicy;
  log: Logger;
  metrics: Metrics;
  /** A number in [0, 1), for jitter. */
  random?: () => number;
  /** Whether an attempt of this timer may start: its owner's lease holds, and nothing is draining. */
  mayStart: (holding: Holding) => boolean;
  /** Whether its destination takes it, by rate and concurrency; undefined: not now. */
  admit: (timer: ClaimedTimer) => Admission | undefined | Promise<Admission | undefined>;
  breaker: Breaker;
  /** Its destination does not take it now: it is to wait for that elsewhere. */
  onRefused: (holding: Holding) => void;
  giveBack: (holding: Holding) => Promise<void>;
  /** A due timer waits in the heap again because trust in the lease has ended. */
  onLeaseEnded: () => void;
  /** A timer of this project has come to its end, as is recorded. */
  onEnded?: (projectId: number) => void;
  /** An outcome is recorded; the timer comes back in so many milliseconds, Infinity for never. */
  onRecorded: (retryInMs: number) => void;
}): Attempts {
  const { store, recorder, secrets, signing, transport, holdings, databaseClock } = options;
  const { retryDefaults, log, metrics, book = emptyBook, onEnded } = options;
  const {
    random = Math.random,
    mayStart,
    admit,
    breaker,
    onRefused,
    giveBack,
    onLeaseEnded,
    onRecorded,
  } = options;
  // Looking a label up costs more than counting.
  const results = {
    succeeded: metrics.attempts.labels('succeeded'),
    failed: metrics.attempts.labels('failed'),
    retry: metrics.attempts.labels('retry'),
  };
  let underWay = 0;
  let onQuiet: (() => void) | undefined;
  let lastChanceUnderWay = false;
  const lastChances = new Map<TimerId, (start: boolean) => void>();
  /** Those for whom it has to be asked elsewhere whether their destination takes them. */
  const admitting = new Map<TimerId, Holding>();

  async function lookAfter(holding: Holding): Promise<void> {
    underWay += 1;
    try {
      await handOver(holding);
    } catch (err) {
      log.error({ err, timerId: holding.timer.id }, 'an attempt could not be carried through');
      await recover(holding, err);
    } finally {
      underWay -= 1;
      if (underWay === 0) onQuiet?.();
    }
  }

  /** Given back, a timer that is at fault itself would be there again at once, for ever. */
  async function recover(holding: Holding, err: unknown): Promise<void> {
    if (err instanceof BelfryError || holding.phase === 'recording') return giveBack(holding);
    try {
      await quarantine(holding, String(err));
    } catch {
      await giveBack(holding);
    }
  }

  /** It cannot be processed: that counts as an attempt, and the last of a few ends it. */
  function quarantine(holding: Holding, detail: string): Promise<void> {
    const { nextAtMs } = holding.timer;
    const startedAtMs = databaseClock.nowMs();
    const latenessMs = Math.max(0, startedAtMs - nextAtMs);
    const shared = { startedAtMs, latenessMs, durationMs: 0, status: null } as const;
    return judge(holding, { ...shared, errorCode: 'unprocessable', detail });
  }

  function handOver(holding: Holding): Promise<void> {
    const { lostInRow, defect } = holding.timer;
    if (defect !== undefined) return quarantine(holding, defect);
    if (lostInRow >= lostInRowMax) {
      return record(holding, { kind: 'failed', code: 'attempts_lost' }, null);
    }
    if (holding.admission === undefined) {
      const admission = admit(holding.timer);
      if (admission instanceof Promise) return handOverOnce(holding, admission);
      if (admission === undefined) return Promise.resolve(onRefused(holding));
      holding.admission = admission;
    }
    return lostInRow === lostInRowMax - 1 ? alone(holding) : carry(holding);
  }

  async function handOverOnce(
    holding: Holding,
    asked: Promise<Admission | undefined>,
  ): Promise<void> {
    const { id } = holding.timer;
    admitting.set(id, holding);
    const admission = await asked;
    // Recalled meanwhile, and perhaps handed over anew.
    if (admitting.get(id) !== holding) return admission?.end();
    admitting.delete(id);
    if (admission === undefined) return onRefused(holding);
    holding.admission = admission;
    return handOver(holding);
  }

  /**
   * Timers whose next loss would end them go one at a time, from the mark of their start until the
   * outcome is recorded. So if one of them is what kills the process, it dies alone: together, 50
   * that were due at the same instant all failed with it.
   */
  async function alone(holding: Holding): Promise<void> {
    if (lastChanceUnderWay) {
      const start = await new Promise<boolean>((resolve) =>
        lastChances.set(holding.timer.id, resolve),
      );
      if (!start) return;
    }
    lastChanceUnderWay = true;
    try {
      await carry(holding);
    } finally {
      const [next] = lastChances;
      lastChanceUnderWay = next !== undefined;
      if (next !== undefined) {
        lastChances.delete(next[0]);
        next[1](true);
      }
    }
  }

  async function carry(holding: Holding): Promise<void> {
    const { timer } = holding;
    const { request } = timer;
    const isWhole =
      isSent(request) && book.settingsOfUrl(timer.projectId, request.url) === undefined;
    let sent: readonly string[] = [];
    const tellSecrets = (secrets: readonly string[]) => {
      sent = secrets;
    };
    const outcome = await transport.deliver({
      timerId: timer.id,
      projectId: timer.projectId,
      attempt: timer.attempts + 1,
      request: isWhole ? request : { ...request, headers: null },
      dueAtMs: timer.nextAtMs,
      expiresAtMs: timer.expiresAtMs,
      mayStart: () => mayStart(holding),
      prepare: () => prepareAtOnce(timer) ?? prepare(timer, tellSecrets),
      onStart: () => {
        holding.phase = 'started';
      },
    });
    // Its place at the destination is free; that what came of it is recorded is our business.
    if (outcome.kind === 'attempted') holding.admission?.end();
    await settle(holding, withoutSecrets(outcome, sent));
  }

  /** Where nothing is left to do and the keys are known, as of most attempts. Costs no promise. */
  function prepareAtOnce(timer: ClaimedTimer): PreparedRequest | undefined {
    const { request } = timer;
    if (timer.lostInRow > 0 || timer.bodyDeferred || !isSent(request)) return undefined;
    if (book.settingsOfUrl(timer.projectId, request.url) !== undefined) return undefined;
    const signingKeys = signing.known(timer.projectId, request.url);
    return signingKeys && { request, signingKeys };
  }

  /**
   * Makes the start of a suspicious timer durable, fetches a body that was left behind, and puts in
   * what the destination adds, the secrets and the keys that sign: last, so that they are as fresh as can be.
   */
  async function prepare(
    timer: ClaimedTimer,
    tellSecrets: (secrets: readonly string[]) => void,
  ): Promise<PreparedRequest | AttemptErrorCode | undefined> {
    if (timer.lostInRow > 0 && !(await store.markStart(timer))) return undefined;
    const body = timer.bodyDeferred ? await store.fetchBody(timer) : timer.request.body;
    if (body === undefined) return undefined;
    const settings = book.settingsOfUrl(timer.projectId, timer.request.url);
    const [resolved, signingKeys] = await Promise.all([
      settings === undefined && isSent(timer.request)
        ? { request: timer.request, secrets: [] }
        : secrets.resolve(timer, settings),
      signing.read(timer.projectId, timer.request.url),
    ]);
    if (typeof resolved === 'string') return resolved;
    if (signingKeys === 'secret_unreadable') return signingKeys;
    tellSecrets(resolved.secrets);
    return { request: { ...resolved.request, body }, signingKeys };
  }

  function settle(holding: Holding, outcome: Outcome): Promise<void> {
    switch (outcome.kind) {
      case 'attempted':
        return judge(holding, outcome.attempt);
      case 'not_started':
        metrics.notStarted.inc({ reason: outcome.reason });
        return settleUnstarted(holding, outcome.reason);
      default:
        return assertNever(outcome);
    }
  }

  function judge(holding: Holding, attempt: AttemptRecord): Promise<void> {
    const { timer } = holding;
    const verdict = judgeAttempt({
      attempt,
      failures: timer.failures + 1,
      ageMs: attempt.startedAtMs + attempt.durationMs - timer.dueAtMs,
      policy: policyFor(timer, attempt),
      random,
    });
    observe(timer, attempt, verdict);
    breaker.observe(timer, attempt, holding.admission?.isProbe === true);
    return record(holding, verdict, attempt);
  }

  function policyFor({ retry }: ClaimedTimer, { errorCode }: AttemptRecord): RetryPolicy {
    if (errorCode !== 'unprocessable') return retry ?? retryDefaults;
    metrics.unprocessable.inc({ what: 'attempt' });
    return { ...retryDefaults, attemptsMax: unprocessableTriesMax };
  }

  async function settleUnstarted(holding: Holding, reason: NotStartedReason): Promise<void> {
    switch (reason) {
      case 'expired':
        return record(holding, { kind: 'failed', code: 'expired' }, null);
      case 'lease_ended':
        // A lapse of trust may pass: the timer waits on. If its identity is gone, it goes with it.
        holdings.wait(holding);
        return onLeaseEnded();
      case 'recalled':
        // It belongs to whoever recalled it.
        return;
      case 'taken_over':
        return forgo(holding);
      case 'not_prepared':
        return giveBack(holding);
      case 'crowded':
        return onRefused(holding);
      default:
        assertNever(reason);
    }
  }

  async function record(
    holding: Holding,
    verdict: Verdict,
    attempt: AttemptRecord | null,
  ): Promise<void> {
    holding.phase = 'recording';
    const { timer } = holding;
    const written = await recorder.add({ timer, verdict, attempt });
    if (written === 'refused') return recordLess(holding, verdict, attempt);
    if (written === 'stale') return forgo(holding);
    holdings.remove(holding);
    if (verdict.kind === 'retry') return onRecorded(verdict.delayMs);
    onEnded?.(timer.projectId);
    onRecorded(Infinity);
  }

  /**
   * The database takes other outcomes, not this one: without what was answered, then. If that is not what it
   * minds, it minds the row: it stays, is tried again much later, and the operator is told.
   */
  async function recordLess(
    holding: Holding,
    verdict: Verdict,
    attempt: AttemptRecord | null,
  ): Promise<void> {
    const { timer } = holding;
    const bare = attempt && withoutResponse(attempt);
    const aside = { kind: 'retry', delayMs: asideMs(timer.failures) } as const;
    metrics.unprocessable.inc({ what: 'outcome' });
    log.error({ timerId: timer.id, verdict: verdict.kind }, 'the database refuses an outcome');
    for (const next of [verdict, aside]) {
      const written = await recorder.add({ timer, verdict: next, attempt: bare });
      if (written === 'stale') return forgo(holding);
      if (written === 'refused') continue;
      if (next.kind !== 'retry') onEnded?.(timer.projectId);
      break;
    }
    // What is refused even so is left with this process: given back, it would be sent again at once.
    holdings.remove(holding);
    onRecorded(Infinity);
  }

  /** The timer was taken over: what this process knows of it counts no more. */
  function forgo(holding: Holding): void {
    metrics.staleOutcomes.inc();
    log.warn({ timerId: holding.timer.id }, 'refused: the timer had been taken over meanwhile');
    holdings.remove(holding);
  }

  function observe(timer: ClaimedTimer, attempt: AttemptRecord, verdict: Verdict): void {
    results[verdict.kind].inc();
    // Of what is not sent there is none.
    if (attempt.errorCode !== 'unprocessable') metrics.lateness.observe(attempt.latenessMs / 1_000);
    log.info(
      {
        timerId: timer.id,
        attempt: timer.attempts + 1,
        verdict: verdict.kind,
        status: attempt.status,
        errorCode: attempt.errorCode,
        // Left out of the line when there is none.
        detail: attempt.detail,
        latenessMs: attempt.latenessMs,
        durationMs: attempt.durationMs,
        url: loggedUrl(timer.request.url),
      },
      'attempt',
    );
  }

  return {
    begin: (holding) => void lookAfter(holding),
    recall(id) {
      if (admitting.delete(id)) return true;
      const lastChance = lastChances.get(id);
      if (lastChance === undefined) return transport.recall(id);
      lastChances.delete(id);
      lastChance(false);
      return true;
    },
    async quiet(deadline) {
      if (underWay === 0 || deadline.aborted) return;
      await new Promise<void>((resolve) => {
        onQuiet = resolve;
        deadline.addEventListener('abort', () => resolve(), { once: true });
      });
    },
  };
}

function withoutResponse(attempt: AttemptRecord): AttemptRecord {
  const { startedAtMs, latenessMs, durationMs, status, errorCode } = attempt;
  return { startedAtMs, latenessMs, durationMs, status, errorCode };
}

/** 10 min, 40 min, …, a day: an outcome that cannot be recorded means that it is sent again. */
function asideMs(failures: number): number {
  return Math.min(86_400_000, 600_000 * 4 ** failures);
}

/** A receiver may answer with what it was sent. */
function withoutSecrets(outcome: Outcome, sent: readonly string[]): Outcome {
  if (sent.length === 0 || outcome.kind !== 'attempted') return outcome;
  const { attempt } = outcome;
  if (attempt.response === undefined) return outcome;
  const response = redactSample(attempt.response, secretTexts(sent));
  return { ...outcome, attempt: { ...attempt, response } };
}
