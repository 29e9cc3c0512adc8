import { BelfryApiError, BelfryConnectionError } from '../../packages/client/src/index.ts';
import { visible } from './visible.ts';

/** An error of the service in one line: code, explanation, and the fields that it does not name. */
export function errorLine({ code, message, fields }: BelfryApiError): string {
  const others = fields
    .filter(({ field }) => !message.includes(field))
    .map(({ field, message: takes }) => `${field} ${takes}`);
  return visible([`${code}: ${message.replaceAll(/\s+/g, ' ')}`, ...others].join('; '));
}

/** What is told of a command that failed. */
export function failureText(err: unknown, url: string): string {
  if (err instanceof BelfryApiError) return errorLine(err);
  if (err instanceof BelfryConnectionError && err.reason === 'refused') {
    return `no service answers at ${url}: start one with "belfry dev", or say where it is with --url or BELFRY_URL`;
  }
  return err instanceof Error ? err.message : String(err);
}
