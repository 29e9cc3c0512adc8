import { createSecureContext, type SecureContext } from 'node:tls';
import { buildConnector } from 'undici';
import { secureContextOptions, type TlsIdentity } from '../core/tlsIdentity.ts';

/** Makes connections; to https as whom the target says, and trusting whom that says. */
export type Connector = (
  target: buildConnector.Options & { readonly tls?: TlsIdentity | undefined },
  callback: buildConnector.Callback,
) => void;

/** HTTP/1.1 only: what is known of hostile receivers, and tested, is known of that. */
const connectorOptions = { allowH2: false } as const;

/**
 * What connects in the end, by undici. Of an identity each connection has a connector of its own: one
 * that is shared resumes TLS sessions, in which the other side knows again whom it once saw.
 */
export function createTlsConnector(options: buildConnector.BuildOptions): Connector {
  const plain = buildConnector({ ...options, ...connectorOptions });
  return ({ tls, ...target }, callback) => {
    if (tls === undefined || target.protocol !== 'https:') return plain(target, callback);
    const connect = buildConnector({
      ...options,
      ...connectorOptions,
      secureContext: secureContextOf(tls),
    });
    connect(target, callback);
  };
}

/** 0.6 ms to make: kept for as long as the identity is. */
const contexts = new WeakMap<TlsIdentity, SecureContext>();

function secureContextOf(identity: TlsIdentity): SecureContext {
  let context = contexts.get(identity);
  if (context === undefined) {
    context = createSecureContext(secureContextOptions(identity.reveal()));
    contexts.set(identity, context);
  }
  return context;
}
