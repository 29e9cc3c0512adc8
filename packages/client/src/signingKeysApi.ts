import { answerJson } from './answerJson.ts';
import type { Span } from './requests.ts';
import type { IssuedSigningKey, PublishedKey, SignatureScheme, SigningKey } from './responses.ts';
import type { Call, CallOptions, Sender } from './sender.ts';

export interface NewSigningKey {
  /** A pattern of destinations, as in their settings. Default: `*`, all. */
  readonly destination?: string;
  /** Default: that of `secret`, or v1. */
  readonly scheme?: SignatureScheme;
  /** Your own, `whsec_…` or `whsk_…`. Default: a new random one. */
  readonly secret?: string;
}

/**
 * Keys that sign the deliveries of the project: those of the most specific pattern of destinations that
 * has any, at most five of each. For its admins.
 */
export interface SigningKeysApi {
  /** Signs within a second. The secret of v1 is in the answer, and nowhere else afterwards. */
  create(key?: NewSigningKey, options?: CallOptions): Promise<IssuedSigningKey>;
  /** Newest first, without their secrets. */
  list(options?: CallOptions): Promise<readonly SigningKey[]>;
  /** Another in its place, for the same destinations; the old one signs along for `overlap` (default: a day). */
  rotate(
    id: string,
    options?: CallOptions & { readonly overlap?: Span; readonly secret?: string },
  ): Promise<IssuedSigningKey>;
  /** Within a second it signs no more. */
  delete(id: string, options?: CallOptions): Promise<SigningKey>;
  /** The public keys of v1a of any project; rejects with `signing_key_not_found` for none. */
  published(project: number, options?: CallOptions): Promise<readonly PublishedKey[]>;
}

export function createSigningKeysApi(sender: Sender): SigningKeysApi {
  async function ask<Body>(call: Call, options: CallOptions | undefined): Promise<Body> {
    return answerJson<Body>(await sender.send(call, options));
  }
  const path = '/signing-keys';
  const pathOf = (id: string) => `${path}/${encodeURIComponent(id)}`;
  // Sent again, what makes a key would do it twice.
  const once = { method: 'POST', isRepeatable: false } as const;
  const read = { method: 'GET', isRepeatable: true } as const;

  return {
    create: (key = {}, options) => ask({ ...once, path, body: key }, options),
    async list(options) {
      return (await ask<{ signing_keys: SigningKey[] }>({ ...read, path }, options)).signing_keys;
    },
    rotate(id, { overlap, secret, ...options } = {}) {
      const body = {
        ...(overlap === undefined ? {} : { overlap }),
        ...(secret === undefined ? {} : { secret }),
      };
      return ask({ ...once, path: `${pathOf(id)}/rotate`, body }, options);
    },
    delete: (id, options) =>
      ask({ method: 'DELETE', path: pathOf(id), isRepeatable: true }, options),
    async published(project, options) {
      const of = `/.well-known/belfry/${project}/signing-keys`;
      return (await ask<{ keys: PublishedKey[] }>({ ...read, path: of }, options)).keys;
    },
  };
}
