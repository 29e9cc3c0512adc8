import type { TargetObjection } from '../core/target.ts';
import type { Logger } from '../telemetry/log.ts';

/** Callers learn which rule, the operator why. */
export function toldTo(
  log: Logger,
  objection: TargetObjection | undefined,
): TargetObjection | undefined {
  if (objection !== undefined) log.info({ reason: objection.reason }, 'a target was refused');
  return objection;
}
