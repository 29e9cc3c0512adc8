import { readdir, readFile } from 'node:fs/promises';

/** Ends a postmaster and every session of it at once, as a machine that loses power would. */
export async function killPostgres(postmasterPid: number): Promise<void> {
  // First the postmaster: it would take the death of a session for a crash and begin to recover.
  for (const pid of [postmasterPid, ...(await childrenOf(postmasterPid))]) kill(pid, 'SIGKILL');
}

/** Stops (or continues) a postmaster and all its sessions, so that no statement moves. */
export async function signalPostgres(
  postmasterPid: number,
  signal: 'SIGSTOP' | 'SIGCONT',
): Promise<void> {
  for (const pid of [...(await childrenOf(postmasterPid)), postmasterPid]) kill(pid, signal);
}

async function childrenOf(parent: number): Promise<number[]> {
  const pids = (await readdir('/proc')).map(Number).filter((pid) => pid > 0);
  const parents = await Promise.all(
    pids.map(async (pid) => {
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
      // The name in parentheses may hold anything; after it: state, parent.
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    }),
  );
  return pids.filter((_, index) => parents[index] === parent);
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended already.
  }
}
