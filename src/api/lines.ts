import { BelfryError } from '../core/errors.ts';

const newline = 0x0a;

/**
 * The lines of a stream, without those that are blank; holds no more than one line and one chunk.
 * @throws BelfryError `body_too_large` for a line of more than `lineBytesMax`.
 */
export async function* linesOf(
  stream: AsyncIterable<Buffer>,
  lineBytesMax: number,
): AsyncGenerator<Buffer> {
  let started: Buffer[] = [];
  let startedBytes = 0;

  function take(part: Buffer): void {
    startedBytes += part.length;
    if (startedBytes > lineBytesMax) {
      throw new BelfryError('body_too_large', `a line is longer than ${lineBytesMax} bytes`);
    }
    if (part.length > 0) started.push(part);
  }

  function finish(): Buffer {
    const line =
      started.length === 1 && started[0] !== undefined ? started[0] : Buffer.concat(started);
    started = [];
    startedBytes = 0;
    return line;
  }

  for await (const chunk of stream) {
    let from = 0;
    for (;;) {
      const end = chunk.indexOf(newline, from);
      if (end === -1) break;
      take(chunk.subarray(from, end));
      const line = finish();
      if (!isBlank(line)) yield line;
      from = end + 1;
    }
    take(chunk.subarray(from));
  }
  const line = finish();
  if (!isBlank(line)) yield line;
}

function isBlank(line: Buffer): boolean {
  return line.length === 0 || line.toString('latin1').trim() === '';
}
