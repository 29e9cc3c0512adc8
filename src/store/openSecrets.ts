import type { SecretKey } from '../core/secretBox.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Database } from './database.ts';
import type { NearTimers } from './insertTimers.ts';
import { createSecretRotation } from './rotateSecrets.ts';
import { forgetOtherSecretKeys, openSecretBox, registerSecretKey } from './secretKeys.ts';
import { createSecretStore } from './secrets.ts';
import { createSigningKeyStore } from './signingKeys.ts';

/**
 * All that is kept encrypted, and the keys for it.
 * @throws Error when something in the database is under a key that is not there, or is another.
 */
export async function openSecrets(options: {
  database: Database;
  /** Its connections have `listSettings`. */
  listDatabase: Database;
  secretKeys: readonly SecretKey[] | undefined;
  /** Undefined for another database than the embedded one. */
  embeddedDataDir: string | undefined;
  log: Logger;
}) {
  const { database, listDatabase, secretKeys, embeddedDataDir, log } = options;
  const box = await openSecretBox({ database, configured: secretKeys, embeddedDataDir });
  if (box === undefined) {
    log.info('SECRET_KEYS is not set: secret headers and named secrets are refused');
  }
  return {
    ...createSecretStore(database, box),
    signingKeys: createSigningKeyStore(database, box),
    /** Undefined without keys. */
    box,
    /** Again now and then: see `registerSecretKey`. */
    register: () => (box === undefined ? Promise.resolve() : registerSecretKey(database, box)),
    /** The steps of a rotation; undefined without keys. */
    rotation: (near: Pick<NearTimers, 'committed'>) =>
      box === undefined
        ? undefined
        : {
            keyId: box.keyId,
            step: createSecretRotation({ database, walkDatabase: listDatabase, box, near }),
            forgetOtherKeys: () => forgetOtherSecretKeys(database, box),
          },
  };
}
