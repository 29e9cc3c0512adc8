import { createHash } from 'node:crypto';
import { createSecretBox, parseSecretKeys, type SecretBox } from '../../src/core/secretBox.ts';

/** Keys as SECRET_KEYS has them: of an id always the same one. */
export function secretKeysText(...ids: readonly string[]): string {
  return ids.map((id) => `${id}:${createHash('sha256').update(id).digest('base64')}`).join(',');
}

export function secretBoxOf(...ids: readonly string[]): SecretBox {
  return createSecretBox(parseSecretKeys(secretKeysText(...ids)) ?? []);
}
