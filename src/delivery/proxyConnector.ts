import { connect, type Socket } from 'node:net';
import type { EgressProxy } from '../core/egressSettings.ts';
import { portOf } from '../core/target.ts';
import type { AddressGuard } from './addressGuard.ts';
import { TargetNotAllowed } from './guardedConnector.ts';
import { createTlsConnector, type Connector } from './tlsConnector.ts';

/** The proxy could not be reached, or made no connection. The message is for the operator. */
export class ProxyFailed extends Error {
  readonly code = 'BELFRY_PROXY_FAILED';
}

const headBytesMax = 16 * 1024;

/**
 * Has a proxy make the connections (CONNECT, RFC 9110 9.3.6), to http and https targets alike. Names
 * are not looked up here: the proxy does that, and judges where they lead. What the URL says is
 * judged as without a proxy.
 */
export function createProxyConnector(options: {
  guard: AddressGuard;
  proxy: EgressProxy;
  /** For the tunnel, and then for TLS in it. */
  connectTimeoutMs: number;
}): Connector {
  const { guard, proxy, connectTimeoutMs } = options;
  const overTls = createTlsConnector({ timeout: connectTimeoutMs });

  return (target, callback) => {
    const objection = guard.judgeUrl(target);
    if (objection !== undefined) return callback(new TargetNotAllowed(objection.reason), null);
    const { hostname } = target;
    const host = hostname.includes(':') ? `[${hostname.replace(/^\[|\]$/g, '')}]` : hostname;
    openTunnel({ proxy, authority: `${host}:${portOf(target)}`, timeoutMs: connectTimeoutMs }).then(
      (socket) => {
        if (target.protocol === 'https:') overTls({ ...target, httpSocket: socket }, callback);
        else callback(null, socket);
      },
      (err: Error) => callback(err, null),
    );
  };
}

/** @throws ProxyFailed */
function openTunnel(options: {
  proxy: EgressProxy;
  /** host:port of the target. */
  authority: string;
  timeoutMs: number;
}): Promise<Socket> {
  const { proxy, authority, timeoutMs } = options;
  return new Promise((resolve, reject) => {
    const socket = connect({ host: proxy.host, port: proxy.port, noDelay: true, keepAlive: true });
    let head = Buffer.alloc(0);
    const fail = (reason: string) => {
      settle();
      socket.on('error', () => undefined).destroy();
      reject(new ProxyFailed(`${authority} by the proxy: ${reason}`));
    };
    const onError = (err: Error) => fail(err.message);
    const onClose = () => fail('it closed the connection');
    const deadline = setTimeout(() => fail('no answer in time'), timeoutMs);
    const onReadable = () => {
      for (let chunk = readFrom(socket); chunk !== null; chunk = readFrom(socket)) {
        head = Buffer.concat([head, chunk]);
      }
      const end = head.indexOf('\r\n\r\n');
      if (end === -1) {
        if (head.length > headBytesMax) fail('its answer is no HTTP');
        return;
      }
      const status = /^HTTP\/1\.[01] (\d{3})[ \r]/.exec(head.toString('latin1'))?.[1];
      if (status === undefined) return fail('its answer is no HTTP');
      if (!status.startsWith('2')) return fail(`it answered ${status}`);
      // In HTTP and in TLS the client speaks first: this would be taken for an answer.
      if (end + 4 < head.length) return fail('more came than its answer');
      settle();
      resolve(socket);
    };
    function settle(): void {
      clearTimeout(deadline);
      socket.off('error', onError).off('close', onClose).off('readable', onReadable);
    }
    socket.on('error', onError).on('close', onClose).on('readable', onReadable);
    const authorization =
      proxy.authorization === undefined ? '' : `proxy-authorization: ${proxy.authorization}\r\n`;
    socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n${authorization}\r\n`);
  });
}

function readFrom(socket: Socket): Buffer | null {
  const chunk: unknown = socket.read();
  return Buffer.isBuffer(chunk) ? chunk : null;
}
