import { Type } from 'typebox';
import { errorCatalogue } from '../../core/errors.ts';

export const ProblemBody = Type.Object(
  {
    type: Type.String({ description: '`urn:belfry:problem:` and the code.' }),
    title: Type.String({ description: 'The same for every problem of the code.' }),
    status: Type.Integer({ description: 'The HTTP status.' }),
    code: Type.Unsafe<string>({
      type: 'string',
      enum: Object.keys(errorCatalogue),
      description: 'What went wrong. Never renamed, never reused.',
    }),
    detail: Type.String({
      description: 'What exactly, for people to read.',
    }),
    fields: Type.Optional(
      Type.Array(
        Type.Object({
          field: Type.String({ description: 'As the request names it: `retry.base`.' }),
          message: Type.String({ description: 'What it takes.' }),
        }),
        { description: 'Each field at fault, where fields are.' },
      ),
    ),
    quota: Type.Optional(
      Type.String({
        description: 'Which quota, by its name in the limits of the project; `destinations`.',
      }),
    ),
    limit: Type.Optional(Type.Number({ description: 'How much it allows. Spans in seconds.' })),
    used: Type.Optional(Type.Number({ description: 'How much there is, or was asked for.' })),
  },
  {
    title: 'Problem',
    description: 'RFC 9457 problem details.',
  },
);
