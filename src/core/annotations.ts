import { invalidField } from './errors.ts';
import { jsonText } from './jsonText.ts';

/** Any JSON value. */
export type Json =
  string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

export const labelsMax = 16;
export const labelLengthMax = 100;
export const metadataBytesMax = 4 * 1024;

/**
 * Checks `labels`: up to 16 different words to find the timer by. Null for none.
 * @throws BelfryError `validation_failed` that names `labels`.
 */
export function parseLabels(value: unknown): readonly string[] | null {
  if (value === undefined) return null;
  const takes = `must be a list of at most ${labelsMax} different strings of 1 to ${labelLengthMax} characters, without controls`;
  if (!Array.isArray(value) || value.length > labelsMax) throw invalidField('labels', takes);
  const labels = value.filter((label: unknown) => typeof label === 'string');
  if (labels.length < value.length || new Set(labels).size < labels.length) {
    throw invalidField('labels', takes);
  }
  if (!labels.every(isLabel)) throw invalidField('labels', takes);
  return labels.length === 0 ? null : labels;
}

/** Whether a timer may bear this label. */
export function isLabel(text: string): boolean {
  // eslint-disable-next-line no-control-regex
  const isOdd = !text.isWellFormed() || /[\u0000-\u001f\u007f]/.test(text);
  return text !== '' && text.length <= labelLengthMax && !isOdd;
}

/**
 * Checks `metadata`: any JSON value of at most 4 KiB, which is kept and shown but never sent. Null
 * for none (and for JSON's null).
 * @throws BelfryError `validation_failed` that names `metadata`.
 */
export function parseMetadata(value: unknown): Json {
  if (value === undefined) return null;
  const text = jsonText('metadata', value);
  if (Buffer.byteLength(text) > metadataBytesMax) {
    throw invalidField('metadata', `must be at most ${metadataBytesMax} bytes of JSON`);
  }
  // What PostgreSQL cannot keep: NUL, and halves of surrogate pairs, which JSON writes as escapes.
  if (/\\u(?:0000|d[89a-f])/i.test(text.replaceAll('\\\\', ''))) {
    throw invalidField('metadata', 'must not hold NUL characters or lone surrogates');
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it was parsed from JSON
  return value as Json;
}
