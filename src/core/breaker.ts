import { askedDelayMs, type AttemptRecord } from './attempt.ts';
import { assertNever } from './errors.ts';

/** What an attempt says of its destination: of the whole of it, not of one timer. */
export type Health =
  /** It answers; that may be a 404. */
  | { readonly kind: 'alive' }
  | { readonly kind: 'failing' }
  /** It asks for less (429, 503), for so long at least. */
  | { readonly kind: 'slowed'; readonly askedMs: number }
  /** Nothing: it was not asked. */
  | { readonly kind: 'unknown' };

/** Why a destination is closed: it fails, it asked for less, or it has failed for too long. */
export type BreakerReason = 'failing' | 'slowed' | 'disabled';

/** A breaker that is not closed, as people see it. */
export interface ShownBreaker {
  readonly origin: string;
  readonly reason: BreakerReason;
  readonly failingSinceMs: number;
  /** Null when there will be none: it is disabled. */
  readonly nextProbeAtMs: number | null;
  /** Probes that have failed. */
  readonly probes: number;
}

const requestTimeout = 408;
const slowingStatuses: ReadonlySet<number> = new Set([429, 503]);

const alive: Health = { kind: 'alive' };
const failing: Health = { kind: 'failing' };
const unknown: Health = { kind: 'unknown' };

/**
 * A receiver that answers is alive, whatever it says of one request: a path that is gone does not make
 * its host a dead one. Statuses from 500 on, 408, and all that brings no answer are failures of it.
 */
export function healthAfter(attempt: AttemptRecord): Health {
  const { errorCode, status } = attempt;
  switch (errorCode) {
    case null:
    case 'redirect':
      return alive;
    case 'http_status':
      if (status === null) return unknown;
      if (slowingStatuses.has(status)) return { kind: 'slowed', askedMs: askedDelayMs(attempt) };
      return status >= 500 || status === requestTimeout ? failing : alive;
    case 'timeout':
    case 'dns_failed':
    case 'connection_refused':
    case 'connection_failed':
    case 'connection_reset':
    case 'tls_failed':
    case 'tls_expired':
    case 'tls_untrusted':
    case 'tls_wrong_name':
    case 'tls_protocol':
    case 'response_invalid':
      return failing;
    case 'proxy_failed':
    case 'target_not_allowed':
    case 'request_invalid':
    case 'secret_missing':
    case 'secret_unreadable':
    case 'unprocessable':
    case 'lost':
      return unknown;
    default:
      return assertNever(errorCode);
  }
}
