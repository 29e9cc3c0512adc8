import { chmod, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Where services are, and the tokens for them: what `belfry login` keeps. */
export interface Credentials {
  /** The service that commands talk to, unless they are told another. */
  readonly url: string | undefined;
  /** By the URL of their service. */
  readonly tokens: Readonly<Record<string, string>>;
}

const none: Credentials = { url: undefined, tokens: {} };

/** A file of the user's own configuration, which nobody else may read. */
export async function readCredentials(path: string): Promise<Credentials> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (err) {
    if (isMissing(err)) return none;
    throw err;
  }
  const { mode } = await stat(path);
  if ((mode & 0o077) !== 0) {
    throw new Error(`${path} may be read by others: "chmod 600 ${path}", or log in anew`);
  }
  return parse(text, path);
}

/** In one step: whoever reads it meanwhile finds the old or the new. */
export async function writeCredentials(path: string, credentials: Credentials): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const beside = `${path}.${process.pid}`;
  try {
    await writeFile(beside, `${JSON.stringify(credentials, undefined, 2)}\n`, { mode: 0o600 });
    // A umask may have taken more away than was asked for.
    await chmod(beside, 0o600);
    await rename(beside, path);
  } catch (err) {
    await rm(beside, { force: true });
    throw err;
  }
}

function parse(text: string, path: string): Credentials {
  const tokens: Record<string, string> = {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (typeof value !== 'object' || value === null) {
    throw new Error(`${path} is not what "belfry login" writes: remove it, and log in anew`);
  }
  const given = 'tokens' in value ? value.tokens : undefined;
  if (typeof given === 'object' && given !== null) {
    for (const [url, token] of Object.entries(given)) {
      if (typeof token === 'string') tokens[url] = token;
    }
  }
  const url = 'url' in value && typeof value.url === 'string' ? value.url : undefined;
  return { url, tokens };
}

function isMissing(err: unknown): boolean {
  return err instanceof Error && 'code' in err && err.code === 'ENOENT';
}
