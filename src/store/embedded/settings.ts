import { totalmem } from 'node:os';

const MEBIBYTE = 1024 * 1024;

/**
 * Settings that Belfry's promises rest on. They go on the server's command line, which wins over
 * every file and over ALTER SYSTEM.
 */
const FIXED = {
  listen_addresses: '',
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
} as const;

/** Settings that nobody else may give: the fixed ones, and those that say where the server is. */
const RESERVED = new Set<string>([
  ...Object.keys(FIXED),
  'port',
  'unix_socket_directories',
  'unix_socket_permissions',
  'data_directory',
  'hba_file',
  'logging_collector',
]);

/** The fixed settings as arguments of `postgres`. */
export function fixedArguments(): string[] {
  return Object.entries(FIXED).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** Throws when `settings` holds one that must stay as it is, or a name that is none. */
export function checkServerSettings(settings: Readonly<Record<string, string>>): void {
  for (const name of Object.keys(settings)) {
    if (RESERVED.has(name.toLowerCase())) {
      throw new Error(`The embedded PostgreSQL's setting ${name} cannot be changed`);
    }
    if (!/^[a-z_][a-z0-9_.]*$/i.test(name)) {
      throw new Error(`${JSON.stringify(name)} is not the name of a PostgreSQL setting`);
    }
  }
}

/**
 * The text of `postgresql.conf`, for a queue on a small machine. `extra` wins over our defaults;
 * an operator's ALTER SYSTEM wins over both.
 */
export function renderConfiguration(options: {
  socketDir: string;
  port: number;
  extra: Readonly<Record<string, string>>;
}): string {
  const settings = {
    ...queueSettings(memoryBytes()),
    // A list, whose items keep blanks and commas only inside double quotes.
    unix_socket_directories: `"${options.socketDir.replaceAll('"', '""')}"`,
    unix_socket_permissions: '0700',
    port: String(options.port),
    ...options.extra,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${quote(value)}`);
  return [
    '# Written by Belfry at every start of the server. Keep your own settings with ALTER SYSTEM.',
    ...lines,
    '',
  ].join('\n');
}

/** Pure: the defaults for a machine (or container) with that much memory. */
export function queueSettings(memoryBytes: number): Record<string, string> {
  return {
    max_connections: '100',
    shared_buffers: memoryBytes >= 2048 * MEBIBYTE ? '256MB' : '128MB',
    effective_cache_size: `${Math.max(256, Math.floor(memoryBytes / 2 / MEBIBYTE))}MB`,
    work_mem: '8MB',
    // Few checkpoints, so few full-page images; replaying this much takes some ten seconds.
    max_wal_size: '2GB',
    min_wal_size: '256MB',
    wal_buffers: '16MB',
    checkpoint_timeout: '10min',
    random_page_cost: '1.1',
    // Short statements: compiling them costs more than running them.
    jit: 'off',
    // Two cores are better spent on the next claim, and a container's /dev/shm is often 64 MB.
    max_parallel_workers_per_gather: '0',
    // A hot table dies by its dead rows: look often, and start early. Timers are vacuumed without pauses, as the table
    // itself says (0.1 s for 100,000), all else at the default pace.
    autovacuum_naptime: '10s',
    autovacuum_vacuum_scale_factor: '0.05',
    autovacuum_analyze_scale_factor: '0.05',
    // The size of ANALYZE's sample, which comes as often: of 100,000 timers it takes a core for 25 ms in place of 190
    // with the default of 100. Plans do not hang on it: see createDatabase.
    default_statistics_target: '20',
    // One forgotten transaction would keep vacuum from removing anything.
    idle_in_transaction_session_timeout: '60s',
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_destination: 'stderr',
    log_line_prefix: '%m [%p] ',
    // Statements hold what tenants send; the log must not.
    log_min_error_statement: 'panic',
    // initdb's choices, which this file replaces.
    lc_messages: 'C',
    lc_monetary: 'C',
    lc_numeric: 'C',
    lc_time: 'C',
    default_text_search_config: 'pg_catalog.simple',
  };
}

function memoryBytes(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

function quote(value: string): string {
  if (/[\r\n]/.test(value)) throw new Error('A PostgreSQL setting cannot span lines');
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}
