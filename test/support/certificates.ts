import { generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';

/** A certificate and its key, both PEM, as `tls.createServer` takes them. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** An authority made on the spot, and what it signs. ECDSA over P-256 (RFC 5280, RFC 5758). */
export interface Authority {
  readonly cert: string;
  /** For these DNS names and IPv4 addresses; valid for a day around now unless told otherwise. */
  issue(names: readonly string[], validity?: { from?: Date; to?: Date }): Certificate;
}

const dayMs = 86_400_000;

export function createAuthority(): Authority {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuer = name(`Belfry test authority ${randomBytes(4).toString('hex')}`);
  const around = { from: new Date(Date.now() - dayMs), to: new Date(Date.now() + dayMs) };
  // basicConstraints, critical: an authority.
  const constraints = extension('551d13', sequence(der(0x01, Buffer.from([0xff]))), true);
  const own = { issuer, subject: issuer, publicKey, extensions: [constraints], ...around };
  return {
    cert: certificate(own, privateKey),
    issue(names, validity = {}) {
      const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const subject = name(names[0] ?? '');
      const alternatives = extension('551d11', sequence(...names.map(alternative)), false);
      const extensions = [alternatives];
      const leaf = { issuer, subject, publicKey: pair.publicKey, extensions, ...around };
      return {
        cert: certificate({ ...leaf, ...validity }, privateKey),
        key: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      };
    },
  };
}

interface Fields {
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly publicKey: KeyObject;
  readonly extensions: readonly Buffer[];
  readonly from: Date;
  readonly to: Date;
}

/** ecdsa-with-SHA256 */
const algorithm = sequence(der(0x06, Buffer.from('2a8648ce3d040302', 'hex')));

function certificate(fields: Fields, signer: KeyObject): string {
  const serial = randomBytes(8);
  serial[0] = 1;
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, serial),
    algorithm,
    fields.issuer,
    sequence(time(fields.from), time(fields.to)),
    fields.subject,
    fields.publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...fields.extensions)),
  );
  const signature = sign('sha256', body, signer);
  const whole = sequence(body, algorithm, der(0x03, Buffer.concat([Buffer.from([0]), signature])));
  const lines = whole.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

function extension(oidHex: string, value: Buffer, isCritical: boolean): Buffer {
  const critical = isCritical ? [der(0x01, Buffer.from([0xff]))] : [];
  return sequence(der(0x06, Buffer.from(oidHex, 'hex')), ...critical, der(0x04, value));
}

/** A common name alone. */
function name(text: string): Buffer {
  const oid = der(0x06, Buffer.from('550403', 'hex'));
  return sequence(der(0x31, sequence(oid, der(0x0c, Buffer.from(text)))));
}

function alternative(text: string): Buffer {
  const isAddress = /^\d+(\.\d+){3}$/.test(text);
  return isAddress
    ? der(0x87, Buffer.from(text.split('.').map(Number)))
    : der(0x82, Buffer.from(text));
}

function time(date: Date): Buffer {
  return der(0x18, Buffer.from(date.toISOString().replace(/[-:T]|\.\d+/g, '')));
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(0x30, Buffer.concat(parts));
}

function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content]);
  return Buffer.concat([Buffer.from([tag, 0x82, length >> 8, length & 0xff]), content]);
}
