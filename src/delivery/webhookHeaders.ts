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
  /** The timer's own headers, checked at creation. */
  own: SentRequest['headers'];
}): string[] {
  const { webhookId, timestampMs, attempt, own } = options;
  const headers = [
    'webhook-id',
    webhookId,
    'webhook-timestamp',
    String(Math.floor(timestampMs / 1_000)),
    'belfry-attempt',
    String(attempt),
  ];
  let hasUserAgent = false;
  for (const [name, value] of Object.entries(own ?? {})) {
    if (name.toLowerCase() === 'user-agent') hasUserAgent = true;
    for (const single of typeof value === 'string' ? [value] : value) headers.push(name, single);
  }
  if (!hasUserAgent) headers.push('user-agent', userAgent);
  return headers;
}
