import type { SendingSettings } from '../core/destination.ts';
import type { TlsIdentity } from '../core/tlsIdentity.ts';

type Found = TlsIdentity | null | undefined;

/** Client certificates and authorities of destinations, as they are needed. */
export interface TlsIdentities {
  /**
   * Undefined when the destination has none any more, null when it cannot be decrypted. Rejects when the
   * store cannot be asked.
   */
  read(settings: SendingSettings): Promise<Found>;
}

/** With what OpenSSL makes of one, about 40 KB each. */
const keptMax = 200;

/** Kept by settings and version, so that they need not be asked for again as long as those hold. */
export function createTlsIdentities(store: {
  tlsIdentity(settings: Pick<SendingSettings, 'id' | 'projectId'>): Promise<Found>;
}): TlsIdentities {
  const kept = new Map<string, Promise<Found>>();
  return {
    read(settings) {
      const key = `${settings.id}.${settings.version}`;
      const known = kept.get(key);
      const found = known ?? store.tlsIdentity(settings);
      // To the end: what was not used for the longest goes first.
      kept.delete(key);
      kept.set(key, found);
      if (known === undefined) {
        const drop = () => {
          if (kept.get(key) === found) kept.delete(key);
        };
        found.then((identity) => {
          if (identity === undefined || identity === null) drop();
        }, drop);
        const [oldest] = kept.keys();
        if (kept.size > keptMax && oldest !== undefined) kept.delete(oldest);
      }
      return found;
    },
  };
}
