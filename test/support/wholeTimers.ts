import assert from 'node:assert/strict';
import type { TestApp } from './app.ts';
import { assertProblem, request, type Answer } from './http.ts';

/** What a change may come to: all that was answered, or nothing. For a service that fires nothing. */
export function wholeTimers(app: TestApp) {
  const target = 'http://127.0.0.1:9/x';

  async function createTimer(): Promise<number> {
    const { status, body } = await app.post({
      url: target,
      delay: 3_600,
      body: 'kept',
      labels: ['kept'],
    });
    assert.equal(status, 201);
    return Number(body['id']);
  }

  function send(method: string, path: string, body: unknown, headers: Record<string, string> = {}) {
    return request(`${app.url}${path}`, { method, headers, body: JSON.stringify(body) });
  }

  async function read(path: string): Promise<Record<string, unknown>> {
    const { status, text, body } = await request(`${app.url}${path}`);
    assert.equal(status, 200, text);
    return { ...body, time_left: 0 };
  }

  /** A refusal leaves the timer as it was; a change makes the next version, which is what was answered. */
  async function assertWhole(answer: Answer, before: Record<string, unknown>): Promise<boolean> {
    const now = await read(`/timers/${Number(before['id'])}`);
    if (answer.status >= 300) {
      assertProblem(answer, { status: answer.status });
      assert.ok(answer.status < 500, answer.text);
      assert.deepEqual(now, before);
      return false;
    }
    assert.equal(now['version'], Number(before['version']) + 1, answer.text);
    assert.deepEqual(now, { ...answer.body, time_left: 0 });
    return true;
  }

  return { target, createTimer, send, read, assertWhole };
}
