import { BelfryError, errorCatalogue, type ErrorCode } from '../../core/errors.ts';
import { problemOf, retryAfterSeconds, type Problem } from '../problem.ts';
import { ProblemBody } from '../schemas/problem.ts';
import type { createComponents } from './components.ts';

const retryAfter = {
  description: 'Seconds after which to try again.',
  schema: { type: 'integer', examples: [retryAfterSeconds] },
};

const headersOf: Readonly<Record<number, object>> = {
  401: {
    'WWW-Authenticate': {
      description: 'How to ask: with a bearer token.',
      schema: { type: 'string', examples: ['Bearer realm="belfry"'] },
    },
  },
  429: { 'Retry-After': retryAfter },
  503: { 'Retry-After': retryAfter },
};

/**
 * The answers of a route that can end in these errors, by status, each with its codes; `shared` are
 * headers that all of its answers may have.
 */
export function problemAnswers(
  codes: readonly ErrorCode[],
  shared: object,
  components: ReturnType<typeof createComponents>,
): Record<string, unknown> {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of new Set<ErrorCode>([...codes, 'internal'])) {
    const { status } = errorCatalogue[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const answers = [...byStatus].map(([status, some]) => {
    const headers = { ...headersOf[status], ...shared };
    const answer = {
      description: some.map((code) => `\`${code}\`: ${errorCatalogue[code].title}.`).join('\n\n'),
      ...(Object.keys(headers).length === 0 ? {} : { headers }),
      content: {
        'application/problem+json': {
          schema: {
            allOf: [
              components.place(ProblemBody),
              { properties: { code: { enum: some }, status: { const: status } } },
            ],
          },
          examples: Object.fromEntries(some.map((code) => [code, { value: exampleOf(code) }])),
        },
      },
    };
    return [String(status), answer] as const;
  });
  return Object.fromEntries(answers);
}

function exampleOf(code: ErrorCode): Problem {
  const isOfFields = code === 'validation_failed';
  const fields = [{ field: 'url', message: 'is required' }];
  const detail = isOfFields ? 'url is required' : '…';
  const quota = { quota: 'live_timers', limit: 1_000, used: 1_000 };
  const more = isOfFields ? { fields } : code === 'quota_exceeded' ? { quota } : {};
  return problemOf(new BelfryError(code, detail, more));
}
