import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import type { AttemptErrorCode, ResponseSample } from '../core/attempt.ts';
import { attemptErrorCode, attemptErrorDetail } from './attemptErrors.ts';
import {
  createConnections,
  type Connection,
  type ConnectionUser,
  type Connections,
} from './connections.ts';
import { createDeadlines, type Deadlines, type DeadlineUser } from './deadlines.ts';
import type { Connector } from './tlsConnector.ts';
import { nextHop, redirectsMax, type Hop } from './redirects.ts';
import { ResponseSampler } from './responseSample.ts';

/** Its headers were checked at creation. */
export interface HttpRequest extends Hop {
  /** For everything: connecting, sending, and the whole response. */
  readonly timeoutMs: number;
  /** Asked once more just before the request is written to the socket. */
  readonly mayWrite: () => boolean;
  /**
   * Called when a redirect leads to another origin: gives the slot of the one before back, and calls
   * `start` once there is one of this, which is then what `onFree` frees.
   */
  readonly changeOrigin: (origin: string, start: () => void) => void;
}

export type HttpResult =
  | {
      readonly kind: 'response';
      readonly status: number;
      readonly errorCode: AttemptErrorCode | null;
      readonly response?: ResponseSample;
    }
  | {
      readonly kind: 'error';
      readonly errorCode: AttemptErrorCode;
      /** For the operator's log, not for callers. */
      readonly detail?: string;
    }
  /** `mayWrite` said no: nothing was sent. */
  | { readonly kind: 'not_written' };

export interface HttpClient {
  /**
   * Sends one request. `onResult` comes at the latest when the deadline ends; `onFree` when the
   * connection is free again, which may be later.
   */
  send(request: HttpRequest, onResult: (result: HttpResult) => void, onFree: () => void): void;
  /** Origins of which something is kept: a request or a connection. */
  origins(): number;
  close(): Promise<void>;
}

/** Of a response no more than this is read; a longer one is cut off, its status counts. */
export const responseBytesMax = 64 * 1024;

const headBytesMax = 16 * 1024;
/** 1xx responses to one request: each costs little, a flood of them does not. */
const informationalMax = 1_000;

/**
 * undici's `dispatch` with a handler of our own, not `request`: the same client without a stream
 * and a promise for a body that nobody reads (31 against 46 µs of CPU a request, 64 connections).
 */
export function createHttpClient(options: {
  /** Makes connections, only where they may lead: see guardedConnector. */
  connect: Connector;
  allowRedirects: boolean;
}): HttpClient {
  const { connect, allowRedirects } = options;
  const connections = createConnections({ connect, headBytesMax });
  const deadlines = createDeadlines();
  const followsMax = allowRedirects ? redirectsMax : 0;

  return {
    send(request, onResult, onFree) {
      new Exchange({ connections, deadlines, request, followsMax, onResult, onFree }).dispatch();
    },
    close: connections.destroy,
    origins: connections.origins,
  };
}

/**
 * One request and its response, and those that redirects lead to, under one deadline. Modes: waiting
 * for a connection, written (the request is on its way), settled (the result is told; the connection
 * may still be busy).
 *
 * A class for its handlers, which are one set for all requests.
 */
class Exchange implements Dispatcher.DispatchHandler, ConnectionUser, DeadlineUser {
  readonly #connections: Connections;
  readonly #request: HttpRequest;
  readonly #onResult: (result: HttpResult) => void;
  readonly #onFree: () => void;
  readonly #deadline: NodeJS.Timeout;
  #followsLeft: number;
  #informationalLeft = informationalMax;
  #hop: Hop;
  /** Where the response under way leads, once its end has come. */
  #next: Hop | undefined;
  #connection: Connection | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #settled = false;
  #written = false;
  #status: number | undefined;
  #sampler = new ResponseSampler();

  constructor(options: {
    connections: Connections;
    deadlines: Deadlines;
    request: HttpRequest;
    followsMax: number;
    onResult: (result: HttpResult) => void;
    onFree: () => void;
  }) {
    const { request } = options;
    this.#connections = options.connections;
    this.#request = request;
    this.#hop = request;
    this.#followsLeft = options.followsMax;
    this.#onResult = options.onResult;
    this.#onFree = options.onFree;
    this.#deadline = options.deadlines.set(request.timeoutMs, this);
  }

  dispatch(): void {
    const { path, method, headers, body } = this.#hop;
    this.#connection = this.#connections.take(this.#hop);
    this.#connection.client.dispatch({ path, method, headers, body }, this);
  }

  onDeadline(): void {
    if (this.#settled) return;
    this.#settle({ kind: 'error', errorCode: 'timeout' });
    this.#controller?.abort(new Error('deadline'));
  }

  onRequestStart(started: Dispatcher.DispatchController): void {
    this.#controller = started;
    // Connecting may have taken long: the deadline or the lease may have ended meanwhile. After a
    // redirect the attempt has long started and goes on.
    if (!this.#settled && !this.#written && !this.#request.mayWrite())
      this.#settle({ kind: 'not_written' });
    if (this.#settled) started.abort(new Error('not written'));
    else this.#written = true;
  }

  onResponseStart(
    responding: Dispatcher.DispatchController,
    code: number,
    headers: IncomingHttpHeaders,
  ): void {
    if (code < 200) {
      this.#informationalLeft -= 1;
      if (this.#informationalLeft >= 0) return;
      this.#settle({ kind: 'error', errorCode: 'response_invalid' });
      responding.abort(new Error('more 1xx responses than are read'));
      return;
    }
    this.#status = code;
    if (this.#followsLeft > 0) this.#next = nextHop(this.#hop, code, headers.location);
    this.#sampler.head(headers);
  }

  onResponseData(responding: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#sampler.body(chunk);
    if (this.#sampler.bytes <= responseBytesMax || this.#status === undefined) return;
    this.#settleByStatus(this.#status);
    responding.abort(new Error('the response is longer than is read'));
  }

  onResponseEnd(): void {
    if (this.#next === undefined && this.#status !== undefined) this.#settleByStatus(this.#status);
    if (this.#connection !== undefined) this.#connections.release(this.#connection, this);
  }

  onResponseError(_: Dispatcher.DispatchController, err: Error): void {
    if (this.#connection !== undefined) this.#connections.drop(this.#connection);
    const detail = attemptErrorDetail(err);
    const failure = { kind: 'error', errorCode: attemptErrorCode(err) } as const;
    this.#settle(detail === undefined ? failure : { ...failure, detail });
    this.#onFree();
  }

  onConnectionFree(): void {
    if (this.#next === undefined || this.#settled) this.#onFree();
    else this.#follow(this.#next);
  }

  #follow(next: Hop): void {
    const isSameOrigin = next.origin === this.#hop.origin;
    this.#followsLeft -= 1;
    this.#hop = next;
    this.#next = undefined;
    this.#controller = undefined;
    this.#status = undefined;
    this.#sampler = new ResponseSampler();
    if (isSameOrigin) return this.dispatch();
    this.#request.changeOrigin(next.origin, () => {
      // It may have waited for its slot until the deadline.
      if (this.#settled) this.#onFree();
      else this.dispatch();
    });
  }

  #settleByStatus(status: number): void {
    const errorCode = errorCodeOfStatus(status);
    const response = this.#sampler.sample();
    if (response === undefined) this.#settle({ kind: 'response', status, errorCode });
    else this.#settle({ kind: 'response', status, errorCode, response });
  }

  #settle(result: HttpResult): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#deadline);
    this.#onResult(result);
  }
}

function errorCodeOfStatus(status: number): AttemptErrorCode | null {
  if (status < 300) return null;
  return status < 400 ? 'redirect' : 'http_status';
}
