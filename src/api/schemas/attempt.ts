import { Type } from 'typebox';
import type { AttemptErrorCode } from '../../core/attempt.ts';
import { instant, nullable, wordOf } from './values.ts';

const errorCodes = [
  'http_status',
  'redirect',
  'timeout',
  'dns_failed',
  'connection_refused',
  'connection_failed',
  'connection_reset',
  'tls_failed',
  'tls_expired',
  'tls_untrusted',
  'tls_wrong_name',
  'tls_protocol',
  'proxy_failed',
  'response_invalid',
  'target_not_allowed',
  'request_invalid',
  'secret_missing',
  'secret_unreadable',
  'unprocessable',
  'lost',
] as const satisfies readonly AttemptErrorCode[];

const attempt = {
  number: Type.Integer({ minimum: 1, description: '1 for the first.' }),
  started_at: nullable(instant("When it started, by the database's clock; null for a lost one.")),
  lateness_ms: nullable(
    Type.Number({ description: 'Milliseconds from the instant it was due to its start.' }),
  ),
  duration_ms: nullable(Type.Number({ description: 'Milliseconds that it took in all.' })),
  status: nullable(Type.Integer({ description: 'HTTP status of the response; null for none.' })),
  error_code: nullable(
    wordOf(errorCodes, {
      description:
        'Why it failed; null when it succeeded. secret_missing: it names a secret that the project does not have; secret_unreadable: one that the service has no key for. unprocessable: something that is stored of it is not what it should be; the log of the service says what. lost: its process died or lost its lease, whether the call was made is not known.',
    }),
  ),
  lost: Type.Boolean({ description: 'Whether error_code is lost.' }),
};

export const AttemptBody = Type.Object(attempt, { title: 'Attempt' });

export const AttemptsBody = Type.Object(
  {
    attempts: Type.Array(
      Type.Object(
        {
          ...attempt,
          response_headers: nullable(
            Type.Record(Type.String(), Type.String(), {
              description: 'A few headers of the response; null for none.',
            }),
          ),
          response_bytes: nullable(
            Type.Integer({ description: 'How much of the body was read; null for no body.' }),
          ),
          response_body: Type.Optional(
            Type.String({ description: 'Beginning of the body (4 KiB), where it is UTF-8 text.' }),
          ),
          response_body_base64: Type.Optional(
            Type.String({ description: 'The same in base64, where it is not UTF-8 text.' }),
          ),
        },
        { title: 'AttemptWithResponse' },
      ),
      { description: 'In order.' },
    ),
  },
  { title: 'Attempts' },
);
