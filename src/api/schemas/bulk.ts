import { Type } from 'typebox';
import { filterFields } from './timerList.ts';
import { nullable } from './values.ts';

const count = (description: string) => Type.Integer({ minimum: 0, description });

const dryRun = Type.Optional(
  Type.Boolean({ default: false, description: 'Counts, and gives the token for the change.' }),
);
const stepToken = Type.Optional(
  Type.String({
    description:
      'Of a dry run of the same change, or of the step before; good for 10 minutes. Needed but for a dry run.',
  }),
);

/** The body of `POST /projects/{id}/purge`. */
export const PurgeProjectBody = Type.Object(
  { dry_run: dryRun, token: stepToken },
  { title: 'PurgeProject', additionalProperties: false, examples: [{ dry_run: true }] },
);

/** The body of `POST /timers/cancel` and `POST /timers/retry`. */
export const BulkChangeBody = Type.Object(
  {
    filter: Type.Object(filterFields, {
      additionalProperties: false,
      minProperties: 1,
      description: 'Which timers are meant; all that is said of them must hold.',
    }),
    dry_run: dryRun,
    token: stepToken,
  },
  {
    title: 'BulkChange',
    additionalProperties: false,
    examples: [{ filter: { label: 'cart-42' }, dry_run: true }],
  },
);

const BulkPlanBody = Type.Object(
  {
    count: count('Timers that the filter finds.'),
    is_complete: Type.Boolean({ description: 'False: there are at least `count`.' }),
    token: Type.String({ description: 'For the change of what was counted.' }),
  },
  { title: 'BulkPlan', additionalProperties: false },
);

const BulkProgressBody = Type.Object(
  {
    done: Type.Boolean({ description: 'False: go on, with the token.' }),
    changed: count('Timers changed since the first step.'),
    skipped: count('Timers that it was too late for.'),
    failed: count('Timers whose process did not answer: nothing was changed of them.'),
    examined: count('Timers looked through, with those that the filter does not mean.'),
    token: nullable(Type.String({ description: 'For the next step; null once done.' })),
  },
  { title: 'BulkProgress', additionalProperties: false },
);

export const BulkAnswerBody = Type.Union([BulkPlanBody, BulkProgressBody]);
