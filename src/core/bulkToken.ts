import { createHmac, timingSafeEqual } from 'node:crypto';
import type { BulkTotals, BulkWish } from './bulkChange.ts';
import { invalidField } from './errors.ts';
import { fingerprintOf } from './timerFilter.ts';

/** How far a bulk change has come. */
export interface BulkState {
  /** Timers created from then on are not meant; milliseconds of the Unix epoch. */
  readonly createdBeforeMs: number;
  /** Where its walk from the newest timer down goes on; null at its beginning. */
  readonly place: { readonly beforeId: number; readonly fromId: number } | null;
  readonly totals: BulkTotals;
}

/** How long a token is good for. */
export const tokenTtlMs = 600_000;
const version = 1;
const takes = 'must be of a dry run of the same filter, or of the step before';

/**
 * Tokens of bulk changes: a state, signed (HMAC-SHA-256), so that nothing is changed that nobody has
 * counted before. Every process of an installation knows the same secret.
 */
export function createBulkTokens(options: { secret: string; nowMs: () => number }) {
  const { secret, nowMs } = options;

  function signed(content: string, { projectId, action, filter }: BulkWish): string {
    const about = fingerprintOf(filter, [projectId, action]);
    return createHmac('sha256', secret).update(`${about}.${content}`).digest('base64url');
  }

  return {
    write(state: BulkState, wish: BulkWish): string {
      const content = Buffer.from(JSON.stringify([version, nowMs(), state])).toString('base64url');
      return `${content}.${signed(content, wish)}`;
    },

    /** @throws BelfryError `validation_failed` that names `token`. */
    read(token: unknown, wish: BulkWish): BulkState {
      if (token === undefined) throw invalidField('token', takes);
      const [content = '', signature = ''] = typeof token === 'string' ? token.split('.') : [];
      const expected = Buffer.from(signed(content, wish));
      const given = Buffer.from(signature);
      if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
        throw invalidField('token', takes);
      }
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- its signature says that `write` wrote it
      const [itsVersion, writtenAtMs, state] = JSON.parse(
        Buffer.from(content, 'base64url').toString(),
      ) as [number, number, BulkState];
      if (itsVersion !== version || Math.abs(nowMs() - writtenAtMs) > tokenTtlMs) {
        throw invalidField('token', 'is older than 10 minutes: begin with another dry run');
      }
      return state;
    },
  };
}

export type BulkTokens = ReturnType<typeof createBulkTokens>;
