import { answerJson } from './answerJson.ts';
import { BelfryConnectionError } from './errors.ts';
import { randomKey } from './randomKey.ts';
import type { NewTimer } from './requests.ts';
import type { BatchResult } from './responses.ts';
import type { CallOptions, Sender } from './sender.ts';

export interface BatchOptions extends CallOptions {
  /**
   * Under which the same timers may be sent again, item by item. Default: a random one, so that
   * requests of this call that are repeated make each timer once. At most 200 visible ASCII
   * characters: the place of each request's first timer is added.
   */
  readonly idempotencyKey?: string;
}

/** What one request carries at the most. */
export const requestItemsMax = 10_000;
/** Text of one request, in UTF-16 units; a single timer that is longer goes alone. */
export const requestLengthMax = 8 * 1024 * 1024;

/**
 * Creates timers in requests of bounded size, one after another; yields a result for each, in order.
 * No more is taken from `timers` than the next request holds. `timeoutMs` bounds each request.
 */
export async function* sendBatch(
  sender: Sender,
  timers: Iterable<NewTimer> | AsyncIterable<NewTimer>,
  { idempotencyKey = randomKey(), ...options }: BatchOptions,
): AsyncGenerator<BatchResult> {
  let sent = 0;
  for await (const lines of requestsOf(timers)) {
    let rest = lines;
    // A line that the service cannot get past ends its answers there; what is behind is sent anew.
    while (rest.length > 0) {
      const results = await sendLines(sender, rest, `${idempotencyKey}-${sent}`, options);
      for (const [place, result] of results.entries()) yield { ...result, index: sent + place };
      sent += results.length;
      rest = rest.slice(results.length);
    }
  }
}

async function sendLines(
  sender: Sender,
  lines: readonly string[],
  key: string,
  options: CallOptions,
): Promise<readonly BatchResult[]> {
  const path = '/timers/batch';
  const answer = await sender.send(
    {
      method: 'POST',
      path,
      headers: { 'content-type': 'application/x-ndjson', 'idempotency-key': key },
      body: lines.join(''),
      isRepeatable: true,
    },
    options,
  );
  const results = answer.text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => answerJson<BatchResult>(answer, line));
  if (results.length === 0 || results.length > lines.length) {
    const message = `${results.length} results for a batch of ${lines.length} timers`;
    throw new BelfryConnectionError({ message, url: path, reason: 'network' });
  }
  return results;
}

async function* requestsOf(
  timers: Iterable<NewTimer> | AsyncIterable<NewTimer>,
): AsyncGenerator<readonly string[]> {
  let lines: string[] = [];
  let length = 0;
  for await (const timer of timers) {
    const line = `${JSON.stringify(timer)}\n`;
    if (
      lines.length >= requestItemsMax ||
      (length + line.length > requestLengthMax && length > 0)
    ) {
      yield lines;
      lines = [];
      length = 0;
    }
    lines.push(line);
    length += line.length;
  }
  if (lines.length > 0) yield lines;
}
