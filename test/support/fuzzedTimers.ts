import fc from 'fast-check';

/** What a client might send where a value belongs. */
export const anything = fc.oneof(fc.jsonValue(), fc.string({ unit: 'binary' }), fc.double());
const number = fc.oneof(
  fc.integer(),
  fc.double(),
  fc.integer().map(String),
  fc.constantFrom(0, -0, -1, 0.5, '1.5', ' 7 ', '', null, 1e308, '9'.repeat(30)),
  anything,
);
export const span = fc.oneof(
  number,
  fc.constantFrom('PT1S', 'P1D', 'P1Y', 'PT0.001S', 'P', 'P99999999D'),
);
export const instant = fc.oneof(
  fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
  fc.constantFrom('2050-01-01T00:00:00+14:00', '2050-13-01T00:00:00Z', '+275760-09-13T00:00:00Z'),
  anything,
);

/** Bodies that are a timer, nearly one, or nothing of the kind; `fields` are all of a create's. */
export function fuzzedTimers(receiverUrl: string) {
  const url = fc.oneof(
    { weight: 4, arbitrary: fc.constant(`${receiverUrl}/x`) },
    fc.webUrl({ withFragments: true, withQueryParameters: true }),
    fc.string({ unit: 'binary' }).map((text) => `http://127.0.0.1/${text}`),
    fc.string({ unit: 'binary' }).map((text) => `http://${text}/`),
    anything,
  );
  const hotFields = fc.record(
    {
      url,
      hours: number,
      minutes: number,
      seconds: number,
      delay: span,
      due_at: instant,
      expires_after: span,
      append_id: fc.oneof(fc.boolean(), anything),
      __proto__: anything,
      method: fc.oneof(fc.constantFrom('GET', 'PUT'), anything),
      headers: fc.oneof(
        fc.dictionary(
          fc.oneof(fc.constantFrom('x-a', 'host', 'Webhook-Id', 'Content-Type'), fc.string()),
          fc.oneof(fc.string({ unit: 'binary' }), fc.array(fc.string()), anything),
        ),
        anything,
      ),
      body: fc.oneof(fc.string({ unit: 'binary' }), anything),
      body_base64: fc.oneof(fc.base64String(), anything),
      json: anything,
      timeout: span,
      retry: fc.oneof(
        fc.record(
          {
            max_attempts: number,
            base: span,
            factor: number,
            cap: span,
            jitter: number,
            max_age: span,
            on: fc.array(
              fc.oneof(fc.integer({ min: 250, max: 650 }), fc.constantFrom('4xx', '5xx')),
            ),
          },
          { requiredKeys: [] },
        ),
        anything,
      ),
      labels: fc.oneof(fc.array(fc.string({ unit: 'binary' })), anything),
      metadata: anything,
    },
    { requiredKeys: [] },
  );
  const likely = fc.record(
    {
      url: fc.constant(`${receiverUrl}/x`),
      delay: span,
      expires_after: span,
      labels: fc.array(fc.string({ minLength: 1 }), { maxLength: 4 }),
      metadata: anything,
      json: anything,
      headers: fc.dictionary(fc.constantFrom('x-a', 'x-b'), fc.string()),
    },
    { requiredKeys: ['url'] },
  );
  const bodies = fc.oneof(
    { weight: 4, arbitrary: hotFields },
    { weight: 4, arbitrary: likely },
    { weight: 1, arbitrary: fc.jsonValue() },
  );
  return { bodies, fields: hotFields, likely };
}
