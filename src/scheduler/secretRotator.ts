import type { MachineClock } from '../core/clock.ts';
import {
  phaseStart,
  rotationPhases,
  type RotationPhase,
  type RotationPlace,
  type RotationProgress,
  type RotationState,
  type RotationStep,
} from '../core/secretRotation.ts';

/** What a rotation needs of the store. */
export interface RotationStore {
  readonly keyId: string;
  readonly step: Readonly<Record<RotationPhase, (place: RotationPlace) => Promise<RotationStep>>>;
  /** Nothing is under other keys than the first any more; resolves with their ids. */
  forgetOtherKeys(): Promise<readonly string[]>;
}

/** Steps go on for so long before the caller is told. */
const turnMs = 1_000;

/** Puts everything that is encrypted under the first key, in steps of about a second. */
export function createSecretRotator(options: {
  /** Undefined where there are no keys. */
  store: RotationStore | undefined;
  clock: Pick<MachineClock, 'monotonicMs'>;
}) {
  const { store, clock } = options;
  return {
    /** Goes on from wherever it is asked to; undefined where there are no keys. */
    async rotate(from: RotationState): Promise<RotationProgress | undefined> {
      if (store === undefined) return undefined;
      const endMs = clock.monotonicMs() + turnMs;
      let { left } = from;
      let state: RotationState | null = from;
      let examined = 0;
      let changed = 0;
      while (state !== null) {
        const phase = rotationPhases[state.phase] ?? 'secrets';
        const step: RotationStep = await store.step[phase](state.place);
        examined += step.examined;
        changed += step.changed;
        left += step.left;
        state = nextState(state, step.next, left);
        if (clock.monotonicMs() >= endMs) break;
      }
      const isDone = state === null && left === 0;
      const retiredKeyIds = isDone ? await store.forgetOtherKeys() : [];
      return { examined, changed, left, next: state, keyId: store.keyId, retiredKeyIds };
    },
  };
}

function nextState(
  { phase }: RotationState,
  place: RotationPlace | null,
  left: number,
): RotationState | null {
  if (place !== null) return { phase, place, left };
  return phase + 1 < rotationPhases.length ? phaseStart(phase + 1, left) : null;
}
