import { request } from './http.ts';

/** The value of a metric as the service shows it; summed over labels, 0 when it is not there yet. */
export async function metric(serviceUrl: string, name: string): Promise<number> {
  const { text } = await request(`${serviceUrl}/metrics`);
  let sum = 0;
  for (const line of text.split('\n')) {
    const match = /^(\w+)(?:\{[^}]*\})? (\S+)$/.exec(line);
    if (match?.[1] === name) sum += Number(match[2]);
  }
  return sum;
}
