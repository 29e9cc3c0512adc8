import { Type } from 'typebox';
import { labelLengthMax } from '../../core/annotations.ts';
import { timerKeyLengthMax } from '../../core/timerKey.ts';
import { statusWord, TimerSummaryBody } from './timer.ts';
import { nullable } from './values.ts';

const filterInstant = (description: string) =>
  Type.Optional(
    Type.String({
      format: 'date-time',
      description: `${description} RFC 3339, with an offset.`,
      examples: ['2030-01-31T12:00:00Z'],
    }),
  );

/** Which timers are meant. */
export const filterFields = {
  status: Type.Optional(
    Type.Array(Type.Union([statusWord, Type.Literal('live'), Type.Literal('finished')]), {
      description:
        'Several times, or with commas between. live: pending, delivering, retrying; finished: the others.',
      examples: [['failed']],
    }),
  ),
  label: Type.Optional(
    Type.String({ minLength: 1, maxLength: labelLengthMax, description: 'One of its labels.' }),
  ),
  host: Type.Optional(
    Type.String({
      description: 'Host of its url, or host:port.',
      examples: ['example.com', 'example.com:8443'],
    }),
  ),
  key: Type.Optional(
    Type.String({ minLength: 1, maxLength: timerKeyLengthMax, description: 'Its name.' }),
  ),
  url_prefix: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'How its url begins, as it was given.',
      examples: ['https://example.com/hooks/'],
    }),
  ),
  due_after: filterInstant('Due then or later.'),
  due_before: filterInstant('Due before then.'),
  created_after: filterInstant('Created then or later.'),
  created_before: filterInstant('Created before then.'),
};

export const TimerListQuery = Type.Object(
  {
    ...filterFields,
    order: Type.Optional(
      Type.Unsafe<string>({
        type: 'string',
        enum: ['newest', 'soonest'],
        default: 'newest',
        description:
          'newest: the highest id first. soonest: by the next attempt; live timers only.',
      }),
    ),
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 500,
        default: 50,
        description: 'Timers on a page at the most.',
      }),
    ),
    cursor: Type.Optional(
      Type.String({ description: '`next` of the page before, with the same filters and order.' }),
    ),
  },
  { additionalProperties: false },
);

export const TimerListBody = Type.Object(
  {
    timers: Type.Array(TimerSummaryBody),
    next: nullable(
      Type.String({
        description:
          'Cursor of the page behind; null at the end. A page looks through a bounded number of timers, so it may be short or empty although there is another.',
      }),
    ),
  },
  { title: 'TimerList' },
);
