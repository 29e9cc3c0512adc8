import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findOrInstall } from './debianPackage.ts';

/** What a browser made of a page. */
export interface Visit {
  /** The page as it stands once its scripts have run. */
  readonly html: string;
  /** What it complained of, among it requests that a policy refused or that found nobody. */
  readonly complaints: readonly string[];
  /** Hosts that the page made requests to; what the browser asks for itself bears no page's site. */
  readonly hosts: readonly string[];
}

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
/** Chromium, installed where that is needed and possible; undefined when there is none. */
export function findChromium(): string | undefined {
  return findOrInstall(names, 'chromium');
}

/** Shows a page to a browser that finds no host but this machine. */
export async function visit(chromium: string, url: string): Promise<Visit> {
  const dir = await mkdtemp(join(tmpdir(), 'belfry-browser-'));
  const netLog = join(dir, 'net.json');
  try {
    const { stdout, stderr } = await promisify(execFile)(
      chromium,
      [
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        '--disable-background-networking',
        '--disable-component-update',
        '--no-first-run',
        `--user-data-dir=${dir}`,
        '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
        '--enable-logging=stderr',
        `--log-net-log=${netLog}`,
        '--virtual-time-budget=10000',
        '--dump-dom',
        url,
      ],
      { timeout: 120_000, maxBuffer: 64 * 1024 * 1024 },
    );
    const { protocol, hostname } = new URL(url);
    const asked = (await readFile(netLog, 'utf8')).matchAll(
      /"network_isolation_key":"([^ "]+) [^\n]*?"url":"(?:https?|wss?):\/\/([^/:"]+)/g,
    );
    const hosts = [...asked].flatMap(([, site, host = '']) =>
      site === `${protocol}//${hostname}` ? [host] : [],
    );
    return {
      html: stdout,
      complaints: stderr.split('\n').filter((line) => line.includes(':CONSOLE:')),
      hosts: [...new Set(hosts)],
    };
  } finally {
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  }
}
