import { Type } from 'typebox';
import { horizonMs } from '../../core/due.ts';
import { statusClasses } from '../../core/retryPolicy.ts';

/** An instant as answers have it. */
export const instant = (description: string) =>
  Type.String({ format: 'date-time', description, examples: ['2030-01-31T12:00:00.250Z'] });

/**
 * Takes null as well. One schema with two types and no `anyOf`, which costs a validation of each
 * branch whenever such an answer is serialised.
 */
export function nullable<Schema extends Type.TSchema & { readonly type: string }>(schema: Schema) {
  const words = 'enum' in schema && Array.isArray(schema.enum) ? schema.enum : undefined;
  return Type.Unsafe<Type.Static<Schema> | null>({
    ...schema,
    type: [schema.type, 'null'],
    ...(words === undefined ? {} : { enum: [...words, null] }),
  });
}

/** One of some words. */
export function wordOf<const Word extends string>(
  words: readonly Word[],
  options: { description: string },
) {
  return { ...Type.Unsafe<Word>({ enum: words, ...options }), type: 'string' as const };
}

export const horizonSeconds = horizonMs / 1_000;

/** Weeks, days, hours, minutes and seconds, in either case, each with an optional fraction. */
const part = (unit: string) => String.raw`(\d+([.,]\d+)?[${unit}])?`;
const durationPattern = `^[Pp](?!.*[PpTt]$)${part('Ww')}${part('Dd')}([Tt]${part('Hh')}${part('Mm')}${part('Ss')})?$`;

/**
 * What core's `parseSpan` takes. In numbers the bounds are stated; of a duration's text only the form
 * is, its bounds are the same.
 */
export function span(options: {
  description: string;
  examples?: readonly (number | string)[];
  default?: unknown;
  isZeroTaken?: boolean;
  secondsMax?: number;
}) {
  const { isZeroTaken = true, secondsMax = horizonSeconds, ...rest } = options;
  return Type.Union(
    [
      Type.Number({
        title: 'seconds',
        ...(isZeroTaken ? { minimum: 0 } : { exclusiveMinimum: 0 }),
        maximum: secondsMax,
      }),
      Type.String({
        title: 'ISO 8601 duration',
        // Alone it matches "P" and "PT".
        minLength: 3,
        maxLength: 64,
        pattern: durationPattern,
      }),
    ],
    rest,
  );
}

/** Of several ways of saying a thing, at most one; the fields of one way go together. */
export function atMostOne(description: string, ways: readonly (readonly string[])[]) {
  const pairs = ways.flatMap((way, index) =>
    ways
      .slice(index + 1)
      .flatMap((other) => way.flatMap((one) => other.map((two) => ({ required: [one, two] })))),
  );
  return { description, not: { anyOf: pairs } };
}

/** What core's `RetriedStatus` is. */
export function retriedStatuses(options: {
  description: string;
  maxItems?: number;
  examples?: readonly (readonly unknown[])[];
}) {
  return Type.Array(
    Type.Union([
      Type.Integer({ title: 'status', minimum: 300, maximum: 599 }),
      Type.Unsafe<(typeof statusClasses)[number]>({ type: 'string', enum: statusClasses }),
    ]),
    options,
  );
}
