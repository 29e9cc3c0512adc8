import { isIP } from 'node:net';
import type { buildConnector } from 'undici';
import { portOf } from '../core/target.ts';
import type { AddressGuard } from './addressGuard.ts';
import type { NameLookup } from './nameLookup.ts';
import { createTlsConnector, type Connector } from './tlsConnector.ts';

/**
 * Refused by what the URL says. The message is for the operator: `attemptErrorCode` makes of it
 * what callers see.
 */
export class TargetNotAllowed extends Error {
  readonly code: string = 'BELFRY_TARGET_NOT_ALLOWED';
}

/**
 * Refused by where the name leads. To callers that is a name that cannot be looked up: otherwise
 * they could ask which names a network has inside.
 */
export class AnswerNotAllowed extends TargetNotAllowed {
  override readonly code = 'BELFRY_ANSWER_NOT_ALLOWED';
}

/**
 * Connects only where the guard allows: judges literals (no look-up is made for those), every
 * address of a name, and hands exactly those addresses to the connection, so that a second answer
 * of the name server has no say. The peer's address is judged once more when connected. The name
 * stays what TLS asks for and checks.
 */
export function createGuardedConnector(options: {
  guard: AddressGuard;
  names: NameLookup;
  /** For the look-up, and then for connecting. */
  connectTimeoutMs: number;
}): Connector {
  const { guard, names, connectTimeoutMs } = options;
  const direct = createTlsConnector({ timeout: connectTimeoutMs });

  async function connectorTo(host: string, port: number): Promise<Connector> {
    if (isIP(host) !== 0) return direct;
    const isNamed = guard.isNamed(host, port);
    const addresses = await (isNamed ? names.bySystem(host) : names.byDns(host));
    for (const { address } of addresses) {
      const reason = guard.judgeAddress(host, port, address);
      if (reason !== undefined) throw new AnswerNotAllowed(`${host}: ${reason}`);
    }
    return createTlsConnector({
      timeout: connectTimeoutMs,
      lookup: (_host, _options, done) => done(null, addresses),
    });
  }

  return (target, callback) => {
    const objection = guard.judgeUrl(target);
    if (objection !== undefined) return callback(new TargetNotAllowed(objection.reason), null);
    const host = target.hostname.replace(/^\[(.*)\]$/, '$1');
    const port = portOf(target);
    const checked: buildConnector.Callback = (...[err, socket]) => {
      if (err !== null) return callback(err, null);
      const peer = socket.remoteAddress;
      const reason = peer === undefined ? undefined : guard.judgeAddress(host, port, peer);
      if (reason === undefined) return callback(null, socket);
      socket.destroy();
      const Refusal = isIP(host) === 0 ? AnswerNotAllowed : TargetNotAllowed;
      callback(new Refusal(`${host}: ${reason}`), null);
    };
    connectorTo(host.replace(/\.$/, ''), port).then(
      (connect) => connect(target, checked),
      (err: Error) => callback(err, null),
    );
  };
}
