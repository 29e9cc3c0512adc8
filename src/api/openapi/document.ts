import { Type, type TObject, type TSchema } from 'typebox';
import { version } from '../../core/version.ts';
import { createComponents } from './components.ts';
import type { ErrorCode } from '../../core/errors.ts';
import type { Need } from '../../core/principal.ts';
import type { Answer, Operation, Parameters } from './operation.ts';
import { problemAnswers } from './problems.ts';

/** A route as it was registered. */
export interface DocumentedRoute {
  readonly method: string;
  /** With Fastify's `:name` for parts of the path. */
  readonly url: string;
  readonly operation: Operation;
}

const problemsOfAuthentication: readonly ErrorCode[] = [
  'unauthenticated',
  'origin_not_allowed',
  'rate_limited',
  'store_unavailable',
  'commit_unknown',
];

const rateHeaders: Parameters = {
  'RateLimit-Policy': {
    description:
      'The rates that the caller is bound by, where there are any (draft-ietf-httpapi-ratelimit-headers-11): `q` requests at once, which come back in `w` seconds.',
    schema: Type.String({ examples: ['"project";q=100;w=10, "token";q=5;w=1'] }),
  },
  RateLimit: {
    description:
      'What is left of each: `r` requests, for `t` seconds. As far as this process knows; others may have taken some.',
    schema: Type.String({ examples: ['"project";r=99;t=1, "token";r=4;t=1'] }),
  },
};

function problemsOf(scope: Need | null): readonly ErrorCode[] {
  if (scope === null) return [];
  return scope === 'any' ? problemsOfAuthentication : [...problemsOfAuthentication, 'forbidden'];
}

type Components = ReturnType<typeof createComponents>;

const about = `Belfry calls a URL at a time: it commits a timer to PostgreSQL, calls the URL at the due millisecond, retries while the receiver fails, and keeps the record.

- Bodies are JSON whatever their Content-Type says. A field that is not listed is refused, and so is a query parameter where a route takes any. Answers may gain fields: ignore what you do not know.
- Instants are RFC 3339 in UTC to the millisecond; spans are seconds.
- Errors are problem details (RFC 9457) with a stable \`code\`. A 503 passes: try again after Retry-After, a create under the same Idempotency-Key.
- A path that is not listed is a 404 \`route_not_found\`, what is no HTTP a 400 \`bad_request\`.`;

/** The OpenAPI 3.1 description of these routes. */
export function openApiDocument(routes: readonly DocumentedRoute[]) {
  const components = createComponents();
  const paths: Record<string, Record<string, unknown>> = {};
  for (const { method, url, operation } of routes) {
    const path = url.replaceAll(/:(\w+)/g, '{$1}');
    paths[path] = {
      ...paths[path],
      [method.toLowerCase()]: documented(operation, components),
    };
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Belfry',
      version,
      description: about,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    tags: [
      { name: 'timers', description: 'Calls to come, under way, and made.' },
      { name: 'tokens', description: 'Who may ask, and for which project.' },
      { name: 'secrets', description: 'Values that timers use and nobody is shown.' },
      { name: 'destinations', description: 'What holds for the hosts that timers call.' },
      { name: 'signatures', description: 'By which receivers know that a call is from here.' },
      { name: 'operations', description: 'For operators, their probes and their monitoring.' },
      { name: 'reference', description: 'This description.' },
    ],
    paths,
    components: {
      schemas: components.schemas(),
      securitySchemes: {
        token: {
          type: 'http',
          scheme: 'bearer',
          description:
            'A token of the installation, `bel_…`. `belfry admin init` gives the first one; until then a service on a loopback address asks for none.',
        },
      },
    },
  };
}

function documented(operation: Operation, components: Components) {
  const { operationId, tag, summary, scope, answers } = operation;
  const problems = [...operation.problems, ...problemsOf(scope)];
  const scopeText = scope === null ? undefined : `Scope: \`${scope}\`.`;
  const description = [operation.description, scopeText].filter(Boolean).join('\n\n');
  const parameters = [
    ...parametersOf('path', operation.path, components),
    ...queryParameters(operation.query, components),
    ...parametersOf('header', operation.headers, components),
  ];
  const requestBody = requestBodyOf(operation, components);
  const shared = scope === null ? {} : rateHeaders;
  return {
    operationId,
    tags: [tag],
    summary,
    ...(description === '' ? {} : { description }),
    // An empty one beside it: where nobody is asked for a token, none is needed.
    ...(scope === null ? {} : { security: [{ token: scope === 'any' ? [] : [scope] }, {}] }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(requestBody === undefined ? {} : { requestBody }),
    responses: {
      ...Object.fromEntries(
        Object.entries(answers).map(([status, answer]) => [
          status,
          answerOf({ ...answer, headers: { ...answer.headers, ...shared } }, components),
        ]),
      ),
      ...problemAnswers(problems, headersOf(shared, components), components),
    },
  };
}

function parametersOf(
  place: 'path' | 'header',
  parameters: Parameters | undefined,
  components: Components,
) {
  return Object.entries(parameters ?? {}).map(([name, { schema, description, required }]) => ({
    name,
    in: place,
    description,
    required: place === 'path' || required === true,
    schema: components.place(schema),
  }));
}

function queryParameters(query: TObject | undefined, components: Components) {
  return Object.entries(query?.properties ?? {}).map(([name, schema]) => ({
    name,
    in: 'query',
    required: query?.required?.includes(name) === true,
    schema: components.place(schema),
  }));
}

function requestBodyOf(
  { body, isBodyOptional, requestContent }: Operation,
  components: Components,
) {
  if (body !== undefined) {
    const content = contentOf({ 'application/json': body }, components);
    return { required: isBodyOptional !== true, content };
  }
  if (requestContent === undefined) return undefined;
  const { description, required, content } = requestContent;
  return { description, required: required !== false, content: contentOf(content, components) };
}

function answerOf({ description, headers, body, content }: Answer, components: Components) {
  const shown = body === undefined ? content : { 'application/json': body, ...content };
  return {
    description,
    ...(Object.keys(headers ?? {}).length === 0
      ? {}
      : { headers: headersOf(headers ?? {}, components) }),
    ...(shown === undefined ? {} : { content: contentOf(shown, components) }),
  };
}

function headersOf(headers: Parameters, components: Components) {
  return Object.fromEntries(
    Object.entries(headers).map(([name, { schema, description, required }]) => [
      name,
      { description, required: required === true, schema: components.place(schema) },
    ]),
  );
}

function contentOf(content: Readonly<Record<string, TSchema>>, components: Components) {
  return Object.fromEntries(
    Object.entries(content).map(([type, schema]) => [type, { schema: components.place(schema) }]),
  );
}
