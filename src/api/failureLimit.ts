import type { FastifyReply } from 'fastify';
import { isIPv6 } from 'node:net';
import { BelfryError } from '../core/errors.ts';

/** So many wrong credentials from an address within the window, and it has to wait for its end. */
const failuresMax = 20;
const windowMs = 10_000;
const addressesMax = 10_000;
/** More refused tries than this within the window are a flood: its answers come one in so long. */
const floodFrom = 500;
const floodPauseMs = 20;
/** So many wait at a time; others are answered at once. */
const pausedMax = 1_000;

/** The fields of rateLimit.ts on the answer to an address that has to wait. */
export function showFailures(reply: FastifyReply, { code, retryAfterSeconds }: BelfryError): void {
  if (code !== 'rate_limited' || retryAfterSeconds === undefined) return;
  reply
    .header('ratelimit-policy', `"address";q=${failuresMax};w=${windowMs / 1_000}`)
    .header('ratelimit', `"address";r=0;t=${retryAfterSeconds}`);
}

interface Window {
  count: number;
  refused: number;
  endsAtMs: number;
  /** When a flood gets its next answer. */
  nextAnswerAtMs: number;
}

/**
 * Counts failures by address. Forgets the oldest address beyond a number: a crowd of addresses can
 * buy itself tries, but no memory.
 */
export function createFailureLimit(clock: { monotonicMs(): number }) {
  const windows = new Map<string, Window>();
  let paused = 0;

  return {
    /** @throws BelfryError `rate_limited`. */
    assertFew(address: string): void {
      const window = windows.get(originOf(address));
      if (window === undefined || window.count < failuresMax) return;
      const leftMs = window.endsAtMs - clock.monotonicMs();
      if (leftMs <= 0) return;
      window.refused += 1;
      const seconds = Math.ceil(leftMs / 1_000);
      throw new BelfryError(
        'rate_limited',
        `too many wrong credentials from this address: try again in ${seconds} s`,
        { retryAfterSeconds: seconds },
      );
    },
    add(address: string): void {
      const origin = originOf(address);
      const nowMs = clock.monotonicMs();
      const window = windows.get(origin);
      if (window !== undefined && nowMs < window.endsAtMs) {
        window.count += 1;
        return;
      }
      windows.delete(origin);
      windows.set(origin, {
        count: 1,
        refused: 0,
        endsAtMs: nowMs + windowMs,
        nextAnswerAtMs: nowMs,
      });
      if (windows.size > addressesMax) windows.delete(windows.keys().next().value ?? '');
    },
    /**
     * Calls `answer` with the refusal of a request: at once, but for an address that floods. Over
     * however many connections, that gets 50 a second, and leaves the process to others.
     */
    pace(address: string, answer: () => void): void {
      const window = windows.get(originOf(address));
      if (window === undefined || window.refused <= floodFrom || paused >= pausedMax) {
        return answer();
      }
      const nowMs = clock.monotonicMs();
      window.nextAnswerAtMs = Math.max(nowMs, window.nextAnswerAtMs) + floodPauseMs;
      paused += 1;
      setTimeout(() => {
        paused -= 1;
        answer();
      }, window.nextAnswerAtMs - nowMs);
    },
  };
}

/** Of IPv6 the /64: all of its addresses are one customer's. */
function originOf(address: string): string {
  if (!isIPv6(address) || address.includes('.')) return address;
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  const missing =
    tail === undefined ? 0 : 8 - groups.length - (tail === '' ? 0 : tail.split(':').length);
  const full = [...groups, ...Array.from({ length: missing }, () => '0')];
  return full.slice(0, 4).join(':');
}
