import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Readable } from 'node:stream';
import { BelfryError, invalidField } from '../../core/errors.ts';
import { parseIdempotencyKey, type IdempotencyKey } from '../../core/idempotency.ts';
import type { NewTimer } from '../../core/timer.ts';
import { batchItemsMax, runBatch, type BatchItem } from '../batch.ts';
import { linesOf } from '../lines.ts';
import { parseNewTimer, type CreateTimerFields, type NewTimerRules } from '../newTimer.ts';
import { asBelfryError, validationError } from '../problem.ts';
import { described } from '../openapi/operation.ts';
import { admitSecrets, type KnownSecrets } from '../secretUses.ts';
import { BatchBody, BatchResultsBody, LineOfResult, LineOfTimer } from '../schemas/batch.ts';
import { fieldsOnly } from '../schemas/fieldsOnly.ts';
import { NewTimerBody } from '../schemas/newTimer.ts';
import { createdTimerBody, type CreatedTimer } from '../timerBody.ts';
import { idempotencyKeyHeader } from './parameters.ts';
import { headerOf } from './request.ts';

/** What the batch route needs of the rest of the service. */
export interface BatchService {
  create(timer: NewTimer): Promise<CreatedTimer>;
  readonly rules: NewTimerRules;
  readonly secrets: KnownSecrets;
}

/** Media types of newline-delimited JSON: one timer a line. */
export const linesTypes = [
  'application/x-ndjson',
  'application/ndjson',
  'application/jsonl',
] as const;

const timerFields = fieldsOnly(NewTimerBody);
const [ndjson] = linesTypes;

const options = described({
  operationId: 'createTimers',
  tag: 'timers',
  scope: 'timers:write',
  summary: `Create up to ${batchItemsMax} timers`,
  description:
    'A JSON array of at most MAX_BATCH_BYTES (32 MiB), or a line of JSON a timer, read as it comes in. Each is committed or refused for itself; 200 says that there is a result for each, in order and in the form of the request. Where lines end in an error (one is too long, or there are too many), that stands behind the results of those before. Of an Idempotency-Key each timer is remembered under the key and its place.',
  headers: idempotencyKeyHeader,
  requestContent: {
    description: 'The timers. Only these media types are lines; every other is an array.',
    content: {
      'application/json': BatchBody,
      ...Object.fromEntries(linesTypes.map((type) => [type, LineOfTimer])),
    },
  },
  answers: {
    200: {
      description: 'A result for each.',
      content: { 'application/json': BatchResultsBody, [ndjson]: LineOfResult },
    },
  },
  problems: ['validation_failed', 'invalid_json', 'bad_request', 'body_too_large'],
});

/**
 * `POST /timers/batch`: a JSON array, or a line of JSON a timer, which is read as it comes in. Answers
 * 200 with a result for each, in order and in the same form.
 */
export function batchRoutes(
  server: FastifyInstance,
  service: BatchService,
  bounds: { bodyBytesMax: number; batchBytesMax: number },
): void {
  server.post(
    '/timers/batch',
    {
      bodyLimit: bounds.batchBytesMax,
      ...options,
      config: { ...options.config, takesLines: true },
    },
    async (req, reply) => {
      const { body } = req;
      const create = createFrom(req, service);
      if (!isStream(body)) return { results: await runBatch(itemsOf(body), create) };
      const results = await runBatch(itemsOfLines(body, bounds.bodyBytesMax), create);
      const text = results.map((result) => `${JSON.stringify(result)}\n`).join('');
      return reply.type('application/x-ndjson').send(text);
    },
  );
}

function createFrom(req: FastifyRequest, { create, rules, secrets }: BatchService) {
  const validate = req.compileValidationSchema(timerFields, 'body');
  const batchKey = headerOf(req.headers['idempotency-key']);
  return async (value: unknown, index: number) => {
    try {
      const fields = Buffer.isBuffer(value) ? parsed(value) : value;
      if (!validate(fields)) throw validationError(validate.errors ?? []);
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the schema has just said so
      const timer = newTimer(fields as CreateTimerFields, keyOf(batchKey, index, fields));
      await admitSecrets(timer, secrets);
      return createdTimerBody(timer, await create(timer));
    } catch (err) {
      const known = asBelfryError(err instanceof Error ? err : new Error(String(err)));
      if (known.code === 'internal') req.log.error({ err, index }, 'an item of a batch failed');
      throw known;
    }
  };

  function newTimer(fields: CreateTimerFields, key: IdempotencyKey | null): NewTimer {
    return parseNewTimer(req.principal.projectId, fields, rules, key);
  }
}

/** Each item of a batch is remembered under the key of the batch and its own place. */
function keyOf(
  batchKey: string | undefined,
  index: number,
  fields: unknown,
): IdempotencyKey | null {
  const key = parseIdempotencyKey(batchKey, fields);
  return key === null ? null : { ...key, key: `${key.key}/${index}` };
}

function parsed(line: Buffer): unknown {
  try {
    return JSON.parse(line.toString());
  } catch (err) {
    const reason = err instanceof Error ? err.message : String(err);
    throw new BelfryError('invalid_json', `the line is not JSON: ${reason}`);
  }
}

function itemsOf(body: unknown): BatchItem[] {
  if (!Array.isArray(body)) throw invalidField('body', 'must be an array of timers');
  if (body.length > batchItemsMax) {
    throw new BelfryError('body_too_large', `a batch is at most ${batchItemsMax} timers`);
  }
  // They are in memory already.
  return body.map((value: unknown) => ({ value, bytes: 0 }));
}

async function* itemsOfLines(stream: Readable, lineBytesMax: number): AsyncGenerator<BatchItem> {
  const chunks = stream.iterator({ destroyOnReturn: false });
  try {
    for await (const line of linesOf(chunks, lineBytesMax)) {
      yield { value: line, bytes: line.length };
    }
  } finally {
    // Left early, the rest is read and dropped: otherwise it stays in the connection, and the next
    // request on it would never be answered.
    stream.resume();
  }
}

function isStream(body: unknown): body is Readable {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body;
}
