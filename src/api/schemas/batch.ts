import { Type } from 'typebox';
import { batchItemsMax } from '../batch.ts';
import { NewTimerBody } from './newTimer.ts';
import { ProblemBody } from './problem.ts';
import { CreatedTimerBody } from './timer.ts';

export const BatchBody = Type.Array(NewTimerBody, {
  maxItems: batchItemsMax,
  description: 'One that is refused does not touch the others.',
});

const index = Type.Integer({ minimum: 0, description: 'Its place in the batch, from 0.' });

/** What became of one timer of a batch. */
export const BatchResultBody = Type.Union(
  [
    Type.Object({ index, status: Type.Literal(201), timer: CreatedTimerBody }),
    Type.Object({
      index,
      status: Type.Integer({ minimum: 400, description: 'What POST /timers would answer.' }),
      error: ProblemBody,
    }),
  ],
  { title: 'BatchResult' },
);

export const BatchResultsBody = Type.Object(
  { results: Type.Array(BatchResultBody, { description: 'One for each timer, in order.' }) },
  { title: 'BatchResults' },
);

/** Lines have no schema language of their own: OpenAPI 3.1 describes one line. */
const line = (what: string) => ({ description: `${what} a line, each line such a JSON value.` });
export const LineOfTimer = Type.Intersect([NewTimerBody], line('A timer'));
export const LineOfResult = Type.Intersect([BatchResultBody], line('A result'));
