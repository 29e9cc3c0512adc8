import { inspect } from 'node:util';
import { BelfryError, invalidField } from './errors.ts';
import { keyIdOf, type SecretBox, type SecretPlace } from './secretBox.ts';

/** One value, or several of a header that is sent several times. */
export type PlainHeader = string | readonly string[];

/** An encrypted value: the record of a SecretBox. */
export interface SealedHeader {
  readonly sealed: string;
}

/** Headers as a timer is kept with them; a `SecretHeader` is one on its way there. */
export type TimerHeaders = Readonly<Record<string, PlainHeader | SealedHeader | SecretHeader>>;

/** What is shown in place of a value that is secret. */
export const secretShown = '[secret]';

/** A value that is to be encrypted. Whoever prints it by mistake prints what is shown of secrets. */
export class SecretHeader {
  readonly #value: PlainHeader;
  constructor(value: PlainHeader) {
    this.#value = value;
  }
  reveal(): PlainHeader {
    return this.#value;
  }
  toJSON(): string {
    return secretShown;
  }
  [inspect.custom](): string {
    return secretShown;
  }
}

/** Headers whose values are always secret. `proxy-authorization` is none that a timer may have. */
export const secretHeaderNames = [
  'authorization',
  'cookie',
  'x-api-key',
  'api-key',
  'x-auth-token',
] as const;
const alwaysSecret: ReadonlySet<string> = new Set(secretHeaderNames);

/** Why a secret cannot be taken where the service has no keys. */
export const secretsNotConfigured =
  'is kept encrypted, for which the service has no key: an operator sets SECRET_KEYS';

/**
 * Marks those of a request's headers that are secret: some always are, the others `listed` says.
 * @throws BelfryError `validation_failed` that names `secret_headers` or a header, for what is no list
 *   of headers that are given.
 */
export function markSecretHeaders(
  headers: Readonly<Record<string, PlainHeader>> | null,
  listed: unknown,
): TimerHeaders | null {
  const names = listed === undefined ? alwaysSecret : parseSecretNames(headers, listed);
  if (headers === null) return null;
  let marked: Record<string, PlainHeader | SecretHeader> | undefined;
  for (const name in headers) {
    const value = headers[name];
    if (value === undefined || !(alwaysSecret.has(name) || names.has(name))) continue;
    // Most have none: theirs are not copied.
    marked ??= { ...headers };
    marked[name] = new SecretHeader(value);
  }
  return marked ?? headers;
}

function parseSecretNames(
  headers: Readonly<Record<string, PlainHeader>> | null,
  listed: unknown,
): ReadonlySet<string> {
  const takes = 'must be a list of names of headers that are given';
  if (!Array.isArray(listed)) throw invalidField('secret_headers', takes);
  const names = listed.map((name: unknown) => {
    const lowerName = typeof name === 'string' ? name.toLowerCase() : '';
    if (headers === null || !Object.hasOwn(headers, lowerName)) {
      const shown = typeof name === 'string' ? `: there is no "${name.slice(0, 80)}"` : '';
      throw invalidField('secret_headers', `${takes}${shown}`);
    }
    return lowerName;
  });
  return new Set(names);
}

/**
 * Refuses secret headers where they cannot be kept, and `[secret]` where it stands for nothing.
 * @throws BelfryError `secrets_not_configured`, `validation_failed`, naming the header.
 */
export function checkSecretHeaders(headers: TimerHeaders | null, canKeep: boolean): void {
  for (const name in headers) {
    const value = headers[name];
    if (!(value instanceof SecretHeader)) continue;
    const field = `headers.${name}`;
    if (value.reveal() === secretShown) {
      throw invalidField(field, `must be the value itself: ${secretShown} only stands for one`);
    }
    if (!canKeep) {
      throw new BelfryError('secrets_not_configured', `${field} ${secretsNotConfigured}`, {
        fields: [{ field, message: secretsNotConfigured }],
      });
    }
  }
}

/**
 * The headers of a change, given those of the timer before: `[secret]` stands for a secret value that
 * the timer has, and what was secret stays secret with another value.
 */
export function keepSecretHeaders(
  headers: TimerHeaders | null,
  before: TimerHeaders | null,
): TimerHeaders | null {
  if (headers === null) return null;
  const kept = Object.entries(headers).map(([name, value]) => {
    const old = before !== null && Object.hasOwn(before, name) ? before[name] : undefined;
    if (old === undefined || !isSecret(name, old)) return [name, value];
    const given = value instanceof SecretHeader ? value.reveal() : value;
    if (isSealed(given)) return [name, given];
    return [name, given === secretShown ? marked(old) : new SecretHeader(given)];
  });
  return Object.fromEntries(kept);
}

/** From before values were encrypted, one may stand there as it is. */
function marked(old: TimerHeaders[string]): SealedHeader | SecretHeader {
  return typeof old === 'string' || isList(old) ? new SecretHeader(old) : old;
}

/** What callers see. */
export function shownHeaders(headers: TimerHeaders | null): {
  readonly headers: Readonly<Record<string, PlainHeader>> | null;
  /** Of those whose value is not shown. */
  readonly secretNames: readonly string[];
} {
  if (headers === null) return { headers, secretNames: [] };
  const secretNames: string[] = [];
  const shown: Record<string, PlainHeader> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (isSecret(name, value)) {
      secretNames.push(name);
      shown[name] = secretShown;
    } else if (isPlain(value)) shown[name] = value;
  }
  return { headers: shown, secretNames: secretNames.toSorted() };
}

/** What headers belong to: the timer with its id, or the destination with its pattern. */
export type HeaderPlace =
  | { readonly projectId: number; readonly id: number }
  | { readonly projectId: number; readonly pattern: string };

/**
 * The headers as they are kept: secret values encrypted, also those that are under another key than
 * the first. The same object when there is nothing to do.
 * @throws Error when there is something to encrypt and no box: `checkSecretHeaders` comes before.
 */
export function sealHeaders(
  headers: TimerHeaders | null,
  place: HeaderPlace,
  box: SecretBox | undefined,
): TimerHeaders | null {
  if (headers === null || isSettled(headers, box)) return headers;
  return sealed(headers, place, box, (value) => value instanceof SecretHeader);
}

/**
 * What a rotation makes of headers: everything secret under the first key. Undefined when a value
 * cannot be opened.
 */
export function resealHeaders(
  headers: TimerHeaders,
  place: HeaderPlace,
  box: SecretBox,
): TimerHeaders | undefined {
  const after = sealed(headers, place, box, isSecretByName);
  return isSettled(after, box) ? after : undefined;
}

function sealed(
  headers: TimerHeaders,
  of: HeaderPlace,
  box: SecretBox | undefined,
  isToSeal: (value: TimerHeaders[string], name: string) => boolean,
): TimerHeaders {
  if (box === undefined) throw new Error('there is no key for secret headers');
  const after = Object.entries(headers).map(([name, value]) => {
    const place = placeOf(of, name);
    if (isSealed(value)) {
      if (keyIdOf(value.sealed) === box.keyId) return [name, value];
      const text = box.open(place, value.sealed);
      return [name, text === undefined ? value : { sealed: box.seal(place, text) }];
    }
    if (!isToSeal(value, name)) return [name, value];
    const plain = value instanceof SecretHeader ? value.reveal() : value;
    return [name, { sealed: box.seal(place, JSON.stringify(plain)) }];
  });
  return Object.fromEntries(after);
}

/** Undefined when a value cannot be opened. */
export function openHeaders(
  headers: TimerHeaders,
  of: HeaderPlace,
  box: SecretBox | undefined,
): Record<string, PlainHeader> | undefined {
  const opened: Record<string, PlainHeader> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (!isSealed(value)) {
      opened[name] = value instanceof SecretHeader ? value.reveal() : value;
      continue;
    }
    const text = box?.open(placeOf(of, name), value.sealed);
    const plain: unknown = text === undefined ? undefined : JSON.parse(text);
    if (typeof plain !== 'string' && !isTexts(plain)) return undefined;
    opened[name] = plain;
  }
  return opened;
}

/** What the record of one is bound to. */
function placeOf(of: HeaderPlace, name: string): SecretPlace {
  const { projectId } = of;
  return 'id' in of
    ? { purpose: 'header', projectId, row: [of.id, name] }
    : { purpose: 'destination_header', projectId, row: [of.pattern, name] };
}

/** Nothing of them is encrypted. */
export function arePlain(
  headers: TimerHeaders | null,
): headers is Readonly<Record<string, PlainHeader>> | null {
  if (headers === null) return true;
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined && !isPlain(value)) return false;
  }
  return true;
}

/** Nothing is to be encrypted, nor is anything under another key than the first. */
function isSettled(headers: TimerHeaders, box: SecretBox | undefined): boolean {
  for (const name in headers) {
    const value = headers[name];
    if (value instanceof SecretHeader) return false;
    const isOld = value !== undefined && isSealed(value) && keyIdOf(value.sealed) !== box?.keyId;
    if (isOld && box !== undefined) return false;
  }
  return true;
}

function isSecret(name: string, value: TimerHeaders[string]): boolean {
  return !isPlain(value) || alwaysSecret.has(name);
}

function isSecretByName(value: TimerHeaders[string], name: string): boolean {
  return isSecret(name, value);
}

function isPlain(value: TimerHeaders[string]): value is PlainHeader {
  return typeof value === 'string' || isList(value);
}

export function isSealed(value: TimerHeaders[string]): value is SealedHeader {
  return typeof value === 'object' && 'sealed' in value;
}

function isList(value: TimerHeaders[string]): value is readonly string[] {
  return Array.isArray(value);
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((single) => typeof single === 'string');
}
