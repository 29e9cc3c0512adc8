import { Type } from 'typebox';
import { instant, nullable } from './values.ts';

export const AuditListBody = Type.Object(
  {
    entries: Type.Array(
      Type.Object({
        id: Type.Integer({ minimum: 1 }),
        at: instant('When it was done.'),
        project: Type.Integer({ minimum: 1, description: 'The project that it was done in.' }),
        actor: Type.Object(
          {
            kind: Type.String({
              description:
                'token; open: nobody was asked for one; database: somebody with its credentials.',
            }),
            id: Type.String({ description: 'Of the token.' }),
            name: Type.String(),
            address: Type.String({ description: 'From where.' }),
          },
          { description: 'Who did it.' },
        ),
        action: Type.String({
          description:
            'admin.init, project.create, token.create, token.revoke, token.rotate, timers.cancel, timers.retry.',
        }),
        target: Type.String({ description: 'The id of what it was done to.' }),
        detail: Type.String({ description: 'More, as the JSON text that the hash is over.' }),
        seq: nullable(
          Type.Integer({ minimum: 1, description: 'Its place in the chain; null: not yet.' }),
        ),
        hash: nullable(
          Type.String({
            description: 'SHA-256 over the hash before and the entry, in hexadecimal.',
          }),
        ),
      }),
    ),
    next: nullable(Type.Integer({ description: '`after` of the page behind; null at the end.' })),
  },
  { title: 'AuditList' },
);
