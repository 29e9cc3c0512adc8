import { BelfryError } from '../core/errors.ts';
import type { ProjectLimits, Quotas, Rate } from '../core/limits.ts';
import { anyone, firstProjectId, type Principal, type Scope } from '../core/principal.ts';
import { isSameHash, parseToken, type TokenParts } from '../core/token.ts';
import { createFailureLimit } from './failureLimit.ts';
import { assertLocal, isLocalRequest, type RequestOrigin } from './localOnly.ts';
import { ratesOf } from './rateLimit.ts';

/** What is known of tokens; see store/tokens. */
export interface ProofStore {
  prove(id: string): Promise<TokenProof | undefined>;
  /** Whether the installation has given its first token. */
  isInitialised(): Promise<boolean>;
  /** Of a project. */
  limits(projectId: number): Promise<ProjectLimits | undefined>;
}

export interface TokenProof {
  readonly secretHash: Buffer;
  readonly projectId: number;
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly endsInMs: number | null;
  /** Of its project. */
  readonly limits: ProjectLimits | null;
  readonly rate: Rate | null;
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
 * which too many wrong ones come has to wait, but for tokens that were right before. What bounds a token
 * and its project comes with the look-up, so a change of that is known as soon.
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
  let openCaller = anyone;
  const quotas = new Map<number, Quotas>();

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
              rates: ratesOf({ ...proof, tokenId: id }),
            },
      readAtMs,
      endsAtMs:
        proof === undefined || proof.endsInMs === null ? Infinity : readAtMs + proof.endsInMs,
    };
    if (proof !== undefined) remind(proof.projectId, proof.limits);
    known.delete(id);
    known.set(id, found);
    if (known.size > knownMax) known.delete(known.keys().next().value ?? '');
    return found;
  }

  function remind(projectId: number, limits: ProjectLimits | null): void {
    const { rate: _, ...rest } = limits ?? {};
    quotas.delete(projectId);
    if (Object.keys(rest).length === 0) return;
    quotas.set(projectId, rest);
    if (quotas.size > knownMax) quotas.delete(quotas.keys().next().value ?? 0);
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
    if (clock.monotonicMs() >= openUntilMs) await askWhetherOpen();
    return !isClosed;
  }

  /** Whether nobody is asked as yet, and what the project may do that everybody is of then. */
  function askWhetherOpen(): Promise<void> {
    opening ??= (async () => {
      const askedAtMs = clock.monotonicMs();
      if (mode !== 'off') isClosed = await store.isInitialised();
      const limits = (isClosed ? undefined : await store.limits(firstProjectId)) ?? {};
      remind(firstProjectId, limits);
      const rates = ratesOf({ projectId: firstProjectId, limits, tokenId: '', rate: null });
      openCaller = rates === undefined ? anyone : { ...anyone, rates };
      openUntilMs = askedAtMs + freshMs;
    })().finally(() => (opening = undefined));
    return opening;
  }

  function byOpenDoor(credentials: Credentials): Principal | undefined {
    const leftMs = openUntilMs - clock.monotonicMs();
    if (leftMs <= 0) return undefined;
    if (mode !== 'off' && !isLocalRequest(credentials)) return undefined;
    if (leftMs < freshMs - refreshAfterMs) askWhetherOpen().catch(() => undefined);
    return openCaller;
  }

  return {
    /** Who asks, where that can be told at once: for all but some requests a second of a caller. */
    atOnce(credentials: Credentials): Principal | undefined {
      if (!isClosed) return byOpenDoor(credentials);
      const { authorization } = credentials;
      return authorization === undefined ? undefined : byFreshToken(authorization);
    },
    /** @throws BelfryError `unauthenticated`, `rate_limited`, `origin_not_allowed`, `store_unavailable`. */
    async authenticate(credentials: Credentials): Promise<Principal> {
      if (!(await isOpen())) return byToken(credentials);
      if (mode !== 'off') assertLocal(credentials);
      return openCaller;
    },
    /** See failureLimit. */
    paceRefusal: failures.pace,
    /** Of a project that has been asked for just now; undefined where it has none. */
    quotasOf: (projectId: number): Quotas | undefined => quotas.get(projectId),
    /** The tokens that were shown since it was asked last. */
    takeUsed(): readonly string[] {
      const ids = [...used];
      used.clear();
      return ids;
    },
  };
}

export type Authenticator = ReturnType<typeof createAuthenticator>;
