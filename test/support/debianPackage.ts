import { execFileSync } from 'node:child_process';

/**
 * Where the first of these commands is. When there is none, Debian's package is installed, where that
 * is possible (apt-get, as root); undefined when it is not.
 */
export function findOrInstall(
  commands: readonly string[],
  debianPackage: string,
): string | undefined {
  const found = find(commands);
  if (found !== undefined || process.getuid?.() !== 0) return found;
  const install = `apt-get install -y -o DPkg::Lock::Timeout=120 --no-install-recommends ${debianPackage}`;
  try {
    execFileSync('sh', ['-c', `${install} || (apt-get update && ${install})`], {
      stdio: 'ignore',
      // What a package asks is answered by its default; two that install at once take turns.
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
  } catch {
    return undefined;
  }
  return find(commands);
}

function find(commands: readonly string[]): string | undefined {
  const ask = commands.map((command) => `command -v ${command}`).join(' || ');
  try {
    return execFileSync('sh', ['-c', `PATH=$PATH:/usr/sbin; ${ask}`], { encoding: 'utf8' }).trim();
  } catch {
    return undefined;
  }
}
