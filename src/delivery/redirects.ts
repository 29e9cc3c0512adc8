import type { HttpMethod } from '../core/timer.ts';
import type { TlsIdentity } from '../core/tlsIdentity.ts';

/** What is sent in one exchange. */
export interface Hop {
  readonly origin: string;
  readonly path: string;
  readonly method: HttpMethod;
  /** Name, value, name, value, … */
  readonly headers: string[];
  readonly body: Buffer | null;
  /** As whom to connect; undefined for nobody in particular. */
  readonly tls?: TlsIdentity | undefined;
  /** What `webhook-signature` says of a body; undefined: it is not signed. */
  readonly sign?: ((body: Buffer | null) => string) | undefined;
}

/** Of one attempt so many are followed. */
export const redirectsMax = 5;

/** What may be said to an origin that the timer's owner has not named: nothing of theirs. */
const crossOriginNames = new Set([
  'belfry-attempt',
  'content-type',
  'user-agent',
  'webhook-id',
  'webhook-timestamp',
]);

/**
 * Where a response leads, by the Fetch standard (HTTP-redirect fetch): 307 and 308 keep method and
 * body, 303 and, of a POST, 301 and 302 become a GET without one. At another origin the timer's own
 * headers (credentials may be among them), the signature and the client certificate are left out; at the
 * same, what goes without the body is signed anew. Undefined for a response
 * that is no redirect, or one that is not followed: without a usable http(s) location, with
 * credentials in it, or from https to http.
 */
export function nextHop(from: Hop, status: number, location: unknown): Hop | undefined {
  if (![301, 302, 303, 307, 308].includes(status) || typeof location !== 'string') return undefined;
  const base = `${from.origin}${from.path}`;
  if (!URL.canParse(location, base)) return undefined;
  const to = new URL(location, base);
  if (!/^https?:$/.test(to.protocol) || to.username !== '' || to.password !== '') return undefined;
  if (from.origin.startsWith('https:') && to.protocol === 'http:') return undefined;

  const becomesGet =
    (status === 303 && from.method !== 'GET') || (status < 303 && from.method === 'POST');
  const isSameOrigin = to.origin === from.origin;
  const body = becomesGet ? null : from.body;
  const headers: string[] = [];
  for (const [index, name] of from.headers.entries()) {
    const lowerName = name.toLowerCase();
    if (index % 2 === 1 || (becomesGet && lowerName.startsWith('content-'))) continue;
    if (!isSameOrigin && !crossOriginNames.has(lowerName)) continue;
    const isSignature = lowerName === 'webhook-signature';
    const value = isSignature && from.sign ? from.sign(body) : from.headers[index + 1];
    headers.push(name, value ?? '');
  }
  return {
    origin: to.origin,
    path: to.pathname + to.search,
    method: becomesGet ? 'GET' : from.method,
    headers,
    body,
    tls: isSameOrigin ? from.tls : undefined,
    sign: from.sign,
  };
}
