import { invalidField } from './errors.ts';

/** Behind which row a step begins. */
export interface RotationPlace {
  readonly projectId: number;
  /** The name of a secret, or the id of a timer, of settings of a destination or of a signing key. */
  readonly row: string;
}

/** What one bounded step came to. */
export interface RotationStep {
  /** Rows looked at, put under the first key, and left as they were: somebody else changed them. */
  readonly examined: number;
  readonly changed: number;
  readonly left: number;
  /** Null at the end. */
  readonly next: RotationPlace | null;
}

/**
 * What is walked, in this order. The live timers come twice: a finished one that is retried meanwhile
 * moves from behind the walk to before it. Cursors have the place: a new one goes to the end.
 */
export const rotationPhases = [
  'secrets',
  'timers',
  'history',
  'timers',
  'destinations',
  'signingKeys',
] as const;
export type RotationPhase = (typeof rotationPhases)[number];

/** How far a rotation has come. */
export interface RotationState {
  /** Place in `rotationPhases`. */
  readonly phase: number;
  readonly place: RotationPlace;
  /** Of all steps so far. */
  readonly left: number;
}

/** What a caller is told of some steps. */
export interface RotationProgress {
  readonly examined: number;
  readonly changed: number;
  /** Rows of the whole rotation that could not be put under the first key. */
  readonly left: number;
  /** Null at the end. */
  readonly next: RotationState | null;
  /** The key that everything is under then, and those that nothing is under any more. */
  readonly keyId: string;
  readonly retiredKeyIds: readonly string[];
}

const start: RotationPlace = { projectId: 0, row: '' };

/** Where a phase begins. */
export function phaseStart(phase: number, left: number): RotationState {
  return { phase, place: isNumbered(phase) ? { ...start, row: '0' } : start, left };
}

/** Whether its rows go by numbers. */
function isNumbered(phase: number): boolean {
  return rotationPhases[phase] !== 'secrets' && rotationPhases[phase] !== 'signingKeys';
}

/** Not signed: an operator may begin wherever they like. */
export function rotationCursor({ phase, place, left }: RotationState): string {
  return [phase, place.projectId, left, place.row].join('.');
}

/** @throws BelfryError `validation_failed` that names `cursor`. */
export function parseRotationCursor(value: unknown): RotationState {
  if (value === undefined) return phaseStart(0, 0);
  const given = typeof value === 'string' ? value : '';
  const [, phase, projectId, left, row = ''] =
    /^([0-5])\.(\d{1,15})\.(\d{1,15})\.([a-z0-9_-]{0,64})$/.exec(given) ?? [];
  if (phase === undefined || (isNumbered(Number(phase)) && !/^\d{1,15}$/.test(row))) {
    throw invalidField('cursor', 'must be of the step before');
  }
  return {
    phase: Number(phase),
    place: { projectId: Number(projectId), row },
    left: Number(left),
  };
}
