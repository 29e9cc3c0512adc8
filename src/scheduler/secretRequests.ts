import type { AttemptErrorCode } from '../core/attempt.ts';
import type { SecretBox } from '../core/secretBox.ts';
import { arePlain, isSealed, openHeaders, type PlainHeader } from '../core/secretHeaders.ts';
import {
  isHeaderText,
  mayUseSecrets,
  resolveHeaders,
  resolveUrl,
  secretNamesIn,
} from '../core/secretTemplate.ts';
import type { SendingSettings } from '../core/destination.ts';
import type { ClaimedTimer, SentRequest, TimerRequest } from '../core/timer.ts';
import type { SecretValues } from './secretValues.ts';
import type { TlsIdentities } from './tlsIdentities.ts';

/** A request as it goes out, and what a receiver must not be recorded to have said. */
export interface ResolvedRequest {
  readonly request: SentRequest;
  readonly secrets: readonly string[];
}

/** Puts the secrets into the request of a timer, and what its destination adds, just before its attempt. */
export interface SecretRequests {
  /** Why the attempt fails, where they cannot be put in. Rejects when the store cannot be asked. */
  resolve(
    timer: ClaimedTimer,
    settings?: SendingSettings,
  ): Promise<ResolvedRequest | AttemptErrorCode>;
}

/** Whether a request goes out as it is; most do. */
export function isSent(request: TimerRequest): request is SentRequest {
  const { url, headers } = request;
  if (mayUseSecrets(url)) return false;
  return headers === null || (arePlain(headers) && !usesSecrets(headers));
}

export function createSecretRequests(options: {
  /** Undefined where the service has no keys. */
  box: SecretBox | undefined;
  values: SecretValues;
  identities: TlsIdentities;
}): SecretRequests {
  const { box, values, identities } = options;

  /** As it is kept, and with what is encrypted opened. */
  function headersOf({ id, projectId, request }: ClaimedTimer, settings?: SendingSettings) {
    const own = request.headers;
    const added = settings?.headers ?? null;
    const opened = own === null ? null : openHeaders(own, { id, projectId }, box);
    if (settings === undefined || added === null) return { kept: own, opened };
    const { pattern } = settings;
    const openedToo = openHeaders(added, { projectId, pattern }, box);
    return {
      kept: { ...added, ...own },
      opened:
        opened === undefined || openedToo === undefined ? undefined : { ...openedToo, ...opened },
    };
  }

  return {
    async resolve(timer, settings) {
      const { projectId } = timer;
      const { kept, opened } = headersOf(timer, settings);
      if (opened === undefined) return 'secret_unreadable';
      const tls = settings?.hasTls === true ? await identities.read(settings) : undefined;
      if (tls === null) return 'secret_unreadable';
      const timeoutMs = timer.request.timeoutMs ?? settings?.timeoutMs ?? null;
      const request: TimerRequest = { ...timer.request, headers: kept, timeoutMs };
      const { url } = request;
      const secrets = sealedValues(request, opened);
      const names = secretNamesIn(url, opened);
      if (names.size === 0) {
        return { request: { ...request, headers: opened, tls }, secrets };
      }
      const found = await values.read(projectId, names);
      const named = new Map<string, string>();
      for (const name of names) {
        const value = found.get(name);
        if (value === undefined) return 'secret_missing';
        if (value === null) return 'secret_unreadable';
        named.set(name, value);
      }
      const headers = opened === null ? null : resolveHeaders(opened, named);
      const sent = { ...request, url: resolveUrl(url, named), headers, tls };
      // What was written by others than the API may be what no header can hold.
      if (
        !Object.values(headers ?? {})
          .flat()
          .every(isHeaderText)
      )
        return 'request_invalid';
      const all = [...secrets, ...sealedValues(request, headers), ...named.values()];
      return { request: sent, secrets: all };
    },
  };
}

function usesSecrets(headers: Readonly<Record<string, PlainHeader>>): boolean {
  for (const name in headers) {
    const value = headers[name];
    if (typeof value === 'string' ? mayUseSecrets(value) : value?.some(mayUseSecrets) === true) {
      return true;
    }
  }
  return false;
}

/** The plain values of those headers that are kept encrypted. */
function sealedValues(
  request: TimerRequest,
  plain: Readonly<Record<string, PlainHeader>> | null,
): readonly string[] {
  if (request.headers === null || plain === null) return [];
  return Object.entries(request.headers).flatMap(([name, value]) =>
    isSealed(value) ? (plain[name] ?? []) : [],
  );
}
