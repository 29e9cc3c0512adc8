import { readdirSync, readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';

/** The kernel reports process times in USER_HZ, which is 100 on every Linux that Node runs on. */
const MS_PER_TICK = 10;

/** A process alone, or a postmaster with all its backends, living and reaped. */
export type Metered =
  | { readonly kind: 'process'; readonly pid: number }
  | { readonly kind: 'tree'; readonly pid: number };

export interface Usage {
  readonly elapsedMs: number;
  readonly cpuMs: Readonly<Record<string, number>>;
}

/** Reads every process's CPU time now; the returned function tells what was used since. */
export function startMeter(metered: Readonly<Record<string, Metered>>): () => Usage {
  const before = readAll(metered);
  const startMs = performance.now();
  return () => {
    const elapsedMs = performance.now() - startMs;
    const after = readAll(metered);
    const used = Object.keys(metered).map(
      (name) => [name, (after[name] ?? 0) - (before[name] ?? 0)] as const,
    );
    return { elapsedMs, cpuMs: Object.fromEntries(used) };
  };
}

/** CPU ms of each process since it began: for one that is at work before a meter can be started. */
export function cpuSinceBirthMs(
  metered: Readonly<Record<string, Metered>>,
): Record<string, number> {
  return readAll(metered);
}

/** CPU µs of each process for one timer. */
export function cpuPerTimer(
  { cpuMs }: Pick<Usage, 'cpuMs'>,
  timers: number,
): Record<string, number> {
  return Object.fromEntries(
    Object.entries(cpuMs).map(([name, ms]) => [name, (ms * 1000) / timers]),
  );
}

/** `VmRSS`, MB. */
export function residentMb(pid: number): number {
  return readKb(`/proc/${pid}/status`, 'VmRSS') / 1024;
}

/** Sum of `Pss` over a postmaster and its backends, MB: shared buffers are counted once. */
export function treeProportionalMb(pid: number): number {
  const pids = [pid, ...childrenOf(pid)];
  const kb = pids.map((member) => readKb(`/proc/${member}/smaps_rollup`, 'Pss'));
  return kb.reduce((sum, value) => sum + value, 0) / 1024;
}

/** The process that started `pid`: a backend's postmaster. */
export function parentOf(pid: number): number {
  return readStat(pid)?.parent ?? 0;
}

function readAll(metered: Readonly<Record<string, Metered>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(metered).map(([name, target]) => [name, cpuMs(target)] as const),
  );
}

function cpuMs({ kind, pid }: Metered): number {
  const own = readStat(pid);
  if (own === undefined) throw new Error(`process ${pid} is gone while it is being measured`);
  if (kind === 'process') return own.ticks * MS_PER_TICK;
  const children = childrenOf(pid).map((child) => readStat(child)?.ticks ?? 0);
  // A child that was reaped meanwhile would be counted twice or not at all.
  if (readStat(pid)?.reapedTicks !== own.reapedTicks) return cpuMs({ kind, pid });
  const living = children.reduce((sum, ticks) => sum + ticks, 0);
  return (own.ticks + own.reapedTicks + living) * MS_PER_TICK;
}

interface Stat {
  readonly parent: number;
  /** utime + stime over all threads. */
  readonly ticks: number;
  /** cutime + cstime: of the children that it has waited for. */
  readonly reapedTicks: number;
}

function readStat(pid: number): Stat | undefined {
  const text = readProc(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  // The second field is the name in parentheses and may hold anything: count from its end (proc(5)).
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const field = (index: number) => Number(fields[index] ?? 0);
  return {
    parent: field(1),
    ticks: field(11) + field(12),
    reapedTicks: field(13) + field(14),
  };
}

function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && readStat(pid)?.parent === parent);
}

function readKb(path: string, key: string): number {
  const line = readProc(path)?.match(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm'));
  return Number(line?.[1] ?? 0);
}

/** A process may end between being listed and being read. */
function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
