import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { callSlowReceivers } from '../support/slowReceivers.ts';

/**
 * So many receivers at once that drip their answers or say nothing. Each attempt ends as a timeout at
 * its deadline, and this process grows by no more than the bound: about 50 KB a receiver (undici's
 * client and parser, the socket, and what is not collected yet), in the second round no more.
 */
export async function slowReceivers(
  t: TestContext,
  options: {
    count: number;
    timeoutMs: number;
    rounds: number;
    lateMsMax: number;
    grownMbMax: number;
  },
): Promise<void> {
  const { count, timeoutMs, rounds, lateMsMax, grownMbMax } = options;
  const { results, resultMsMax, freeMsMax, grownBytesMax } = await callSlowReceivers({
    count,
    timeoutMs,
    rounds,
  });
  const grownMb = Math.round(grownBytesMax / 1e6);
  const lateMs = Math.round(resultMsMax - timeoutMs);
  t.diagnostic(
    `${count} receivers: the last ended ${lateMs} ms after its deadline; + ${grownMb} MB`,
  );
  assert.equal(results.length, count * rounds);
  for (const result of results) assert.deepEqual(result, { kind: 'error', errorCode: 'timeout' });
  assert.ok(lateMs <= lateMsMax, `${lateMs} ms after the deadline`);
  assert.ok(freeMsMax - timeoutMs <= lateMsMax, 'and its connection with it');
  assert.ok(grownMb <= grownMbMax, `+ ${grownMb} MB`);
}
