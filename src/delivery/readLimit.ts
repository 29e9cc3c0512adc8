import type { Socket } from 'node:net';
import type { buildConnector } from 'undici';
import type { Connector } from './tlsConnector.ts';

/**
 * What may come in after a request: the headers, the body and the 1xx responses that are read, and
 * room for how they are framed.
 */
export const answerBytesMax = 1024 * 1024;
const lookEveryMs = 50;

/** More came in than any answer that is read. */
export class AnswerTooLong extends Error {
  readonly code = 'BELFRY_ANSWER_TOO_LONG';
}

interface Watched {
  /** When this changes, another request is on its way: what comes in counts anew. */
  bytesWritten: number;
  bytesReadBefore: number;
}

/**
 * Closes connections on which more comes in than an answer may have. What the HTTP client counts are
 * headers and body; a receiver that sends blank lines, a chunk extension or trailers without an end
 * would have us parse as fast as the network goes until the deadline. Looked at every 50 ms and not
 * as it comes: a look costs less than 1 µs a connection, and nothing when there are none.
 */
export function withReadLimit(connect: Connector): Connector {
  const sockets = new Map<Socket, Watched>();
  let timer: NodeJS.Timeout | undefined;

  function look(): void {
    for (const [socket, watched] of sockets) {
      const { bytesWritten, bytesRead } = socket;
      if (bytesWritten !== watched.bytesWritten) {
        watched.bytesWritten = bytesWritten;
        watched.bytesReadBefore = bytesRead;
      } else if (bytesRead - watched.bytesReadBefore > answerBytesMax) {
        socket.destroy(new AnswerTooLong('more came in than an answer may have'));
      }
    }
  }

  function forget(socket: Socket): void {
    sockets.delete(socket);
    if (sockets.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  }

  return (target, callback) => {
    const watched: buildConnector.Callback = (...[err, socket]) => {
      if (err !== null) return callback(err, null);
      sockets.set(socket, { bytesWritten: 0, bytesReadBefore: 0 });
      socket.once('close', () => forget(socket));
      timer ??= setInterval(look, lookEveryMs).unref();
      callback(null, socket);
    };
    connect(target, watched);
  };
}
