import { readFileSync } from 'node:fs';

/**
 * Reads now, and when the returned function is called, what the host of a virtual machine has given to others
 * while something wanted to run here: percent of all cores (`steal` of /proc/stat, proc_stat(5)). Where a tenth
 * or more is missing, so is what a figure is worth.
 */
export function startStolenMeter(): () => number {
  const before = readCores();
  return () => {
    const after = readCores();
    const ticks = after.ticks - before.ticks;
    return ticks === 0 ? 0 : (100 * (after.stolen - before.stolen)) / ticks;
  };
}

function readCores(): { ticks: number; stolen: number } {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
  // user nice system idle iowait irq softirq steal; what guests have is in user and nice already.
  const counts = line.trim().split(/\s+/).slice(1, 9).map(Number);
  return { ticks: counts.reduce((sum, count) => sum + count, 0), stolen: counts[7] ?? 0 };
}
