import assert from 'node:assert/strict';
import type { ValidateFunction } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

type Json = Readonly<Record<string, unknown>>;

/** One answer of the service, as a client has it. */
export interface ReceivedAnswer {
  readonly method: string;
  /** With or without a query. */
  readonly path: string;
  readonly status: number;
  /** By their names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly text: string;
}

/** What /openapi.json promises, as a judge of answers. */
export interface Contract {
  readonly document: Json;
  /**
   * Fails unless the route and the status are documented and the answer is what the document says:
   * media type, headers, every field, and none besides. Tells which pair it was, `getTimer 200`, or
   * undefined for what is no route.
   */
  check(answer: ReceivedAnswer): string | undefined;
  /** Every pair of a route and a status, as `check` tells them. */
  readonly pairs: readonly string[];
  /** Judges a value by a schema of the document, given by its pointer (`#/components/schemas/Timer`). */
  validator(pointer: string): ValidateFunction;
}

let loaded: Promise<Contract> | undefined;

/** The contract of the code under test, from whichever of its servers is asked first. */
export function contractOf(url: string): Promise<Contract> {
  loaded ??= load(url).catch((err: unknown) => {
    loaded = undefined;
    throw err;
  });
  return loaded;
}

async function load(url: string): Promise<Contract> {
  const response = await fetch(new URL('/openapi.json', url));
  assert.equal(response.status, 200);
  return contractFrom((await response.json()) as Json);
}

interface Route {
  readonly method: string;
  readonly template: string;
  readonly path: RegExp;
  readonly operationId: string;
  readonly responses: Readonly<Record<string, Json>>;
}

/** Headers that mean something to a client: where one is sent, it is documented. */
const meaningfulHeaders = [
  'location',
  'retry-after',
  'etag',
  'idempotent-replayed',
  'www-authenticate',
  'ratelimit-policy',
  'ratelimit',
];

export function contractFrom(document: Json): Contract {
  const ajv = createAjv();
  ajv.addSchema(closed(document) as Json, 'openapi');
  const validators = new Map<string, ValidateFunction>();
  const routes = routesOf(document);

  function validator(pointer: string): ValidateFunction {
    const found = validators.get(pointer) ?? ajv.getSchema(`openapi${pointer}`);
    assert.ok(found !== undefined, `there is no ${pointer}`);
    validators.set(pointer, found);
    return found;
  }

  function assertValid(pointer: string, value: unknown, what: string): void {
    const validate = validator(pointer);
    assert.ok(validate(value), `${what}: ${ajv.errorsText(validate.errors)}`);
  }

  function assertOfNoRoute({ status, text }: ReceivedAnswer, what: string): void {
    assert.ok([400, 404].includes(status), `${what} is not documented`);
    const problem = JSON.parse(text) as Json;
    assertValid('#/components/schemas/Problem', problem, what);
    assert.match(String(problem['code']), /^(?:route_not_found|bad_request)$/, what);
  }

  function check(answer: ReceivedAnswer): string | undefined {
    const { method, status, headers, text } = answer;
    const path = answer.path.replace(/[?#].*$/s, '');
    const what = `${method} ${path} ${status}`;
    const isHead = method === 'HEAD';
    const route = routes.find(
      (each) => each.method === (isHead ? 'GET' : method) && each.path.test(path),
    );
    if (route === undefined) {
      if (!isHead) assertOfNoRoute(answer, what);
      return undefined;
    }
    const response = route.responses[status];
    assert.ok(response !== undefined, `${what}: the status is not documented: ${text}`);
    assertHeaders(response, headers, what);
    const mediaType = headers.get('content-type')?.split(';')[0] ?? '';
    const content = response['content'] as Json;
    assert.ok(mediaType in content, `${what}: ${mediaType} is not documented`);
    if (!isHead) {
      const parts = [route.template, route.method.toLowerCase(), 'responses', String(status)];
      const pointer = `#/paths/${[...parts, 'content', mediaType, 'schema'].map(escaped).join('/')}`;
      for (const value of valuesOf(mediaType, text)) assertValid(pointer, value, what);
    }
    return `${route.operationId} ${status}`;
  }

  const pairs = routes.flatMap(({ operationId, responses }) =>
    Object.keys(responses).map((status) => `${operationId} ${status}`),
  );
  return { document, check, pairs, validator };
}

/** JSON Schema as OpenAPI 3.1 has it, whose own words are not for Ajv. */
export function createAjv(): Ajv2020 {
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateSchema: false });
  addFormats.default(ajv);
  return ajv;
}

function routesOf(document: Json): Route[] {
  const paths = document['paths'] as Readonly<Record<string, Readonly<Record<string, Json>>>>;
  const routes = Object.entries(paths).flatMap(([template, item]) =>
    Object.entries(item).map(([method, operation]) => ({
      method: method.toUpperCase(),
      template,
      path: new RegExp(`^${template.replaceAll(/\{\w+\}/g, '[^/]*').replaceAll('.', '\\.')}$`),
      operationId: String(operation['operationId']),
      responses: operation['responses'] as Readonly<Record<string, Json>>,
    })),
  );
  // As the router has it: what is written out goes before what is a parameter.
  return routes.toSorted((a, b) => Number(isOpen(a)) - Number(isOpen(b)));
}

const isOpen = ({ template }: Route) => template.includes('{');
const escaped = (part: string) =>
  encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'));

function assertHeaders(response: Json, headers: ReadonlyMap<string, string>, what: string): void {
  const documented = Object.entries((response['headers'] ?? {}) as Readonly<Record<string, Json>>);
  const names = new Set(documented.map(([name]) => name.toLowerCase()));
  for (const [name, { required }] of documented) {
    assert.ok(required !== true || headers.has(name.toLowerCase()), `${what}: no ${name}`);
  }
  for (const name of meaningfulHeaders) {
    assert.ok(!headers.has(name) || names.has(name), `${what}: ${name} is not documented`);
  }
}

/** The JSON values of an answer: one, one a line, or none. */
function valuesOf(mediaType: string, text: string): unknown[] {
  if (/[/+]json$/.test(mediaType)) return [JSON.parse(text)];
  if (!mediaType.endsWith('ndjson')) return [];
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line): unknown => JSON.parse(line));
}

/**
 * The document with no object of an answer taking more than it lists: clients are to ignore what they
 * do not know, the tests are not.
 */
function closed(value: unknown, isPartOfAnother = false): unknown {
  if (Array.isArray(value)) return value.map((each) => closed(each, isPartOfAnother));
  if (typeof value !== 'object' || value === null) return value;
  const copy: Record<string, unknown> = {};
  for (const [word, each] of Object.entries(value)) {
    if (['examples', 'default', 'enum', 'const', 'not'].includes(word)) copy[word] = each;
    else if (isMap(word, each)) copy[word] = mapped(each, word === 'schemas');
    else copy[word] = closed(each, word === 'allOf');
  }
  const isObject = 'properties' in value || '$ref' in value || 'allOf' in value;
  const isSettled = 'additionalProperties' in value || isPartOfAnother;
  return isObject && !isSettled ? { ...copy, unevaluatedProperties: false } : copy;
}

/** Names and what they stand for, which are no words of a schema themselves. */
function isMap(word: string, value: unknown): value is object {
  const words = ['properties', 'patternProperties', 'schemas', 'paths', 'headers', 'content'];
  return words.includes(word) && typeof value === 'object' && value !== null;
}

/** A component is closed where it is used, not itself: its user may add to it. */
function mapped(map: object, isPartOfAnother: boolean): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(map).map(([name, each]) => [name, closed(each, isPartOfAnother)]),
  );
}
