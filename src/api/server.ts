import Fastify, { type FastifyInstance } from 'fastify';
import { BelfryError, errorCatalogue } from '../core/errors.ts';
import type { Logger } from '../telemetry/log.ts';
import { authenticateRequests } from './authentication.ts';
import type { Authenticator } from './authenticator.ts';
import { asBelfryError, problemContentType, problemOf, retryAfterSeconds } from './problem.ts';
import type { RateKeeper } from './rateLimit.ts';
import type { DocumentedRoute } from './openapi/document.ts';
import { batchRoutes, linesTypes } from './routes/batch.ts';
import { auditRoutes, type AuditService } from './routes/audit.ts';
import { bulkRoutes, type BulkService } from './routes/bulk.ts';
import { breakerRoutes, type BreakerService } from './routes/breakers.ts';
import { destinationRoutes, type DestinationService } from './routes/destinations.ts';
import { limitRoutes, type LimitService } from './routes/limits.ts';
import { listRoutes, type ListService } from './routes/lists.ts';
import { operationRoutes, type Operations } from './routes/operations.ts';
import { changeRoutes, type ChangeService } from './routes/changes.ts';
import { namedTimerRoutes, type NamedTimerService } from './routes/namedTimers.ts';
import { projectStateRoutes, type ProjectStateService } from './routes/projectStates.ts';
import { referenceRoutes } from './routes/reference.ts';
import { secretRoutes, type SecretService } from './routes/secrets.ts';
import { signingKeyRoutes, type SigningKeyService } from './routes/signingKeys.ts';
import { tokenRoutes, type TokenService } from './routes/tokens.ts';
import { timerRoutes, type TimerService } from './routes/timers.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The body may come as newline-delimited JSON; then the handler gets its stream. */
    takesLines?: boolean;
  }
}

/** A request must have arrived whole within this. */
const requestTimeoutMs = 30_000;

/**
 * The HTTP API as a Fastify instance, not listening yet: tests call `inject`, app.ts `listen`.
 */
export function createServer(options: {
  timers: TimerService & ChangeService & NamedTimerService & ListService & BulkService;
  tokens: TokenService & AuditService & ProjectStateService;
  secrets: SecretService['secrets'];
  destinations: Omit<DestinationService, 'secrets'>;
  breakers: BreakerService;
  signingKeys: SigningKeyService;
  limits: LimitService;
  operations: Operations;
  authenticator: Authenticator;
  rateKeeper: RateKeeper;
  bodyBytesMax: number;
  batchBytesMax: number;
  log: Logger;
}): FastifyInstance {
  const { timers, tokens, operations, authenticator, bodyBytesMax, batchBytesMax, log } = options;
  const server = Fastify({
    bodyLimit: bodyBytesMax,
    requestTimeout: requestTimeoutMs,
    // In-flight requests are answered, idle keep-alive connections are closed.
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    ajv: {
      // Nothing is cast, filled in or dropped silently. All errors at once: the body limit bounds
      // what that can cost.
      customOptions: {
        coerceTypes: false,
        removeAdditional: false,
        useDefaults: false,
        allErrors: true,
      },
    },
    clientErrorHandler(err, socket) {
      if (!socket.writable) {
        socket.destroy();
        return;
      }
      const body = JSON.stringify(
        problemOf(new BelfryError('bad_request', `not an HTTP request: ${err.message}`)),
      );
      socket.end(
        `HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: ${problemContentType}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
    },
    routerOptions: {
      // Longer than any request line that Node takes: an id of any length is a timer not found, not
      // the router's own 414.
      maxParamLength: 65_536,
      onBadUrl(path, _req, res) {
        sendProblem(res, new BelfryError('bad_request', `${path} is not a valid path`));
      },
    },
  });

  // JSON whatever the Content-Type says, also when what it says is no media type at all (Fastify
  // would answer 415 before it looks for a parser) or stands there without a body (DELETE).
  // What may come as lines is told by its media type.
  server.addHook('onRequest', (req, _reply, done) => {
    const { headers } = req.raw;
    if (req.routeOptions.config.takesLines !== true || !isLines(headers['content-type'])) {
      headers['content-type'] = undefined;
    }
    done();
  });
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', { parseAs: 'string' }, (_req, body, done) => {
    try {
      done(null, JSON.parse(String(body)));
    } catch (err) {
      done(new BelfryError('invalid_json', `the body is not JSON: ${messageOf(err)}`));
    }
  });

  authenticateRequests(server, authenticator, options.rateKeeper);
  server.addContentTypeParser([...linesTypes], (_req, stream, done) => done(null, stream));

  server.setErrorHandler((thrown: Error, req, reply) => {
    const err = asBelfryError(thrown);
    if (err.code === 'internal') {
      log.error({ err: thrown, method: req.method, url: req.url }, 'a request failed');
    }
    const { status, retryable } = errorCatalogue[err.code];
    if (retryable && status !== 500) {
      reply.header('retry-after', err.retryAfterSeconds ?? retryAfterSeconds);
    }
    if (status === 401) reply.header('www-authenticate', 'Bearer realm="belfry"');
    return reply
      .code(status)
      .type(problemContentType)
      .send(JSON.stringify(problemOf(err)));
  });
  server.setNotFoundHandler((req) => {
    throw new BelfryError('route_not_found', `there is no ${req.method} ${req.url}`);
  });

  const routes = documentedRoutes(server);
  timerRoutes(server, timers);
  changeRoutes(server, timers);
  namedTimerRoutes(server, timers);
  listRoutes(server, timers);
  bulkRoutes(server, timers, tokens);
  batchRoutes(server, timers, { bodyBytesMax, batchBytesMax });
  tokenRoutes(server, tokens);
  projectStateRoutes(server, tokens, timers, tokens);
  secretRoutes(server, { secrets: options.secrets, audit: tokens.audit });
  destinationRoutes(server, { ...options.destinations, secrets: timers.secrets });
  breakerRoutes(server, options.breakers);
  signingKeyRoutes(server, options.signingKeys);
  limitRoutes(server, options.limits, options.rateKeeper);
  auditRoutes(server, tokens);
  operationRoutes(server, operations);
  referenceRoutes(server, routes);
  return server;
}

/** Gathers the routes that are registered from now on; one without a description is a defect. */
function documentedRoutes(server: FastifyInstance): readonly DocumentedRoute[] {
  const routes: DocumentedRoute[] = [];
  server.addHook('onRoute', ({ method, url, config }) => {
    // Fastify adds a HEAD to every GET.
    if (method === 'HEAD') return;
    if (config?.operation === undefined)
      throw new Error(`${String(method)} ${url} is not described`);
    routes.push({ method: String(method), url, operation: config.operation });
  });
  return routes;
}

function sendProblem(
  res: {
    writeHead(
      status: number,
      headers: Record<string, string | number>,
    ): { end(body: string): void };
  },
  err: BelfryError,
): void {
  const problem = problemOf(err);
  const body = JSON.stringify(problem);
  res
    .writeHead(problem.status, {
      'content-type': problemContentType,
      'content-length': Buffer.byteLength(body),
    })
    .end(body);
}

function isLines(contentType: string | undefined): boolean {
  const mediaType = contentType?.split(';')[0]?.trim().toLowerCase();
  return mediaType !== undefined && linesTypes.some((type) => type === mediaType);
}

function messageOf(err: unknown): string {
  return err instanceof Error ? err.message : String(err);
}
