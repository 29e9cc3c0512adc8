import { Type } from 'typebox';
import { keyLengthMax } from '../../core/idempotency.ts';
import { timerKeyLengthMax } from '../../core/timerKey.ts';
import type { Parameters } from '../openapi/operation.ts';

/** Parts of requests and answers that several routes describe. */
export const timerIdPath: Parameters = {
  id: {
    description: "The timer's number. What is no number of a timer is a 404.",
    schema: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, examples: [42] }),
  },
};

export const idempotencyKeyHeader: Parameters = {
  'Idempotency-Key': {
    description: `Under which the same request, sent again within IDEMPOTENCY_WINDOW (a day), gets its first answer again and creates nothing: 1 to ${keyLengthMax} visible ASCII characters, bare or in double quotes.`,
    schema: Type.String({
      minLength: 1,
      maxLength: keyLengthMax + 2,
      pattern: String.raw`^[\u0021-\u007e]+$`,
      examples: ['order-17-reminder'],
    }),
  },
};

export const timerKeyPath: Parameters = {
  key: {
    description: 'The name of the timer, URL-encoded.',
    schema: Type.String({
      minLength: 1,
      maxLength: timerKeyLengthMax,
      pattern: String.raw`^[\u0021-\u007e]+$`,
      examples: ['session:17'],
    }),
  },
};

export const entityTagHeader: Parameters = {
  ETag: {
    description: 'The version of what is answered, for If-Match.',
    required: true,
    schema: Type.String({ pattern: String.raw`^"\d+"$`, examples: ['"3"'] }),
  },
};

export const ifMatchHeader: Parameters = {
  'If-Match': {
    description:
      'The ETag that it must have still; otherwise nothing is changed (412). `*` or none: whatever it has.',
    schema: Type.String({ pattern: String.raw`^(\*|"[1-9]\d{0,14}")$`, examples: ['"3"'] }),
  },
};

export const locationHeader: Parameters = {
  Location: {
    description: 'Where the timer is read.',
    required: true,
    schema: Type.String({ examples: ['/timers/42'] }),
  },
};
