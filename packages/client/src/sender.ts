import { apiErrorOf, BelfryApiError, BelfryConnectionError } from './errors.ts';
import { retryDelayMs } from './retryDelay.ts';

/** `fetch`, or what behaves like it. */
export type FetchFunction = (url: string, init: RequestInit) => Promise<Response>;

/** What every call takes. */
export interface CallOptions {
  /** Gives the call up; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /**
   * Bound of the call in all, repetitions and waits included, in milliseconds: more than 0, less than
   * 2^31.
   */
  readonly timeoutMs?: number;
}

/** One request to the service. */
export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** From the service's root, query included. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON; text is sent as it is. */
  readonly body?: unknown;
  /**
   * Whether it may be sent again when nobody knows if the service has acted on it. It may always be
   * sent again when the service has said that it did not.
   */
  readonly isRepeatable: boolean;
  /** Statuses outside 2xx that are answers all the same. */
  readonly alsoTakes?: readonly number[];
}

export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Sends calls, and sends them again while that can help. */
export interface Sender {
  /**
   * @throws BelfryApiError when the service answers with an error that repeating does not help;
   * BelfryConnectionError when no answer comes; the signal's reason when the caller gives up.
   */
  send(call: Call, options?: CallOptions): Promise<Answer>;
}

export interface SenderOptions {
  readonly url: string;
  readonly token: string | undefined;
  readonly fetch: FetchFunction;
  readonly retries: number;
  readonly timeoutMs: number;
  readonly nowMs: () => number;
  readonly random: () => number;
  /** Resolves after so long, or once the signal is aborted. */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
}

export function createSender(options: SenderOptions): Sender {
  const { retries, nowMs, random, wait } = options;

  async function send(
    call: Call,
    { signal, timeoutMs = options.timeoutMs }: CallOptions = {},
  ): Promise<Answer> {
    checkTimeout(timeoutMs);
    const deadline = startDeadline(timeoutMs, signal);
    try {
      return await sendUntil(call, deadline);
    } finally {
      deadline.stop();
    }
  }

  async function sendUntil(call: Call, deadline: Deadline): Promise<Answer> {
    const untilMs = nowMs() + deadline.timeoutMs;
    for (let repetition = 1; ; repetition += 1) {
      const result = await attempt(call, deadline);
      if ('text' in result) return result;
      const kind = kindOf(result);
      const mayRepeat = kind === 'refused' || (kind === 'unclear' && call.isRepeatable);
      if (!mayRepeat || repetition > retries) throw result;
      const retryAfterMs = result instanceof BelfryApiError ? result.retryAfterMs : undefined;
      const delayMs = retryDelayMs(repetition, retryAfterMs, random);
      // Waiting longer than the call may take would only hide what was answered.
      if (nowMs() + delayMs >= untilMs) throw result;
      await wait(delayMs, deadline.signal);
      if (deadline.signal.aborted) deadline.throwReason(call, options.url);
    }
  }

  async function attempt(
    call: Call,
    deadline: Deadline,
  ): Promise<Answer | BelfryApiError | BelfryConnectionError> {
    const url = `${options.url}${call.path}`;
    try {
      const response = await options.fetch(url, initOf(call, options.token, deadline.signal));
      const { status, headers } = response;
      const text = await response.text();
      if (response.ok || call.alsoTakes?.includes(status) === true) return { status, text };
      return apiErrorOf({ status, headers, text }, nowMs());
    } catch (err) {
      if (deadline.signal.aborted) deadline.throwReason(call, options.url);
      return connectionErrorOf(url, err);
    }
  }

  return { send };
}

/** @throws TypeError for what setTimeout takes for 1 ms: Infinity, say. */
export function checkTimeout(timeoutMs: number): void {
  if (!(timeoutMs > 0 && timeoutMs < 2 ** 31)) {
    throw new TypeError('timeoutMs must be more than 0 and less than 2^31');
  }
}

function initOf(call: Call, token: string | undefined, signal: AbortSignal): RequestInit {
  const { method, body } = call;
  const headers: Record<string, string> = { accept: 'application/json', ...call.headers };
  if (token !== undefined) headers['authorization'] = `Bearer ${token}`;
  if (body === undefined) return { method, headers, signal, redirect: 'manual' };
  headers['content-type'] ??= 'application/json';
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  // Followed, a redirect would turn a POST into a GET. (`error` is not known to every runtime.)
  return { method, headers, body: text, signal, redirect: 'manual' };
}

/** `refused`: the service has not acted. `unclear`: it may have. `final`: repeating does not help. */
function kindOf(err: BelfryApiError | BelfryConnectionError): 'refused' | 'unclear' | 'final' {
  if (err instanceof BelfryConnectionError) {
    return err.reason === 'refused' ? 'refused' : 'unclear';
  }
  if (err.status === 429) return 'refused';
  // A proxy that lost the service midway. Some say 503 even then, so only the service's own counts.
  if (err.status === 502 || err.status === 504) return 'unclear';
  if (err.status !== 503) return 'final';
  return unclearCodes.has(err.code) ? 'unclear' : 'refused';
}

const unclearCodes = new Set<string>(['commit_unknown', 'unexpected_response']);

/** Where a runtime says so: no connection was made, so nothing was sent. */
const refusedCodes = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
  'ConnectionRefused',
]);

function connectionErrorOf(url: string, cause: unknown): BelfryConnectionError {
  const codes = codesOf(cause);
  const reason = codes.some((code) => refusedCodes.has(code)) ? 'refused' : 'network';
  const what = codes[0] ?? innermostMessage(cause);
  const message = `no answer from ${url}: ${what}`;
  return new BelfryConnectionError({ message, url, reason, cause });
}

function innermostMessage(err: unknown): string {
  if (!(err instanceof Error)) return String(err);
  return err.cause instanceof Error ? innermostMessage(err.cause) : err.message;
}

/** The codes of an error and its causes, the innermost first. */
function codesOf(err: unknown): string[] {
  if (!(err instanceof Error)) return [];
  const own = 'code' in err && typeof err.code === 'string' ? [err.code] : [];
  const inner = err instanceof AggregateError ? err.errors.flatMap(codesOf) : codesOf(err.cause);
  return [...inner, ...own];
}

interface Deadline {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Throws the caller's reason, or that time is up. */
  throwReason(call: Call, url: string): never;
  stop(): void;
}

/** Ends with the caller's signal or after so long. Made by hand: it leaves no listener behind. */
function startDeadline(timeoutMs: number, outer: AbortSignal | undefined): Deadline {
  const controller = new AbortController();
  const abort = () => controller.abort();
  const timer = setTimeout(abort, timeoutMs);
  if (outer?.aborted === true) abort();
  outer?.addEventListener('abort', abort);
  return {
    timeoutMs,
    signal: controller.signal,
    throwReason({ method, path }, url) {
      outer?.throwIfAborted();
      const message = `no answer to ${method} ${url}${path} within ${timeoutMs} ms`;
      throw new BelfryConnectionError({ message, url: `${url}${path}`, reason: 'timeout' });
    },
    stop() {
      clearTimeout(timer);
      outer?.removeEventListener('abort', abort);
    },
  };
}
