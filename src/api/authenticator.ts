import { BelfryError } from '../core/errors.ts';
import { anyone, type Principal, type Scope } from '../core/principal.ts';
import { isSameHash, parseToken, type TokenParts } from '../core/token.ts';
import { createFailureLimit } from './failureLimit.ts';
import { assertLocal, isLocalRequest, type RequestOrigin } from './localOnly.ts';

/** What is known of tokens; see store/tokens. */
export interface ProofStore {
  prove(id: string): Promise<TokenProof | undefined>;
  /** Whether the installation has given its first token. */
  isInitialised(): Promise<boolean>;
}

export interface TokenProof {
  readonly secretHash: Buffer;
  readonly projectId: number;
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly endsInMs: number | null;
}

/**
 * `on`: every caller needs a token. `off`: nobody does. `auto`: nobody does until the first token is
 * given, as long as they are on this machine.
 */
export type AuthMode = 'auto' | 'on' | 'off';

/** Where a request came from, and what it shows. */
export interface Credentials extends RequestOrigin {
  readonly authorization: string | undefined;
  readonly address: string;
}

interface Known {
  readonly proof: TokenProof | undefined;
  readonly principal: Principal | undefined;
  /** Both by the monotonic clock. */
  readonly readAtMs: number;
  readonly endsAtMs: number;
}

/** A revocation takes effect everywhere within a second: this, and the time of a look-up. */
const freshMs = 900;
/** From then on it is looked up again, while callers go on with what is known. */
const refreshAfterMs = 450;
const knownMax = 10_000;
const headersMax = 1_000;
const takes = 'must be "Bearer " and a token of this installation that has not ended';

/**
 * Tells who asks. What has been looked up is kept for less than a second, so that a busy token costs
 * one look-up now and then and a hash a request; also that there is no such token. An address from
 * which too many wrong ones come has to wait, but for tokens that were right before.
 */
export function createAuthenticator(options: {
  mode: AuthMode;
  store: ProofStore;
  clock: { monotonicMs(): number };
}) {
  const { mode, store, clock } = options;
  const known = new Map<string, Known>();
  const reading = new Map<string, Promise<Known>>();
  const failures = createFailureLimit(clock);
  const used = new Set<string>();
  const partsByHeader = new Map<string, TokenParts>();
  let isClosed = mode === 'on';
  let openUntilMs = -Infinity;
  let opening: Promise<void> | undefined;

  async function read(id: string): Promise<Known> {
    const readAtMs = clock.monotonicMs();
    const proof = await store.prove(id);
    const found: Known = {
      proof,
      principal:
        proof === undefined
          ? undefined
          : {
              kind: 'token',
              id,
              name: proof.name,
              projectId: proof.projectId,
              scopes: proof.scopes,
            },
      readAtMs,
      endsAtMs:
        proof === undefined || proof.endsInMs === null ? Infinity : readAtMs + proof.endsInMs,
    };
    known.delete(id);
    known.set(id, found);
    if (known.size > knownMax) known.delete(known.keys().next().value ?? '');
    return found;
  }

  /** One look-up at a time for a token. */
  function look(id: string): Promise<Known> {
    let look = reading.get(id);
    if (look === undefined) {
      look = read(id).finally(() => reading.delete(id));
      reading.set(id, look);
    }
    return look;
  }

  function verdict(found: Known, secretHash: Buffer): Principal | undefined {
    const { proof, principal, endsAtMs } = found;
    if (proof === undefined || !isSameHash(proof.secretHash, secretHash)) return undefined;
    return clock.monotonicMs() < endsAtMs ? principal : undefined;
  }

  /** Undefined where a look-up is wanted, or a refusal. */
  function byFreshToken(authorization: string): Principal | undefined {
    const parts = partsByHeader.get(authorization);
    const found = parts === undefined ? undefined : known.get(parts.id);
    if (parts === undefined || found === undefined) return undefined;
    const ageMs = clock.monotonicMs() - found.readAtMs;
    if (ageMs >= freshMs) return undefined;
    const principal = verdict(found, parts.secretHash);
    if (principal === undefined) return undefined;
    if (ageMs > refreshAfterMs) look(parts.id).catch(() => undefined);
    used.add(parts.id);
    return principal;
  }

  function partsOf(authorization: string): TokenParts | undefined {
    const [, text = ''] = /^Bearer +(\S+) *$/i.exec(authorization) ?? [];
    return parseToken(text);
  }

  /** Of what was right: its next request is not read and hashed anew. */
  function remember(authorization: string, parts: TokenParts): void {
    if (partsByHeader.size >= headersMax) partsByHeader.clear();
    partsByHeader.set(authorization, parts);
  }

  async function byToken({ authorization, address }: Credentials): Promise<Principal> {
    const parts = authorization === undefined ? undefined : partsOf(authorization);
    const before = parts === undefined ? undefined : known.get(parts.id);
    const wasRight =
      before !== undefined &&
      parts !== undefined &&
      verdict(before, parts.secretHash) !== undefined;
    if (!wasRight) failures.assertFew(address);
    if (parts !== undefined) {
      const isFresh = before !== undefined && clock.monotonicMs() - before.readAtMs < freshMs;
      const found = isFresh ? before : await look(parts.id);
      const principal = verdict(found, parts.secretHash);
      if (principal !== undefined) {
        if (authorization !== undefined) remember(authorization, parts);
        used.add(parts.id);
        return principal;
      }
    }
    failures.add(address);
    const shown = authorization === undefined ? 'is missing: it' : 'is not valid: it';
    throw new BelfryError('unauthenticated', `the Authorization header ${shown} ${takes}`);
  }

  async function isOpen(): Promise<boolean> {
    if (isClosed) return false;
    if (clock.monotonicMs() >= openUntilMs) {
      opening ??= askWhetherOpen().finally(() => (opening = undefined));
      await opening;
    }
    return !isClosed;
  }

  async function askWhetherOpen(): Promise<void> {
    const askedAtMs = clock.monotonicMs();
    isClosed = await store.isInitialised();
    openUntilMs = askedAtMs + freshMs;
  }

  return {
    /** Who asks, where that can be told at once: for all but some requests a second of a caller. */
    atOnce(credentials: Credentials): Principal | undefined {
      if (mode === 'off') return anyone;
      const { authorization } = credentials;
      if (isClosed) return authorization === undefined ? undefined : byFreshToken(authorization);
      return clock.monotonicMs() < openUntilMs && isLocalRequest(credentials) ? anyone : undefined;
    },
    /** @throws BelfryError `unauthenticated`, `rate_limited`, `origin_not_allowed`, `store_unavailable`. */
    async authenticate(credentials: Credentials): Promise<Principal> {
      if (mode === 'off') return anyone;
      if (!(await isOpen())) return byToken(credentials);
      assertLocal(credentials);
      return anyone;
    },
    /** The tokens that were shown since it was asked last. */
    takeUsed(): readonly string[] {
      const ids = [...used];
      used.clear();
      return ids;
    },
  };
}

export type Authenticator = ReturnType<typeof createAuthenticator>;
