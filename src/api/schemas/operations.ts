import { Type, type Static } from 'typebox';

export const HealthBody = Type.Object({ status: Type.Literal('ok') }, { title: 'Health' });

export const ReadyBody = Type.Object(
  {
    ready: Type.Boolean({ description: 'Whether every check is passed.' }),
    checks: Type.Record(
      Type.String(),
      Type.Object({
        ok: Type.Boolean(),
        detail: Type.Optional(Type.String({ description: 'What is amiss, or worth knowing.' })),
      }),
      {
        description: 'store, schema, wake_up; where the scheduler runs also heartbeat, scheduler.',
      },
    ),
  },
  {
    title: 'Readiness',
    examples: [{ ready: true, checks: { store: { ok: true }, schema: { ok: true } } }],
  },
);
export type Readiness = Static<typeof ReadyBody>;
