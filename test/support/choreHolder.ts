import { createChores } from '../../src/scheduler/chores.ts';
import { createChoreLeaseStore } from '../../src/store/choreLease.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { openDatabase } from './database.ts';

/** A process that takes the lease of a chore and never ends: node choreHolder.ts <url> <name> <ttl>. */
const [, , url = '', name = '', ttlMs = ''] = process.argv;
const chores = createChores({
  chores: [
    {
      name,
      everyMs: 1,
      lease: true,
      run() {
        process.stdout.write('holding\n');
        return new Promise(() => setInterval(() => undefined, 1_000));
      },
    },
  ],
  leases: createChoreLeaseStore(openDatabase(url)),
  leaseTtlMs: Number(ttlMs),
  log: silentLog(),
});
chores.start();
