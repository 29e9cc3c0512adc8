import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { DriverHandlers } from './driver.ts';
import type { Bench, Measure, Scenario } from './harness/bench.ts';
import { startChild } from './harness/child.ts';
import { describeMachine } from './harness/machine.ts';
import { summarise, type Row } from './harness/summary.ts';
import { table } from './harness/table.ts';
import { auth } from './scenarios/auth.ts';
import { bulk } from './scenarios/bulk.ts';
import { burst } from './scenarios/burst.ts';
import { create } from './scenarios/create.ts';
import { drain } from './scenarios/drain.ts';
import { emptyPoll } from './scenarios/emptyPoll.ts';
import { fairness } from './scenarios/fairness.ts';
import { flood } from './scenarios/flood.ts';
import { lateness } from './scenarios/lateness.ts';
import { limits } from './scenarios/limits.ts';
import { listing } from './scenarios/lists.ts';
import { pending } from './scenarios/pending.ts';
import { snapshot } from './scenarios/snapshot.ts';
import type { SinkHandlers, SinkKind } from './sink.ts';

const SCENARIOS = [
  create,
  auth,
  limits,
  flood,
  bulk,
  lateness,
  burst,
  drain,
  fairness,
  emptyPoll,
  snapshot,
  pending,
  listing,
] as const;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '3' },
    json: {
      type: 'string',
      default: fileURLToPath(new URL('results/latest.json', import.meta.url)),
    },
    sink: { type: 'string', default: 'http' },
    quick: { type: 'boolean', default: false },
    'snapshot-age': { type: 'string', default: '0' },
    crowd: { type: 'string', default: '100000' },
  },
});

const sinkKind: SinkKind = options.sink === 'raw' ? 'raw' : 'http';
const chosen = choose(positionals);
const machine = describeMachine();
const rows: Row[] = [];
const failures: string[] = [];
const startedAt = new Date();
await using sink = await startChild<SinkHandlers>(new URL('sink.ts', import.meta.url));
await using driver = await startChild<DriverHandlers>(new URL('driver.ts', import.meta.url));
const sinkPort = await sink.call('listen', sinkKind);

console.log(`${machine.cpu} × ${machine.cpus}, Node ${machine.node}, ${sinkKind} sink`);
for (const scenario of chosen) await runOne(scenario);
save();
if (failures.length > 0) process.exitCode = 1;

/** A scenario that breaks does not take the figures of the others with it. */
async function runOne(scenario: Scenario): Promise<void> {
  const { name, title } = scenario;
  const measures: Measure[] = [];
  const notes = new Set<string>();
  const quick = options.quick;
  const bench: Bench = {
    runs: Array.from({ length: quick ? 1 : Number(options.runs) }, (_, run) => run),
    sink,
    sinkPort,
    driver,
    snapshotAgeSeconds: Number(options['snapshot-age']),
    crowd: Number(options.crowd),
    size: (full, small) => (quick ? small : full),
    record: (measure) => measures.push(measure),
    note: (text) => notes.add(text),
  };
  const startMs = Date.now();
  console.log(`\n## ${name}\n\n${title}\n`);
  try {
    await scenario.run(bench);
  } catch (err) {
    failures.push(name);
    console.error(`${name} failed:`, err);
  }
  const found = summarise(name, measures);
  rows.push(...found);
  if (found.length > 0) console.log(table(found));
  for (const note of notes) console.log(note);
  console.log(`(${Math.round((Date.now() - startMs) / 1000)} s)`);
}

function choose(names: readonly string[]): readonly Scenario[] {
  const unknown = names.filter((name) => SCENARIOS.every((scenario) => scenario.name !== name));
  if (unknown.length > 0) {
    const known = SCENARIOS.map((scenario) => scenario.name).join(', ');
    console.error(`no scenario named ${unknown.join(', ')}; there are: ${known}`);
    process.exit(2);
  }
  return names.length === 0 ? SCENARIOS : SCENARIOS.filter(({ name }) => names.includes(name));
}

function save(): void {
  mkdirSync(dirname(options.json), { recursive: true });
  const finishedAt = new Date();
  const result = {
    startedAt,
    finishedAt,
    quick: options.quick,
    sink: sinkKind,
    machine,
    failures,
    rows,
  };
  writeFileSync(options.json, `${JSON.stringify(result, undefined, 2)}\n`);
  console.log(`\nwritten to ${options.json}`);
}
