import { invalidField } from '../core/errors.ts';
import { secretUsesOf, type SecretUse } from '../core/secretTemplate.ts';
import type { NewTimer } from '../core/timer.ts';

/** What the API asks about the named secrets of a project. */
export interface KnownSecrets {
  /** Those of the names that the project does not have. */
  missing(projectId: number, names: readonly string[]): Promise<readonly string[]>;
}

/** As `assertSecretsKnown`, of a new timer. Undefined when it uses none, as most: nothing to wait for. */
export function admitSecrets(
  { projectId, request }: NewTimer,
  secrets: KnownSecrets,
): Promise<void> | undefined {
  const uses = secretUsesOf(request);
  return uses.length === 0 ? undefined : assertSecretsKnown(projectId, uses, secrets);
}

/**
 * Refuses the use of a secret that the project does not have: an attempt could only fail.
 * @throws BelfryError `validation_failed` that names the field.
 */
export async function assertSecretsKnown(
  projectId: number,
  uses: readonly SecretUse[],
  secrets: KnownSecrets,
): Promise<void> {
  if (uses.length === 0) return;
  const missing = await secrets.missing(projectId, [...new Set(uses.map(({ name }) => name))]);
  const use = uses.find(({ name }) => missing.includes(name));
  if (use === undefined) return;
  throw invalidField(use.field, `uses the secret "${use.name}", which the project does not have`);
}
