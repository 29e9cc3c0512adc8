import { answerJson } from './answerJson.ts';
import type { DestinationChanges, DestinationSettings } from './requests.ts';
import type { Destination } from './responses.ts';
import type { Call, CallOptions, Sender } from './sender.ts';

export type DestinationChangeOptions = CallOptions & {
  /** The version that it must have still; otherwise nothing changes: `version_mismatch`. */
  readonly ifMatch?: number;
};

/**
 * What holds for the hosts that timers call, by pattern: `api.example.com`, `api.example.com:8443`,
 * `*.example.com` or `*`. Reading is for all of the project, changing for its admins. Changes hold for
 * attempts that start from a second later on.
 */
export interface DestinationsApi {
  list(options?: CallOptions): Promise<readonly Destination[]>;
  /** @throws BelfryApiError `destination_not_found`, as all but `set`. */
  get(pattern: string, options?: CallOptions): Promise<Destination>;
  /** Creates or replaces: what is not given is not set. */
  set(
    pattern: string,
    settings: DestinationSettings,
    options?: DestinationChangeOptions,
  ): Promise<Destination>;
  /** What is not given stays; null takes it away. */
  update(
    pattern: string,
    changes: DestinationChanges,
    options?: DestinationChangeOptions,
  ): Promise<Destination>;
  delete(pattern: string, options?: DestinationChangeOptions): Promise<Destination>;
  /** Nothing starts there until it is resumed. */
  pause(pattern: string, options?: CallOptions): Promise<Destination>;
  resume(pattern: string, options?: CallOptions): Promise<Destination>;
}

export function createDestinationsApi(sender: Sender): DestinationsApi {
  const pathOf = (pattern: string) => `/destinations/${encodeURIComponent(pattern)}`;

  async function ask<Body>(call: Call, options: CallOptions | undefined): Promise<Body> {
    return answerJson<Body>(await sender.send(call, options));
  }

  /** With a version, the repetition of one that came through would be told of a mismatch. */
  function change(
    call: Omit<Call, 'isRepeatable'>,
    { ifMatch, ...options }: DestinationChangeOptions = {},
  ): Promise<Destination> {
    if (ifMatch === undefined) return ask({ ...call, isRepeatable: true }, options);
    const headers = { 'if-match': `"${ifMatch}"` };
    return ask({ ...call, headers, isRepeatable: false }, options);
  }

  return {
    async list(options) {
      const call = { method: 'GET', path: '/destinations', isRepeatable: true } as const;
      return (await ask<{ destinations: Destination[] }>(call, options)).destinations;
    },
    get: (pattern, options) =>
      ask({ method: 'GET', path: pathOf(pattern), isRepeatable: true }, options),
    set: (pattern, settings, options) =>
      change({ method: 'PUT', path: pathOf(pattern), body: settings }, options),
    update: (pattern, changes, options) =>
      change({ method: 'PATCH', path: pathOf(pattern), body: changes }, options),
    delete: (pattern, options) => change({ method: 'DELETE', path: pathOf(pattern) }, options),
    pause: (pattern, options) =>
      change({ method: 'POST', path: `${pathOf(pattern)}/pause` }, options),
    resume: (pattern, options) =>
      change({ method: 'POST', path: `${pathOf(pattern)}/resume` }, options),
  };
}
