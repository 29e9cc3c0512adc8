import type { SentRequest } from '../core/timer.ts';
import { version } from '../core/version.ts';

const userAgent = `Belfry/${version}`;

/**
 * The headers of an attempt, flat (name, value, …). `webhook-id` and `webhook-timestamp` are those
 * of the Standard Webhooks specification: the id is the same for every attempt of a timer.
 */
export function webhookHeaders(options: {
  webhookId: string;
  timestampMs: number;
  attempt: number;
  /** Undefined: it goes out unsigned. */
  signature?: string | undefined;
  /** The timer's own headers, checked at creation. */
  own: SentRequest['headers'];
}): string[] {
  const { webhookId, timestampMs, attempt, signature, own } = options;
  const headers = [
    'webhook-id',
    webhookId,
    'webhook-timestamp',
    String(timestampSeconds(timestampMs)),
    'belfry-attempt',
    String(attempt),
  ];
  if (signature !== undefined) headers.push('webhook-signature', signature);
  let hasUserAgent = false;
  for (const [name, value] of Object.entries(own ?? {})) {
    if (name.toLowerCase() === 'user-agent') hasUserAgent = true;
    for (const single of typeof value === 'string' ? [value] : value) headers.push(name, single);
  }
  if (!hasUserAgent) headers.push('user-agent', userAgent);
  return headers;
}

/** As `webhook-timestamp` has it, and as it is signed. */
export function timestampSeconds(timestampMs: number): number {
  return Math.floor(timestampMs / 1_000);
}
