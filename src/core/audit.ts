import { createHash } from 'node:crypto';

/** Who did something. */
export interface Actor {
  /** `database`: somebody with the database's own credentials; `service`: nobody, it does so by itself. */
  readonly kind: 'token' | 'open' | 'database' | 'service';
  /** Of the token; '' otherwise. */
  readonly id: string;
  readonly name: string;
  /** From where; '' for `database` and `service`. */
  readonly address: string;
}

export type AuditAction =
  | 'admin.init'
  | 'project.create'
  | 'project.pause'
  | 'project.resume'
  | 'project.purge'
  | 'token.create'
  | 'token.revoke'
  | 'token.rotate'
  | 'secret.set'
  | 'secret.delete'
  | 'secrets.rotate'
  | 'signing_key.create'
  | 'signing_key.rotate'
  | 'signing_key.delete'
  | 'limits.set'
  | 'destination.set'
  | 'destination.delete'
  | 'destination.pause'
  | 'destination.resume'
  | 'breaker.disable'
  | 'breaker.reset'
  | 'timers.cancel'
  | 'timers.retry';

/** What was done, and to what. */
export interface Deed {
  readonly action: AuditAction;
  /** The id of what it was done to; '' for what has none. */
  readonly target: string;
  /** JSON. Never a secret. */
  readonly detail: Readonly<Record<string, unknown>>;
}

/** An entry of the log, as it was committed. */
export interface AuditEntry {
  readonly id: number;
  readonly atMs: number;
  readonly projectId: number;
  readonly actor: Omit<Actor, 'kind'> & { readonly kind: string };
  readonly action: string;
  readonly target: string;
  /** JSON as it was written. */
  readonly detail: string;
}

/** Its place in the chain; null as long as it has none. */
export interface ChainedEntry extends AuditEntry {
  readonly seq: number | null;
  /** In hexadecimal. */
  readonly hash: string | null;
}

/** Where the chain begins. */
export const firstHash = '0'.repeat(64);

/** The hash of an entry at its place: SHA-256 over the hash before it and all that it says. */
export function chainHash(before: string, seq: number, entry: AuditEntry): string {
  const { id, atMs, projectId, actor, action, target, detail } = entry;
  const { kind, id: actorId, name, address } = actor;
  const text = JSON.stringify([
    seq,
    id,
    new Date(atMs).toISOString(),
    projectId,
    kind,
    actorId,
    name,
    address,
    action,
    target,
    detail,
  ]);
  return createHash('sha256').update(before).update(text).digest('hex');
}

/** What is wrong with an entry that should follow the one at `seq` with `hash`; undefined: nothing. */
export function chainFault(
  before: { readonly seq: number; readonly hash: string },
  entry: ChainedEntry,
): string | undefined {
  const seq = before.seq + 1;
  if (entry.seq !== seq) return `the entry at ${seq} is missing`;
  if (entry.hash !== chainHash(before.hash, seq, entry)) return `the entry at ${seq} was changed`;
  return undefined;
}
