import assert from 'node:assert/strict';

/**
 * What a timer, or whatever timer has a name, may be according to what was answered: `content` is the
 * mark that its URL and its body bear, `untilMs` when an answer said that this is over.
 */
export interface Possible {
  readonly content: string;
  /** Undefined where the answer that would have told it was lost. */
  readonly id: number | undefined;
  /** Not before. */
  readonly dueAtMs: number;
  readonly sinceMs: number;
  untilMs: number;
  /** Nobody was told its timer's id, and its name may have gone to another while it was being delivered. */
  isApart?: true;
}

/** What an answered change says of the timer. */
export interface Told {
  readonly id: number;
  readonly version: number;
  readonly content: string;
  readonly dueAtMs: number;
}

/**
 * All that callers know of one timer, or of one name, whose changes are asked for one after another.
 * An answer is final, and ends what was possible before; a change whose answer was lost leaves both
 * possible, what was and what it would have made.
 */
export class ChangeLog {
  readonly possible: Possible[] = [];
  /** What was asked and what came, in order, with the instants. */
  readonly answers: string[] = [];
  /** The timer as the last answer told it, if all later ones were refusals. */
  certain: Told | 'cancelled' | undefined;
  /** The last timer of it that an answer named. */
  id: number | undefined;
  #lastVersion = 0;
  #retriable: Possible[] = [];
  /** Being delivered, perhaps, when their name went to another: they go their own way since. */
  readonly #apart = new Set<number>();
  #isDoubtful = false;
  /** A change whose answer was lost may have raised it; a cancel does not tell. */
  #isVersionDoubtful = false;

  /** A change was answered 2xx with the timer; `detached` is the one beside which it was made. */
  changed(told: Told, sentAtMs: number, detached?: number): void {
    if (told.id === this.id) {
      const isNext = this.#isVersionDoubtful || told.version === this.#lastVersion + 1;
      const about = `timer ${told.id} is of version ${told.version} after ${this.#lastVersion}: ${this.answers.join('\n')}`;
      assert.ok(told.version > this.#lastVersion && isNext, about);
    }
    if (detached !== undefined) {
      this.#apart.add(detached);
      // It may be one whose own answer was lost: only now its id is known.
      for (const one of this.open()) if (one.id === undefined) this.#add({ ...one, id: detached });
    }
    this.#settle(told.id);
    this.possible.push({ ...told, sinceMs: sentAtMs, untilMs: Infinity });
    this.id = told.id;
    this.#lastVersion = told.version;
    this.#isVersionDoubtful = false;
    this.certain = told;
    this.#retriable = [];
  }

  cancelled(id: number): void {
    // Again: what it was before it was cancelled first can still be retried.
    if (this.open().length > 0) this.#retriable = this.open();
    this.#settle(id);
    this.certain = 'cancelled';
  }

  /** The answer to a change was lost: it may be of this content (as before if null) and due. */
  unknown(sentAtMs: number, made?: { content: string | null; dueAtMs: number | null }): void {
    this.certain = undefined;
    this.#isDoubtful = true;
    this.#isVersionDoubtful = true;
    if (made === undefined) {
      this.#retriable = [...this.#retriable, ...this.open()];
      return;
    }
    const { content, dueAtMs } = made;
    const before = [...this.open(), ...this.#retriable];
    // Two answers in a row were lost: that of the second would have told which timer it was made beside.
    for (const was of this.open()) if (was.id === undefined && content !== null) was.isApart = true;
    if (before.length === 0 && content !== null) {
      this.#add({ content, id: undefined, dueAtMs: dueAtMs ?? sentAtMs, sinceMs: sentAtMs });
    }
    for (const was of before) {
      // A name's change may have made a new timer of it.
      const ids = content === null ? [was.id] : [was.id, undefined];
      const due = { dueAtMs: dueAtMs ?? was.dueAtMs, sinceMs: sentAtMs };
      for (const id of ids) this.#add({ content: content ?? was.content, id, ...due });
    }
  }

  /** An answer was lost, and none has come since. */
  isDoubtful(): boolean {
    return this.#isDoubtful;
  }

  open(): Possible[] {
    return this.possible.filter(({ untilMs }) => untilMs === Infinity);
  }

  #add({ content, id, dueAtMs, sinceMs }: Omit<Possible, 'untilMs'>): void {
    const isKnown = this.open().some(
      (one) =>
        one.content === content &&
        one.id === id &&
        one.dueAtMs === dueAtMs &&
        one.sinceMs === sinceMs,
    );
    if (!isKnown) this.possible.push({ content, id, dueAtMs, sinceMs, untilMs: Infinity });
  }

  /** An answer about timer `id` has ended what was possible before. */
  #settle(id: number): void {
    const nowMs = Date.now();
    for (const possible of this.open()) {
      const isAnother = possible.id !== undefined && possible.id !== id;
      // A change whose answer was lost may have given the name to another.
      if (isAnother && this.#isDoubtful) this.#apart.add(possible.id);
      const isApart = isAnother ? this.#apart.has(possible.id) : possible.isApart === true;
      if (!isApart) possible.untilMs = nowMs;
    }
    this.#isDoubtful = false;
  }
}
