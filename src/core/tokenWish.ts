import { isLabel, labelLengthMax } from './annotations.ts';
import { parseSpan } from './due.ts';
import { invalidField } from './errors.ts';
import { parseRate, type Rate } from './limits.ts';
import { scopes, type Scope } from './principal.ts';

/** What a new token is to be. */
export interface TokenWish {
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** From its creation; null: never. */
  readonly expiresAfterMs: number | null;
  /** Null: as often as the project may. */
  readonly rate: Rate | null;
}

/** @throws BelfryError `validation_failed` that names the field. */
export function parseTokenWish(fields: {
  readonly name?: unknown;
  readonly scopes?: unknown;
  readonly expires_after?: unknown;
  readonly rate?: unknown;
}): TokenWish {
  return {
    name: parseName(fields.name),
    scopes: parseScopes(fields.scopes),
    expiresAfterMs: parseExpiry(fields.expires_after),
    rate: parseTokenRate(fields.rate),
  };
}

/** The name of a project or a token, for people. */
export function parseName(value: unknown): string {
  if (typeof value === 'string' && isLabel(value) && value.trim() === value) return value;
  throw invalidField(
    'name',
    `must be 1 to ${labelLengthMax} characters, without controls, nor blanks at its ends`,
  );
}

/** @throws BelfryError `validation_failed` that names the field. */
export function parseTokenRate(value: unknown): Rate | null {
  return value === undefined || value === null ? null : parseRate('rate', value);
}

function parseScopes(value: unknown): readonly Scope[] {
  const given: readonly unknown[] = Array.isArray(value) ? value : [];
  const known = scopes.filter((scope) => given.includes(scope));
  if (known.length === 0 || known.length !== given.length) {
    throw invalidField('scopes', `must be a list of different ones of ${scopes.join(', ')}`);
  }
  return known;
}

function parseExpiry(value: unknown): number | null {
  if (value === undefined) return null;
  const expiresAfterMs = parseSpan('expires_after', value);
  if (expiresAfterMs === 0) throw invalidField('expires_after', 'must be more than 0');
  return expiresAfterMs;
}
