import type { FastifyError, FastifySchemaValidationError } from 'fastify';
import { BelfryError, errorCatalogue, type ErrorCode, type FieldProblem } from '../core/errors.ts';

/** RFC 9457 problem details, with a stable `code` and, for bad input, the fields. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly fields?: readonly FieldProblem[];
  /** Of `quota_exceeded`: which, how much there may be and is. */
  readonly quota?: string;
  readonly limit?: number;
  readonly used?: number;
}

export const problemContentType = 'application/problem+json; charset=utf-8';

/** Seconds after which a client may try again, for errors that pass. */
export const retryAfterSeconds = 1;

export function problemOf(err: BelfryError): Problem {
  const { status, title } = errorCatalogue[err.code];
  return {
    type: `urn:belfry:problem:${err.code}`,
    title,
    status,
    code: err.code,
    detail: err.message,
    ...(err.fields.length > 0 ? { fields: err.fields } : {}),
    ...err.quota,
  };
}

/** Finds the catalogue's word for whatever a handler or the server itself threw. */
export function asBelfryError(err: FastifyError | Error): BelfryError {
  if (err instanceof BelfryError) return err;
  if ('validation' in err && err.validation !== undefined) {
    const isQuery = 'validationContext' in err && err.validationContext === 'querystring';
    return validationError(err.validation, isQuery ? 'query parameter' : 'field');
  }
  if ('statusCode' in err && err.statusCode !== undefined) {
    if (err.statusCode === 413) {
      return new BelfryError('body_too_large', 'the body is larger than MAX_BODY_BYTES');
    }
    if (err.statusCode >= 400 && err.statusCode < 500) {
      return new BelfryError('bad_request', err.message);
    }
  }
  return new BelfryError('internal', 'this is a defect of Belfry, its log says more', {
    cause: err,
  });
}

/** What a schema has found wrong with a body or a query, by field. */
export function validationError(
  errors: readonly FastifySchemaValidationError[],
  kind: 'field' | 'query parameter' = 'field',
): BelfryError {
  const fields = errors.map(({ instancePath, keyword, params, message }) => {
    const unknown = keyword === 'additionalProperties' ? params['additionalProperty'] : undefined;
    if (typeof unknown === 'string') {
      return { field: unknown, message: `is not a ${kind} of this request` };
    }
    const missing = keyword === 'required' ? params['missingProperty'] : undefined;
    if (typeof missing === 'string') return { field: missing, message: 'is required' };
    return {
      field: instancePath.slice(1).replaceAll('/', '.') || 'body',
      message: message ?? 'is not valid',
    };
  });
  const detail = fields.map(({ field, message }) => `${field} ${message}`).join('; ');
  return new BelfryError('validation_failed', detail, { fields });
}
