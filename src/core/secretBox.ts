import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  randomFillSync,
  type KeyObject,
} from 'node:crypto';

/** A key of SECRET_KEYS. Its id stands in every record that it encrypts. */
export interface SecretKey {
  readonly id: string;
  readonly key: KeyObject;
}

/** What a record belongs to: in another place it cannot be opened. */
export interface SecretPlace {
  readonly purpose:
    'header' | 'secret' | 'signing' | 'proof' | 'destination_header' | 'destination_tls';
  /** 0 for what is of the installation. */
  readonly projectId: number;
  /**
   * The id of the timer, or the pattern of the destination, and the name of the header; the name of the
   * secret; the id of the signing key; the pattern.
   */
  readonly row: readonly (number | string)[];
}

/**
 * Encrypts what is not to be read in the database: AES-256-GCM (NIST SP 800-38D) with a random nonce
 * of 96 bits, which keeps below the bound of 2^32 records a key. A record is text,
 * `1.<key id>.<base64url of nonce, tag and ciphertext>`; that and the place are authenticated.
 *
 * 10 µs to seal and 9 to open 40 characters. The keys are `KeyObject`s: with buffers it was 39 and 35.
 */
export interface SecretBox {
  /** The key that encrypts. */
  readonly keyId: string;
  seal(place: SecretPlace, text: string): string;
  /** Undefined when the key is not there, or the record is damaged or of another place. */
  open(place: SecretPlace, record: string): string | undefined;
}

const version = '1';
const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;
const noncesAtOnce = 256;
const keyIdPattern = /^[a-z0-9_-]{1,16}$/;

/** The first key encrypts, all decrypt. @throws Error without a key. */
export function createSecretBox(keys: readonly SecretKey[]): SecretBox {
  const [first] = keys;
  if (first === undefined) throw new Error('a secret box needs a key');
  const byId = new Map(keys.toReversed().map(({ id, key }) => [id, key]));
  return {
    keyId: first.id,
    seal(place, text) {
      const nonce = nextNonce();
      const cipher = createCipheriv('aes-256-gcm', first.key, nonce);
      cipher.setAAD(additionalData(first.id, place));
      const ciphertext = cipher.update(text, 'utf8');
      cipher.final();
      const record = Buffer.concat([nonce, cipher.getAuthTag(), ciphertext]);
      return `${version}.${first.id}.${record.toString('base64url')}`;
    },
    open(place, text) {
      const [given, id = '', encoded = '', ...rest] = text.split('.');
      const key = byId.get(id);
      const record = Buffer.from(encoded, 'base64url');
      // The decoder takes other spellings of the same bytes as well.
      const isExact = record.toString('base64url') === encoded;
      const isRecord = given === version && rest.length === 0 && isExact;
      if (!isRecord || key === undefined || record.length < nonceBytes + tagBytes) return undefined;
      const decipher = createDecipheriv('aes-256-gcm', key, record.subarray(0, nonceBytes), {
        authTagLength: tagBytes,
      });
      decipher.setAAD(additionalData(id, place));
      decipher.setAuthTag(record.subarray(nonceBytes, nonceBytes + tagBytes));
      const opened = decipher.update(record.subarray(nonceBytes + tagBytes));
      try {
        decipher.final();
      } catch {
        return undefined;
      }
      return opened.toString('utf8');
    },
  };
}

/** The key under which a record is; undefined for what is none. */
export function keyIdOf(record: string): string | undefined {
  const [given, id] = record.split('.', 2);
  return given === version ? id : undefined;
}

/**
 * Reads SECRET_KEYS: `id:key`, several separated by commas or blanks, each key 32 bytes in base64.
 * Undefined for anything else, an id that is given twice, or none.
 */
export function parseSecretKeys(text: string): readonly SecretKey[] | undefined {
  const entries = text.split(/[\s,]+/).filter((entry) => entry !== '');
  const keys: SecretKey[] = [];
  for (const entry of entries) {
    const [, id = '', encoded = ''] = /^([^:]*):([A-Za-z0-9+/_-]{43}=?)$/.exec(entry) ?? [];
    const bytes = Buffer.from(encoded, 'base64');
    if (!keyIdPattern.test(id) || bytes.length !== keyBytes) return undefined;
    if (keys.some((key) => key.id === id)) return undefined;
    keys.push({ id, key: createSecretKey(bytes) });
  }
  return keys.length === 0 ? undefined : keys;
}

/** JSON: no two places are the same text. */
function additionalData(keyId: string, { purpose, projectId, row }: SecretPlace): Buffer {
  return Buffer.from(JSON.stringify(['belfry', version, keyId, purpose, projectId, ...row]));
}

// Asked for one by one they cost 4 µs each.
const nonces = Buffer.alloc(nonceBytes * noncesAtOnce);
let nonceAt = nonces.length;

function nextNonce(): Buffer {
  if (nonceAt === nonces.length) {
    randomFillSync(nonces);
    nonceAt = 0;
  }
  const nonce = Buffer.from(nonces.subarray(nonceAt, nonceAt + nonceBytes));
  nonceAt += nonceBytes;
  return nonce;
}
