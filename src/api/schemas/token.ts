import { Type } from 'typebox';
import { labelLengthMax } from '../../core/annotations.ts';
import { scopes } from '../../core/principal.ts';
import { RateBody, RateWish } from './limits.ts';
import { instant, nullable, span, wordOf } from './values.ts';

const name = (description: string) =>
  Type.String({
    minLength: 1,
    maxLength: labelLengthMax,
    description: `${description} Without controls, nor blanks at its ends.`,
    examples: ['checkout'],
  });
const projectId = Type.Integer({ minimum: 1, description: 'The project that it is for.' });
const scopeList = Type.Array(
  wordOf(scopes, { description: 'admin: all in the project; operator: all in the installation.' }),
  {
    minItems: 1,
    uniqueItems: true,
    description: 'What it allows.',
    examples: [['timers:read', 'timers:write']],
  },
);

export const NewProjectBody = Type.Object(
  { name: name('What people call it; one of the kind.') },
  { title: 'NewProject', additionalProperties: false },
);

export const ProjectBody = Type.Object(
  {
    id: Type.Integer({ minimum: 1 }),
    name: Type.String(),
    created_at: instant('When it was made.'),
    paused_at: nullable(instant('Since when none of its timers starts; null: they do.')),
  },
  { title: 'Project', additionalProperties: false },
);

export const ProjectListBody = Type.Object(
  { projects: Type.Array(ProjectBody) },
  { title: 'ProjectList', additionalProperties: false },
);

export const NewTokenBody = Type.Object(
  {
    name: name('What people know it by.'),
    scopes: scopeList,
    project: Type.Optional(
      Type.Integer({
        minimum: 1,
        description: 'Another project than that of the caller: for operators.',
      }),
    ),
    expires_after: Type.Optional(
      span({
        description: 'Ends so long after now. Default: never.',
        isZeroTaken: false,
        examples: ['P90D'],
      }),
    ),
    rate: Type.Optional(RateWish),
  },
  { title: 'NewToken', additionalProperties: false },
);

const tokenFields = {
  id: Type.String({ description: 'Not secret: the part between the underscores of its text.' }),
  project: projectId,
  name: Type.String(),
  scopes: scopeList,
  rate: { ...nullable(RateBody), description: 'How often it may ask; null: as its project.' },
  created_at: instant('When it was made.'),
  expires_at: nullable(instant('When it ends of itself; null: it does not.')),
  revoked_at: nullable(instant('When it was revoked; null: it was not.')),
  last_used_at: nullable(instant('When it was shown last, give or take a minute; null: never.')),
};

export const TokenBody = Type.Object(tokenFields, { title: 'Token', additionalProperties: false });

export const IssuedTokenBody = Type.Object(
  {
    ...tokenFields,
    token: Type.String({ description: 'Its text. Shown this once, and kept nowhere.' }),
  },
  { title: 'IssuedToken', additionalProperties: false },
);

export const TokenListBody = Type.Object(
  { tokens: Type.Array(TokenBody) },
  { title: 'TokenList', additionalProperties: false },
);

export const RotateTokenBody = Type.Object(
  {
    overlap: Type.Optional(
      span({
        description: 'So long the old one is good for still. Default: an hour.',
        default: 3_600,
        examples: ['PT1H', 0],
      }),
    ),
  },
  { title: 'RotateToken', additionalProperties: false },
);

export const CallerBody = Type.Object(
  {
    kind: wordOf(['token', 'open'], {
      description: 'open: nobody is asked for a token.',
    }),
    id: nullable(Type.String({ description: 'Of the token.' })),
    name: Type.String(),
    project: projectId,
    scopes: scopeList,
  },
  { title: 'Caller', additionalProperties: false },
);
