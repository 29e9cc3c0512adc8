/**
 * Text forms of PostgreSQL arrays for `unnest($1::bigint[], …)`. Written out here because the
 * driver's own serialiser decides the type of every element anew; a flush has some thousand.
 */

export type Nullable<T> = T | null;

export function numberArray(values: readonly Nullable<number>[]): string {
  let out = '{';
  for (let index = 0; index < values.length; index++) {
    if (index > 0) out += ',';
    out += values[index] ?? 'NULL';
  }
  return `${out}}`;
}

export function booleanArray(values: readonly boolean[]): string {
  return `{${values.map((value) => (value ? 't' : 'f')).join(',')}}`;
}

export function textArray(values: readonly Nullable<string>[]): string {
  let out = '{';
  for (let index = 0; index < values.length; index++) {
    if (index > 0) out += ',';
    const value = values[index] ?? null;
    out += value === null ? 'NULL' : quoted(value);
  }
  return `${out}}`;
}

export function byteaArray(values: readonly Nullable<Buffer>[]): string {
  return `{${values.map((value) => (value === null ? 'NULL' : `"\\\\x${value.toString('hex')}"`)).join(',')}}`;
}

function quoted(value: string): string {
  return /["\\]/.test(value) ? `"${value.replace(/["\\]/g, '\\$&')}"` : `"${value}"`;
}
