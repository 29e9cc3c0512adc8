import { Type } from 'typebox';
import { instant, nullable, wordOf } from './values.ts';

export const breakerOrigin = Type.String({
  minLength: 1,
  maxLength: 300,
  description: 'Scheme, host and port, percent-encoded.',
  examples: ['https://api.example.com'],
});

export const BreakerBody = Type.Object(
  {
    destination: Type.String({ description: 'Scheme, host, and port where it is not the usual.' }),
    state: wordOf(['failing', 'slowed', 'disabled'], {
      description:
        'failing: it does not answer, or with 5xx. slowed: it asked for less (429, 503). disabled: it has failed for DISABLE_AFTER and is not probed any more.',
    }),
    failing_since: instant('When it opened, with no success since.'),
    next_probe_at: nullable(
      instant('When one timer may be tried; null when it is disabled: not before a reset.'),
    ),
    failed_probes: Type.Integer({ minimum: 0 }),
  },
  { title: 'Breaker', additionalProperties: false },
);

export const BreakerListBody = Type.Object(
  { breakers: Type.Array(BreakerBody) },
  { title: 'BreakerList', additionalProperties: false },
);

export const ResetBreakerBody = Type.Object(
  { destination: Type.String() },
  { title: 'ResetBreaker', additionalProperties: false },
);
