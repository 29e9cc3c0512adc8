import { BelfryError } from '../core/errors.ts';
import type { Quotas } from '../core/limits.ts';
import type { TimerId } from '../core/ids.ts';
import type { NewTimer, Timer } from '../core/timer.ts';
import type { TimerEdit } from '../core/timerChange.ts';
import { assertDueWithin, contentWithin, type QuotaRules } from '../core/timerQuotas.ts';
import type { Addition, QuotaKeeper } from './quotas.ts';

/** Holds the changes of timers against the quotas of their projects. */
export function createTimerLimits<Created>(options: {
  keeper: Pick<QuotaKeeper, 'hold' | 'ended'>;
  /** As known of the caller's project; undefined for none. */
  quotasOf: (projectId: number) => Quotas | undefined;
  rules: QuotaRules;
  /** What was answered before under the idempotency key of this one. */
  replayOf: (timer: NewTimer) => Promise<Created | undefined>;
}) {
  const { keeper, quotasOf, rules, replayOf } = options;

  function within(quotas: Quotas, timer: NewTimer): NewTimer {
    assertDueWithin(quotas, timer.due, rules);
    return contentWithin(quotas, timer, rules);
  }

  /** What `add` resolves with tells whether it has really added a timer. */
  async function held<Result>(
    of: { projectId: number; quotas: Quotas; addition: Addition },
    add: () => Promise<Result>,
    isAdded: (result: Result) => boolean,
  ): Promise<Result> {
    const holding = keeper.hold(of.projectId, of.quotas, of.addition);
    if (holding === undefined) return add();
    // Without a turn of the event loop where none is needed.
    const settle = typeof holding === 'function' ? holding : await holding;
    try {
      const result = await add();
      settle(isAdded(result));
      return result;
    } catch (err) {
      settle(err instanceof BelfryError && err.code === 'commit_unknown');
      throw err;
    }
  }

  /** Adds one that has been found within them. */
  function add<Result>(
    projectId: number,
    addition: Addition,
    commit: () => Promise<Result>,
    isAdded: (result: Result) => boolean,
  ): Promise<Result> {
    const quotas = quotasOf(projectId);
    return quotas === undefined ? commit() : held({ projectId, quotas, addition }, commit, isAdded);
  }

  async function createWithin(
    quotas: Quotas,
    timer: NewTimer,
    commit: (timer: NewTimer) => Promise<Created>,
    isAdded: (created: Created) => boolean,
  ): Promise<Created> {
    const { projectId } = timer;
    try {
      const meant = within(quotas, timer);
      const of = { projectId, quotas, addition: 'create' } as const;
      return await held(of, () => commit(meant), isAdded);
    } catch (err) {
      if (!isQuota(err)) throw err;
      const before = await replayOf(timer);
      if (before === undefined) throw err;
      return before;
    }
  }

  return {
    /** A live timer of this project has come to its end. */
    ended: keeper.ended,
    /** A replay of what was created before is none too many, whatever the quotas say by now. */
    create(
      timer: NewTimer,
      commit: (timer: NewTimer) => Promise<Created>,
      isAdded: (created: Created) => boolean,
    ): Promise<Created> {
      const quotas = quotasOf(timer.projectId);
      return quotas === undefined ? commit(timer) : createWithin(quotas, timer, commit, isAdded);
    },
    /** For what may be replaced in place as well as created: as far as the timer itself is concerned. */
    within(timer: NewTimer): NewTimer {
      const quotas = quotasOf(timer.projectId);
      return quotas === undefined ? timer : within(quotas, timer);
    },
    /** The edit, within what the project may; what it does not touch stays as it was. */
    edited(timer: Timer, edit: TimerEdit): TimerEdit {
      const quotas = quotasOf(timer.projectId);
      if (quotas === undefined) return edit;
      if (edit.due !== null) assertDueWithin(quotas, edit.due, rules);
      const { content } = edit;
      if (content === null) return edit;
      const { request, retry } = content;
      // What was allowed once may stay.
      const bytes = request.body?.length ?? 0;
      const bodyStays = bytes <= (timer.request.body?.length ?? 0);
      const retryStays = retry !== null && retry.attemptsMax <= (timer.retry?.attemptsMax ?? 0);
      const { bodyBytes, attempts, ...rest } = quotas;
      const asked = {
        ...rest,
        ...(bodyStays || bodyBytes === undefined ? {} : { bodyBytes }),
        ...(retryStays || attempts === undefined ? {} : { attempts }),
      };
      return { ...edit, content: contentWithin(asked, content, rules) };
    },
    /** The same store, whose timers count while they live. */
    counting<
      Wish extends { readonly projectId: number },
      Revival extends { readonly projectId: number },
      Named,
    >(store: {
      cancel(wish: Wish): Promise<boolean>;
      revive(wish: Revival): Promise<boolean>;
      createNamed(timer: NewTimer, from: TimerId | null): Promise<Named | undefined>;
    }) {
      return {
        async cancel(wish: Wish): Promise<boolean> {
          const isCancelled = await store.cancel(wish);
          if (isCancelled) keeper.ended(wish.projectId);
          return isCancelled;
        },
        revive: (wish: Revival) => add(wish.projectId, 'revive', () => store.revive(wish), Boolean),
        createNamed: (timer: NewTimer, from: TimerId | null) =>
          add(
            timer.projectId,
            'create',
            () => store.createNamed(timer, from),
            (created) => created !== undefined,
          ),
      };
    },
  };
}

function isQuota(err: unknown): boolean {
  return err instanceof BelfryError && err.code === 'quota_exceeded';
}
