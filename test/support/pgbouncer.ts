import { spawn } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findOrInstall } from './debianPackage.ts';
import { eventually } from './eventually.ts';
import { startPostgresProxy } from './tcpProxy.ts';

/** A PgBouncer in transaction mode, as Debian ships it, in front of one database. */
export interface Pgbouncer extends AsyncDisposable {
  readonly url: string;
}

const isRoot = process.getuid?.() === 0;

/** PgBouncer, installed where that is needed and possible; undefined when there is none. */
export function pgbouncerCommand(): string | undefined {
  return findOrInstall(['pgbouncer'], 'pgbouncer');
}

export async function startPgbouncer(command: string, databaseUrl: string): Promise<Pgbouncer> {
  // It runs as another user than the server, whose socket it may not enter: so it goes by TCP.
  const proxied = await startPostgresProxy(databaseUrl);
  const { hostname, port, username, password } = new URL(proxied.url);
  const listenPort = await freePort();
  const directory = await mkdtemp(join(tmpdir(), 'belfry-pgbouncer-'));
  const quoted = (value: string) => `'${decodeURIComponent(value).replaceAll("'", "''")}'`;
  await writeFile(
    join(directory, 'pgbouncer.ini'),
    `[databases]
* = host=${hostname} port=${port} user=${quoted(username)} password=${quoted(password)}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${listenPort}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 8
max_client_conn = 200
`,
  );
  await chmod(directory, 0o755);
  const child = spawn(
    command,
    ['-q', ...(isRoot ? ['-u', 'nobody'] : []), join(directory, 'pgbouncer.ini')],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  await eventually('PgBouncer listens', () => {
    if (child.exitCode !== null) throw new Error(`PgBouncer ended: ${said}`);
    return accepts(listenPort);
  });
  const url = new URL(proxied.url);
  url.port = String(listenPort);
  return {
    url: url.href,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
      await proxied[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
