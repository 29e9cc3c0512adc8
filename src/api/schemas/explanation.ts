import { Type } from 'typebox';
import { blockerCodes, countMax, type Blocker, type Explanation } from '../../core/blockers.ts';
import { instantText } from '../../core/instant.ts';
import { statusWord } from './timer.ts';
import { instant, nullable, wordOf } from './values.ts';

const blocker = Type.Object(
  {
    code: wordOf(blockerCodes, {
      description:
        'What it is; more may be added. The guide "Why has it not fired?" goes through them.',
    }),
    message: Type.String({ description: 'The same in one sentence.' }),
    since: Type.Optional(nullable(instant('Since when it holds.'))),
    until: nullable(instant('When it ends by itself; null: it does not, or nobody can say.')),
    destination: Type.Optional(Type.String({ description: 'Scheme, host and port.' })),
    attempt: Type.Optional(
      Type.Integer({ minimum: 1, description: 'The one under way, or that failed last.' }),
    ),
    error_code: Type.Optional(
      nullable(Type.String({ description: 'What the last attempt came to.' })),
    ),
    ahead: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: countMax,
        description: `Timers that leave the same lane before it; ${countMax} for that many or more.`,
      }),
    ),
    limit: Type.Optional(
      Type.Number({ description: 'Of a rate: attempts a second; of a concurrency: at once.' }),
    ),
    breaker: Type.Optional(
      wordOf(['failing', 'slowed', 'disabled'], { description: 'As in the list of breakers.' }),
    ),
    held_by: Type.Optional(Type.Integer({ description: 'The id of the process that holds it.' })),
  },
  { title: 'Blocker', additionalProperties: false },
);

export const ExplanationBody = Type.Object(
  {
    id: Type.Integer({ minimum: 1 }),
    status: statusWord,
    now: instant('By the clock that decides, that of the database.'),
    blocker,
    also: Type.Array(blocker, { description: 'What would keep it next.' }),
    expected_at: nullable(
      instant('When it is expected to fire; null: never, or nobody can say, or it is under way.'),
    ),
  },
  { title: 'Explanation', additionalProperties: false },
);

export function explanationBody(id: number, explanation: Explanation) {
  const { status, nowMs, blocker: first, also, expectedAtMs } = explanation;
  return {
    id,
    status,
    now: instantText(nowMs),
    blocker: blockerBody(first),
    also: also.map(blockerBody),
    expected_at: expectedAtMs === null ? null : instantText(expectedAtMs),
  };
}

function blockerBody({ sinceMs, untilMs, errorCode, heldBy, ...rest }: Blocker) {
  return {
    ...rest,
    ...(sinceMs === undefined ? {} : { since: sinceMs === null ? null : instantText(sinceMs) }),
    until: untilMs === null ? null : instantText(untilMs),
    ...(errorCode === undefined ? {} : { error_code: errorCode }),
    ...(heldBy === undefined ? {} : { held_by: heldBy }),
  };
}
