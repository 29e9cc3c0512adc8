import type { ResponseSample } from './attempt.ts';
import { secretShown } from './secretHeaders.ts';

/** Parts of a value that are secrets of their own: what stands behind `Bearer`, say. */
const partLengthMin = 8;
/** Of a value that is cut off at the end of a sample, so much must be there to be known. */
const cutLengthMin = 4;

/**
 * Everything by which a receiver can give the secrets of a request back: the values, their longer
 * parts, and both as JSON and URLs write them. Longest first.
 */
export function secretTexts(values: Iterable<string>): readonly string[] {
  const texts = new Set<string>();
  for (const value of values) {
    const parts = value.split(/[\s;,=]+/).filter((part) => part.length >= partLengthMin);
    for (const text of [value, ...parts]) {
      texts.add(text);
      texts.add(JSON.stringify(text).slice(1, -1));
      texts.add(encodeURIComponent(text));
      texts.add(text.split('/').map(encodeURIComponent).join('/'));
    }
  }
  texts.delete('');
  return [...texts].toSorted((a, b) => b.length - a.length);
}

/** What is kept of a response, without the secrets of its request. */
export function redactSample(sample: ResponseSample, texts: readonly string[]): ResponseSample {
  const { headers, body, bytes } = sample;
  return {
    headers:
      headers === null
        ? null
        : Object.fromEntries(
            // Long ones are cut off as well.
            Object.entries(headers).map(([name, value]) => [name, redact(value, texts, true)]),
          ),
    body: body === null ? null : redactBytes(body, texts, bytes > body.length),
    bytes,
  };
}

/** Bytes that are in no secret stay as they are: latin1 is one character a byte. */
function redactBytes(body: Buffer, texts: readonly string[], isCut: boolean): Buffer {
  const before = body.toString('latin1');
  const inUtf8 = texts.map((text) => Buffer.from(text, 'utf8').toString('latin1'));
  const after = redact(before, [...inUtf8, ...texts], isCut);
  return after === before ? body : Buffer.from(after, 'latin1').subarray(0, body.length);
}

function redact(text: string, texts: readonly string[], isCut: boolean): string {
  if (texts.length === 0) return text;
  // In one pass: what was put in is not looked at again.
  const any = new RegExp(texts.map(escaped).join('|'), 'g');
  const redacted = text.replaceAll(any, secretShown);
  return isCut ? withoutCutEnd(redacted, texts) : redacted;
}

function escaped(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`);
}

function withoutCutEnd(text: string, texts: readonly string[]): string {
  for (const secret of texts) {
    const longest = Math.min(secret.length - 1, text.length);
    for (let length = longest; length >= cutLengthMin; length--) {
      if (text.endsWith(secret.slice(0, length))) return text.slice(0, -length) + secretShown;
    }
  }
  return text;
}
