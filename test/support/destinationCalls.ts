/** Gets every status that routes about destinations answer with, but those of tokens and outages. */
export async function callDestinations(by: {
  call: (method: string, path: string, body?: unknown, headers?: object) => Promise<unknown>;
  /** A request as its bytes. */
  raw: (bytes: string) => Promise<void>;
  /** A body that is too large. */
  large: object;
  /** What follows the request line of one that is no HTTP. */
  noChunk: string;
}): Promise<void> {
  const { call, raw, large, noChunk } = by;
  const hosts = '/destinations/*.example.com';
  const none = '/destinations/none.example.com';
  await call('PUT', hosts, { timeout: 1, rate: { count: 1, per: 'hour' } });
  await call('PUT', hosts, { headers: { 'x-a': ['1', '2'] } });
  await call('PUT', hosts, { timeout: 0 });
  await call('PATCH', hosts, { concurrency: 5 });
  await call('PATCH', hosts, {});
  await call('PATCH', none, { concurrency: 5 });
  for (const method of ['PUT', 'PATCH', 'DELETE']) {
    await call(method, hosts, { timeout: 1 }, { 'if-match': '"99"' });
    await call(method, hosts, large);
  }
  for (const action of ['pause', 'resume']) {
    await call('POST', `${hosts}/${action}`);
    await call('POST', `${none}/${action}`);
    await call('POST', `${hosts}/${action}`, large);
    await call('POST', `${hosts}/${action}`, { x: 1 });
  }
  await call('GET', hosts);
  await call('GET', none);
  await call('GET', '/destinations');
  await raw(`GET /destinations HTTP/1.1\r\n${noChunk}`);
  await raw(`GET ${hosts} HTTP/1.1\r\n${noChunk}`);
  await call('DELETE', hosts, '{');
  await call('DELETE', hosts);
  await call('DELETE', hosts);
  // One is open, as the caller has seen to.
  const reset = `/breakers/${encodeURIComponent('https://api.example.com')}/reset`;
  await call('GET', '/breakers');
  await call('POST', reset);
  await call('POST', reset);
  await call('POST', reset, large);
  await call('POST', reset, { x: 1 });
  await call('POST', reset, '{');
  await raw(`GET /breakers HTTP/1.1\r\n${noChunk}`);
}
