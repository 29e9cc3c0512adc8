import type { AuditEntry } from '../../../packages/client/src/index.ts';
import { chainFault, firstHash } from '../../core/audit.ts';
import type { Command, Terminal } from '../command.ts';
import { table } from '../table.ts';
import { jsonOption, serviceOptions } from '../terminal.ts';
import { visible } from '../visible.ts';
import { localTime } from '../when.ts';

const nothing = { operands: '', operandsMin: 0, operandsMax: 0 } as const;
const shared = [jsonOption, ...serviceOptions];
const pageRows = 1_000;

export const listAudit: Command = {
  path: ['audit', 'list'],
  ...nothing,
  about: 'Who did what: in your project, or for operators in all. Oldest first.',
  options: shared,
  examples: ['belfry audit list', 'belfry audit list --json > audit.ndjson'],
  async run(_given, terminal) {
    for await (const entries of pages(terminal, 'id')) {
      if (terminal.isJson) for (const entry of entries) terminal.json(entry);
      else if (entries.length > 0) terminal.line(table(entries.map(row)));
    }
    return 0;
  },
};

export const verifyAudit: Command = {
  path: ['audit', 'verify'],
  ...nothing,
  about:
    'Computes the chain of the audit log anew, here. Keep the hash that it prints: if a later run still passes it (--expect), nothing up to there was changed, not even by who owns the database.',
  options: [{ name: 'expect', takes: 'hash', about: 'a hash that the chain must pass' }, ...shared],
  examples: ['belfry audit verify', 'belfry audit verify --expect 5f4dcc3b…'],
  async run(given, terminal) {
    const expected = given.text('expect');
    let isPassed = expected === undefined || expected === firstHash;
    let before = { seq: 0, hash: firstHash };
    for await (const entries of pages(terminal, 'chain')) {
      for (const entry of entries) {
        const atMs = Date.parse(entry.at);
        const fault = chainFault(before, { ...entry, atMs, projectId: entry.project });
        if (fault !== undefined) {
          terminal.note(`belfry: ${fault}`);
          return 1;
        }
        before = { seq: entry.seq ?? 0, hash: entry.hash ?? '' };
        isPassed ||= entry.hash === expected;
      }
    }
    if (!isPassed) {
      terminal.note('belfry: the chain does not pass the expected hash');
      return 1;
    }
    if (terminal.isJson) terminal.json(before);
    else terminal.line(`${before.seq} entries hold, up to ${before.hash}`);
    return 0;
  },
};

async function* pages(
  { client, signal }: Terminal,
  order: 'id' | 'chain',
): AsyncGenerator<readonly AuditEntry[]> {
  for (let after: number | null = 0; after !== null;) {
    const page = await client.audit({ after, order, limit: pageRows, signal });
    yield page.entries;
    after = page.next;
  }
}

function row({ at, project, actor, action, target, detail }: AuditEntry): string[] {
  const who = actor.id === '' ? actor.name : `${actor.name} (${actor.id})`;
  const what = [action, target].filter((word) => word !== '').join(' ');
  return [localTime(at), `project ${project}`, visible(who), actor.address, what, visible(detail)];
}
