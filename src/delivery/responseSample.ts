import type { IncomingHttpHeaders } from 'node:http';
import type { ResponseSample } from '../core/attempt.ts';

/** Of a response body so much is kept. */
export const sampleBytesMax = 4 * 1024;

const keptNames = [
  'belfry-retry',
  'content-type',
  'location',
  'retry-after',
  'server',
  'traceparent',
  'www-authenticate',
  'x-request-id',
] as const;
const keptLengthMax = 500;

/** Gathers what is kept of a response while it is read. */
export class ResponseSampler {
  #headers: Record<string, string> | null = null;
  #chunks: Buffer[] | undefined;
  #kept = 0;
  /** Bytes of the body that came in so far. */
  bytes = 0;

  head(headers: IncomingHttpHeaders): void {
    for (const name of keptNames) {
      const value = headers[name];
      if (value === undefined) continue;
      this.#headers ??= {};
      this.#headers[name] = String(value).slice(0, keptLengthMax);
    }
  }

  body(chunk: Buffer): void {
    this.bytes += chunk.length;
    if (this.#kept >= sampleBytesMax || chunk.length === 0) return;
    // A copy: what it is cut from is larger, and would stay in memory with it.
    const part = Buffer.from(chunk.subarray(0, sampleBytesMax - this.#kept));
    this.#kept += part.length;
    this.#chunks ??= [];
    this.#chunks.push(part);
  }

  /** Undefined when the response had neither. */
  sample(): ResponseSample | undefined {
    if (this.#headers === null && this.#chunks === undefined) return undefined;
    return {
      headers: this.#headers,
      body: this.#chunks === undefined ? null : Buffer.concat(this.#chunks),
      bytes: this.bytes,
    };
  }
}
