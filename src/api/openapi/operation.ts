import type { RouteShorthandOptions } from 'fastify';
import type { TObject, TSchema } from 'typebox';
import type { ErrorCode } from '../../core/errors.ts';
import type { Need } from '../../core/principal.ts';
import { fieldsOnly, type JsonSchema } from '../schemas/fieldsOnly.ts';

/** A header, or a part of the path or the query. */
export interface Parameter {
  readonly schema: TSchema;
  readonly description: string;
  readonly required?: boolean;
}

export type Parameters = Readonly<Record<string, Parameter>>;

/** What a request may carry, by media type. */
export interface RequestContent {
  readonly description: string;
  /** Default: true. */
  readonly required?: boolean;
  readonly content: Readonly<Record<string, TSchema>>;
}

/** One status that a route answers with when nothing is wrong. */
export interface Answer {
  readonly description: string;
  readonly headers?: Parameters;
  /** JSON that is documented and serialised by this schema. */
  readonly body?: TSchema;
  /** What is documented alone, by media type: the handler writes it itself. */
  readonly content?: Readonly<Record<string, TSchema>>;
}

/** All that is known of a route: the document shows it, and Fastify is told what it needs of it. */
export interface Operation {
  readonly operationId: string;
  readonly tag:
    'timers' | 'tokens' | 'secrets' | 'destinations' | 'signatures' | 'operations' | 'reference';
  /** What the caller must be allowed; null: anybody may ask, also without a token. */
  readonly scope: Need | null;
  readonly summary: string;
  readonly description?: string;
  readonly path?: Parameters;
  /** Its properties are the parameters; others are refused. */
  readonly query?: TObject;
  readonly headers?: Parameters;
  /** A JSON object whose fields core reads: see `fieldsOnly`. */
  readonly body?: TObject;
  /** The body may be left out, and counts as an empty object then. Default: false. */
  readonly isBodyOptional?: boolean;
  /** What the handler reads itself. */
  readonly requestContent?: RequestContent;
  readonly answers: Readonly<Record<number, Answer>>;
  /** Every error that it can answer with; `internal` and those of a scope go without saying. */
  readonly problems: readonly ErrorCode[];
}

declare module 'fastify' {
  interface FastifyContextConfig {
    operation?: Operation;
  }
}

/**
 * The options of a route out of its description. Problems get no serialiser: the error handler writes
 * them, and a hundred schemas would be compiled at every start.
 */
export function described(operation: Operation) {
  const { body, query, answers } = operation;
  const serialised = Object.entries(answers).flatMap(([status, answer]) =>
    answer.body === undefined ? [] : [[status, answer.body] as const],
  );
  const schema: {
    body?: JsonSchema;
    querystring?: JsonSchema;
    response?: Record<string, TSchema>;
  } = {
    ...(body === undefined ? {} : { body: fieldsOnly(body) }),
    ...(query === undefined ? {} : { querystring: fieldsOnly(query) }),
    ...(serialised.length === 0 ? {} : { response: Object.fromEntries(serialised) }),
  };
  return { schema, config: { operation } } satisfies RouteShorthandOptions;
}
