import type { Rate } from './limits.ts';

/** What a caller may do. `admin`: all in its project; `operator`: all in the installation. */
export const scopes = ['timers:read', 'timers:write', 'admin', 'operator'] as const;
export type Scope = (typeof scopes)[number];

/** What a route wants of a caller: a scope, or whatever token that has not ended. */
export type Need = Scope | 'any';

/** A token bucket that requests of a caller are taken from. */
export interface RequestRate {
  /** Of all processes: `project:7`. */
  readonly subject: string;
  readonly perSecond: number;
  readonly burst: number;
  /** As `RateLimit` and `RateLimit-Policy` name it. */
  readonly name: 'project' | 'token';
  /** As it was given. */
  readonly rate: Rate;
}

/** Who asks. */
export interface Principal {
  /** `open`: nobody is asked for credentials. */
  readonly kind: 'token' | 'open';
  /** Of the token; '' for `open`. */
  readonly id: string;
  readonly name: string;
  readonly projectId: number;
  readonly scopes: readonly Scope[];
  /** Of the project and of the token; undefined where neither has one. */
  readonly rates: readonly RequestRate[] | undefined;
}

/** Until projects are made, there is this one. */
export const firstProjectId = 1;

/** Everybody, where nobody is asked. */
export const anyone: Principal = {
  kind: 'open',
  id: '',
  name: 'anyone',
  projectId: firstProjectId,
  scopes,
  rates: undefined,
};

/** Each scope with those that it stands for as well. */
const implied: Readonly<Record<Scope, readonly Scope[]>> = {
  'timers:read': ['timers:read'],
  'timers:write': ['timers:write'],
  admin: ['admin', 'timers:read', 'timers:write'],
  operator: scopes,
};

export function hasScope({ scopes: given }: Pick<Principal, 'scopes'>, wanted: Need): boolean {
  return wanted === 'any' || given.some((scope) => implied[scope].includes(wanted));
}

/** Whether somebody with these scopes may do all that one with those may: give or take them. */
export function hasScopes(principal: Pick<Principal, 'scopes'>, wanted: readonly Scope[]): boolean {
  return wanted.every((scope) => hasScope(principal, scope));
}
