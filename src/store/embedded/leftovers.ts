import { randomBytes } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Logger } from 'pino';

const MARK = '.new-';

/**
 * A new name beside `path` for something that gets its real name, by a rename, when it is
 * complete. Random, so that what an interrupted start still writes to is never written by two.
 */
export function temporarySibling(path: string): string {
  return `${path}${MARK}${randomBytes(6).toString('hex')}`;
}

/** Removes what processes that were killed left half done beside `path`. */
export async function removeLeftovers(path: string, log: Logger): Promise<void> {
  const directory = dirname(path);
  const prefix = basename(path) + MARK;
  for (const name of await readdir(directory)) {
    if (!name.startsWith(prefix)) continue;
    const leftover = join(directory, name);
    // An initdb that outlived its parent may still write there: then the next start removes it.
    await rm(leftover, { recursive: true, force: true, maxRetries: 3 }).catch((err: unknown) =>
      log.warn({ err, leftover }, 'could not remove what an interrupted start left'),
    );
  }
}
