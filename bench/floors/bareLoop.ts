import { Agent, request } from 'undici';
import { serveParent } from '../harness/child.ts';
import { attemptHeaders } from './attemptHeaders.ts';

/** The floor of burst and drain: what this client can post to that sink with nothing else to do. */
export interface LoopInput {
  readonly sinkPort: number;
  readonly count: number;
  readonly connections: number;
}

async function run({ sinkPort, count, connections }: LoopInput): Promise<void> {
  const agent = new Agent({ connections, pipelining: 1 });
  let sent = 0;
  const lane = async () => {
    while (sent < count) {
      sent += 1;
      const url = `http://127.0.0.1:${sinkPort}/any/${sent}`;
      const { body } = await request(url, {
        method: 'POST',
        headers: attemptHeaders,
        dispatcher: agent,
      });
      await body.dump();
    }
  };
  await Promise.all(Array.from({ length: connections }, lane));
  await agent.close();
}

const handlers = { run };

export type BareLoopHandlers = typeof handlers;

serveParent(handlers);
