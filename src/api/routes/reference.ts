import type { FastifyInstance } from 'fastify';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Type } from 'typebox';
import { openApiDocument, type DocumentedRoute } from '../openapi/document.ts';
import { described } from '../openapi/operation.ts';

/** Swagger UI as its Fastify plugin ships it. The plugin itself is not used: it costs 45 ms a start. */
const filesDir = join(dirname(fileURLToPath(import.meta.resolve('@fastify/swagger-ui'))), 'static');
const fileTypes: Readonly<Record<string, string>> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
};
const startScript = 'start.js';

const page = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Belfry API</title>
    <link rel="stylesheet" href="docs/swagger-ui.css">
    <link rel="icon" href="docs/favicon-32x32.png">
  </head>
  <body>
    <div id="reference"></div>
    <script src="docs/swagger-ui-bundle.js"></script>
    <script src="docs/${startScript}"></script>
  </body>
</html>
`;
const script = `SwaggerUIBundle({ url: 'openapi.json', dom_id: '#reference', deepLinking: true, validatorUrl: null });
`;
/** The browser itself refuses whatever would lead outside. Swagger UI styles its elements inline. */
const contentSecurityPolicy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const Text = Type.String();

/**
 * `GET /openapi.json` and the page that shows it. Nothing is read or built before somebody asks.
 */
export function referenceRoutes(server: FastifyInstance, routes: readonly DocumentedRoute[]): void {
  let text: string | undefined;

  server.get(
    '/openapi.json',
    described({
      operationId: 'getOpenApi',
      tag: 'reference',
      scope: null,
      summary: 'This description, as OpenAPI 3.1',
      answers: {
        200: { description: 'The document.', content: { 'application/json': Type.Unknown() } },
      },
      problems: [],
    }),
    (_req, reply) => {
      text ??= JSON.stringify(openApiDocument(routes));
      return reply.type('application/json; charset=utf-8').send(text);
    },
  );

  server.get(
    '/docs',
    described({
      operationId: 'getDocs',
      tag: 'reference',
      scope: null,
      summary: 'This description, to read and to try out in a browser',
      description: 'Asks nothing of other hosts.',
      answers: { 200: { description: 'The page.', content: { 'text/html': Text } } },
      problems: [],
    }),
    (_req, reply) =>
      reply
        .header('content-security-policy', contentSecurityPolicy)
        .type('text/html; charset=utf-8')
        .send(page),
  );

  server.get<{ Params: { file: string } }>(
    '/docs/:file',
    described({
      operationId: 'getDocsFile',
      tag: 'reference',
      scope: null,
      summary: 'What the page is made of',
      path: {
        file: {
          description: 'Name of the file.',
          schema: Type.Enum([startScript, ...Object.keys(fileTypes)]),
        },
      },
      answers: {
        200: {
          description: 'The file.',
          content: { 'text/javascript': Text, 'text/css': Text, 'image/png': Type.Unknown() },
        },
      },
      problems: ['bad_request', 'route_not_found'],
    }),
    async (req, reply) => {
      const { file } = req.params;
      if (file === startScript) {
        return reply.type('text/javascript; charset=utf-8').send(script);
      }
      const type = Object.hasOwn(fileTypes, file) ? fileTypes[file] : undefined;
      if (type === undefined) return reply.callNotFound();
      return reply
        .header('cache-control', 'max-age=3600')
        .type(type)
        .send(await readFile(join(filesDir, file)));
    },
  );
}
