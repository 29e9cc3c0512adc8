import { answerJson } from './answerJson.ts';
import { createBreakersApi, type BreakersApi } from './breakersApi.ts';
import { createDestinationsApi, type DestinationsApi } from './destinationsApi.ts';
import { createProjectsApi, type ProjectsApi } from './projectsApi.ts';
import type { LimitsPatch, RateWish, Span } from './requests.ts';
import type {
  AuditPage,
  Caller,
  IssuedToken,
  Limits,
  Scope,
  Secret,
  SecretRotation,
  Token,
  Usage,
} from './responses.ts';
import { createSigningKeysApi, type SigningKeysApi } from './signingKeysApi.ts';
import type { Call, CallOptions, Sender } from './sender.ts';

export interface NewToken {
  /** What people know it by. */
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** Another project than the caller's own: for operators. */
  readonly project?: number;
  /** Default: never. */
  readonly expires_after?: Span;
  /** How often it may ask. Default: as often as its project. */
  readonly rate?: RateWish | null;
}

/** Tokens of a project: for its admins. */
export interface TokensApi {
  /** Its text is in the answer, and nowhere else afterwards. */
  create(token: NewToken, options?: CallOptions): Promise<IssuedToken>;
  /** With those that have ended. `project`: another than the caller's own, for operators. */
  list(options?: CallOptions & { readonly project?: number }): Promise<readonly Token[]>;
  /** No process takes it any more within a second. */
  revoke(id: string, options?: CallOptions): Promise<Token>;
  /** How often it may ask; null: as often as its project. Holds everywhere within a second. */
  setRate(id: string, rate: RateWish | null, options?: CallOptions): Promise<Token>;
  /** Another one in its place; the old one is good for `overlap` still (default: an hour). */
  rotate(id: string, options?: CallOptions & { readonly overlap?: Span }): Promise<IssuedToken>;
}

/** Named secrets of the project, which `{{secret:name}}` in timers stands for: for its admins. */
export interface SecretsApi {
  /** Creates or replaces. `value`: 1 to 8,192 characters; it is not shown again. */
  set(name: string, value: string, options?: CallOptions): Promise<Secret>;
  /** Without their values. */
  list(options?: CallOptions): Promise<readonly Secret[]>;
  delete(name: string, options?: CallOptions): Promise<Secret>;
  /** Encrypts everything with the first key, step by step: for operators. Resolves with the sums. */
  rotate(
    options?: CallOptions & {
      readonly onProgress?: (progress: SecretRotation) => void;
      /** Of an earlier one, to go on from there. */
      readonly cursor?: string;
    },
  ): Promise<SecretRotation>;
}

/** What projects may do at most. */
export interface LimitsApi {
  /** For admins of the project, and operators. */
  get(project: number, options?: CallOptions): Promise<Limits>;
  /** For operators. What is not given stays; null takes a limit away. Holds within a second. */
  set(project: number, limits: LimitsPatch, options?: CallOptions): Promise<Limits>;
}

export interface AccessApi {
  readonly tokens: TokensApi;
  readonly projects: ProjectsApi;
  readonly secrets: SecretsApi;
  readonly signingKeys: SigningKeysApi;
  readonly limits: LimitsApi;
  readonly destinations: DestinationsApi;
  readonly breakers: BreakersApi;
  /** What the project uses, beside what it may. */
  usage(options?: CallOptions): Promise<Usage>;
  /** Who did what, oldest first: of the project, or for operators of all. */
  audit(
    options?: CallOptions & {
      /** `next` of the page before. */
      readonly after?: number;
      readonly limit?: number;
      /** `chain`: by seq, and only what has one; for operators. */
      readonly order?: 'id' | 'chain';
    },
  ): Promise<AuditPage>;
  /** Whom the token makes the caller. */
  whoami(options?: CallOptions): Promise<Caller>;
}

export function createAccessApi(sender: Sender): AccessApi {
  async function ask<Body>(call: Call, options: CallOptions | undefined): Promise<Body> {
    return answerJson<Body>(await sender.send(call, options));
  }
  const secretPath = (name: string) => `/secrets/${encodeURIComponent(name)}`;
  const pathOf = (id: string) => `/tokens/${encodeURIComponent(id)}`;
  // Sent again, what gives a token would do it twice.
  const once = { method: 'POST', isRepeatable: false } as const;
  const read = { method: 'GET', isRepeatable: true } as const;
  const patch = { method: 'PATCH', isRepeatable: true } as const;
  const limitsOf = (project: number) => `/projects/${project}/limits`;

  return {
    audit({ after = 0, limit, order, ...options } = {}) {
      const query = new URLSearchParams({ after: String(after) });
      if (limit !== undefined) query.set('limit', String(limit));
      if (order !== undefined) query.set('order', order);
      return ask({ ...read, path: `/audit?${query}` }, options);
    },
    usage: (options) => ask({ ...read, path: '/usage' }, options),
    limits: {
      get: (project, options) => ask({ ...read, path: limitsOf(project) }, options),
      set: (project, limits, options) =>
        ask({ ...patch, path: limitsOf(project), body: limits }, options),
    },
    whoami: (options) => ask({ ...read, path: '/whoami' }, options),
    tokens: {
      create: (token, options) => ask({ ...once, path: '/tokens', body: token }, options),
      async list({ project, ...options } = {}) {
        const path = project === undefined ? '/tokens' : `/tokens?project=${project}`;
        return (await ask<{ tokens: Token[] }>({ ...read, path }, options)).tokens;
      },
      revoke: (id, options) =>
        ask({ method: 'DELETE', path: pathOf(id), isRepeatable: true }, options),
      setRate: (id, rate, options) => ask({ ...patch, path: pathOf(id), body: { rate } }, options),
      rotate(id, { overlap, ...options } = {}) {
        const body = overlap === undefined ? {} : { overlap };
        return ask({ ...once, path: `${pathOf(id)}/rotate`, body }, options);
      },
    },
    projects: createProjectsApi(sender),
    destinations: createDestinationsApi(sender),
    breakers: createBreakersApi(sender),
    signingKeys: createSigningKeysApi(sender),
    secrets: {
      set: (name, value, options) =>
        ask(
          { method: 'PUT', path: secretPath(name), isRepeatable: true, body: { value } },
          options,
        ),
      async list(options) {
        return (await ask<{ secrets: Secret[] }>({ ...read, path: '/secrets' }, options)).secrets;
      },
      delete: (name, options) =>
        ask({ method: 'DELETE', path: secretPath(name), isRepeatable: true }, options),
      async rotate({ onProgress, cursor: from, ...options } = {}) {
        let cursor = from;
        let examined = 0;
        let changed = 0;
        for (;;) {
          const body = cursor === undefined ? {} : { cursor };
          const step = await ask<SecretRotation>(
            { method: 'POST', path: '/secrets/rotate', isRepeatable: true, body },
            options,
          );
          examined += step.examined;
          changed += step.changed;
          const sums = { ...step, examined, changed };
          onProgress?.(sums);
          if (step.cursor === null) return sums;
          ({ cursor } = step);
        }
      },
    },
  };
}
