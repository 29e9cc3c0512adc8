import { randomBytes } from 'node:crypto';
import { link, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseSecretKeys, type SecretKey } from '../../core/secretBox.ts';
import { temporarySibling } from './leftovers.ts';
import { hasCode, isMissing } from './systemError.ts';

/** Where the keys are that were made for an embedded database: beside it, in no dump of it. */
export function secretKeyPath(dataDir: string): string {
  return join(dataDir, 'secret.keys');
}

/**
 * The keys of that file, written as in SECRET_KEYS; none when there is no file.
 * @throws Error when it cannot be read (another user's) or holds something else.
 */
export async function readSecretKeyFile(dataDir: string): Promise<readonly SecretKey[]> {
  const path = secretKeyPath(dataDir);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (isMissing(cause)) return [];
    throw new Error(`Cannot read ${path}: run this as the user that Belfry runs as`, { cause });
  }
  const keys = parseSecretKeys(text);
  if (keys === undefined) throw new Error(`${path} does not hold what SECRET_KEYS takes`);
  return keys;
}

/** Makes a key and keeps it, mode 0600, in one step; of two that do, both get the one of the first. */
export async function createSecretKeyFile(dataDir: string): Promise<readonly SecretKey[]> {
  const path = secretKeyPath(dataDir);
  const partial = temporarySibling(path);
  // An id of its own, so that it never meets another key of that name.
  const text = `made-${randomBytes(5).toString('hex')}:${randomBytes(32).toString('base64')}\n`;
  await writeFile(partial, text, { mode: 0o600, flag: 'wx', flush: true });
  try {
    await link(partial, path);
  } catch (err) {
    if (!hasCode(err, 'EEXIST')) throw err;
  } finally {
    await rm(partial, { force: true });
  }
  return readSecretKeyFile(dataDir);
}
