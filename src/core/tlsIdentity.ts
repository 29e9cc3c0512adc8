import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { inspect } from 'node:util';
import { invalidField } from './errors.ts';

/** PEM text. */
export interface TlsParts {
  /** The client's certificate, and those that lead from it to an authority; with its key or not at all. */
  readonly certificate: string | null;
  readonly key: string | null;
  /** The authorities that the server's certificate must come from, in place of the public ones. */
  readonly ca: string | null;
}

/** What is shown of them. */
export interface ShownTls {
  readonly certificate: ShownCertificate | null;
  readonly authorities: readonly ShownCertificate[];
}

/** As a caller gives it. */
export interface GivenTls {
  readonly identity: TlsIdentity;
  readonly shown: ShownTls;
}

export interface ShownCertificate {
  readonly subject: string;
  /** SHA-256, as OpenSSL prints it. */
  readonly fingerprint: string;
  readonly expiresAtMs: number;
}

/**
 * As whom connections to a destination are made, and whom they trust there. Whoever prints it by
 * mistake prints its id.
 */
export class TlsIdentity {
  /** Connections of one are not used for another. */
  readonly id: string;
  readonly #parts: TlsParts;
  constructor(id: string, parts: TlsParts) {
    this.id = id;
    this.#parts = parts;
  }
  reveal(): TlsParts {
    return this.#parts;
  }
  toJSON(): string {
    return this.id;
  }
  [inspect.custom](): string {
    return `TlsIdentity ${this.id}`;
  }
}

/** Of each text; a bundle of public authorities is ten times as long. */
export const pemLengthMax = 32_768;
const certificatesMax = 20;
/** Of RSA keys. A signature with 4,096 bits takes the processor milliseconds, with 16,384 a second. */
const rsaBits = { min: 2_048, max: 4_096 };
const curves = new Set(['prime256v1', 'secp384r1', 'secp521r1']);

const certificateBlock = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;
const keyBlock = /-----BEGIN ([A-Z ]*)PRIVATE KEY-----[\s\S]+?-----END \1PRIVATE KEY-----/g;

/**
 * Reads the `tls` of a destination: what does not parse, belong together or last is refused. Anything
 * in the texts but the blocks that are asked for is left out.
 * @throws BelfryError `validation_failed` that names `tls.certificate`, `tls.key`, `tls.ca` or `tls`.
 */
export function parseTls(value: unknown, nowMs: number): GivenTls {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidField('tls', 'must be an object of certificate and key, ca, or all three');
  }
  const given = new Map<string, unknown>(Object.entries(value));
  for (const name of given.keys()) {
    if (!['certificate', 'key', 'ca'].includes(name)) {
      throw invalidField(`tls.${name.slice(0, 80)}`, 'is not one of certificate, key, ca');
    }
  }
  const certificates = parseCertificates('tls.certificate', given.get('certificate'), nowMs);
  const key = parseKey(given.get('key'));
  const authorities = parseCertificates('tls.ca', given.get('ca'), nowMs);
  const [leaf] = certificates ?? [];
  if (leaf === undefined && authorities === null) {
    throw invalidField('tls', 'must have a certificate with its key, or a ca');
  }
  if (leaf === undefined && key !== null)
    throw invalidField('tls.certificate', 'must go with a key');
  if (leaf !== undefined) {
    if (key === null) throw invalidField('tls.key', 'must go with the certificate');
    if (!leaf.checkPrivateKey(key)) {
      throw invalidField('tls.key', 'must be that of the first certificate');
    }
  }
  const parts: TlsParts = {
    certificate: certificates?.join('') ?? null,
    key: key?.export({ type: 'pkcs8', format: 'pem' }).toString() ?? null,
    ca: authorities?.join('') ?? null,
  };
  try {
    createSecureContext(secureContextOptions(parts));
  } catch {
    throw invalidField('tls', 'must be what TLS takes: these cannot be used');
  }
  return {
    identity: new TlsIdentity('new', parts),
    shown: {
      certificate: leaf === undefined ? null : shownCertificate(leaf),
      authorities: (authorities ?? []).map(shownCertificate),
    },
  };
}

/** As Node's TLS takes them. */
export function secureContextOptions({ certificate, key, ca }: TlsParts) {
  return {
    ...(certificate === null || key === null ? {} : { cert: certificate, key }),
    ...(ca === null ? {} : { ca }),
  };
}

/** Null when nothing is said. */
function parseCertificates(
  field: string,
  value: unknown,
  nowMs: number,
): readonly X509Certificate[] | null {
  if (value === undefined || value === null) return null;
  const blocks = pemText(field, value).match(certificateBlock) ?? [];
  if (blocks.length === 0 || blocks.length > certificatesMax) {
    throw invalidField(field, `must be 1 to ${certificatesMax} certificates in PEM`);
  }
  return blocks.map((block, place) => {
    const nth = blocks.length === 1 ? '' : ` (certificate ${place + 1})`;
    const certificate = parseCertificate(block);
    if (certificate === undefined) {
      throw invalidField(field, `must be certificates in PEM: this is none${nth}`);
    }
    if (certificate.validToDate.getTime() <= nowMs) {
      const since = certificate.validToDate.toISOString();
      throw invalidField(field, `must not have expired: it has, ${since}${nth}`);
    }
    return certificate;
  });
}

function parseCertificate(block: string): X509Certificate | undefined {
  try {
    const certificate = new X509Certificate(block);
    // Read now, so that what cannot be read is no certificate.
    return Number.isNaN(certificate.validToDate.getTime()) ? undefined : certificate;
  } catch {
    return undefined;
  }
}

/** Null when nothing is said. */
function parseKey(value: unknown): KeyObject | null {
  if (value === undefined || value === null) return null;
  const field = 'tls.key';
  const blocks = pemText(field, value).match(keyBlock) ?? [];
  const [block] = blocks;
  const takes = 'must be one private key in PEM';
  if (block === undefined || blocks.length > 1) throw invalidField(field, takes);
  if (/BEGIN ENCRYPTED|ENCRYPTED\s*$/m.test(block)) {
    throw invalidField(field, 'must be without a passphrase: the service encrypts it itself');
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(block);
  } catch {
    throw invalidField(field, takes);
  }
  if (!isKeyTaken(key)) {
    throw invalidField(
      field,
      `must be RSA of ${rsaBits.min} to ${rsaBits.max} bits, ECDSA over P-256, P-384 or P-521, or Ed25519`,
    );
  }
  return key;
}

function isKeyTaken({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): boolean {
  if (asymmetricKeyType === 'rsa') {
    const bits = asymmetricKeyDetails?.modulusLength ?? 0;
    return bits >= rsaBits.min && bits <= rsaBits.max;
  }
  if (asymmetricKeyType === 'ec') return curves.has(asymmetricKeyDetails?.namedCurve ?? '');
  return asymmetricKeyType === 'ed25519';
}

function pemText(field: string, value: unknown): string {
  if (typeof value === 'string' && value.length <= pemLengthMax) return value;
  throw invalidField(field, `must be PEM text of at most ${pemLengthMax} characters`);
}

function shownCertificate(certificate: X509Certificate): ShownCertificate {
  return {
    subject: certificate.subject.replaceAll('\n', ', ').slice(0, 300),
    fingerprint: certificate.fingerprint256,
    expiresAtMs: certificate.validToDate.getTime(),
  };
}
