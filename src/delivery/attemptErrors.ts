import { errors } from 'undici';
import type { AttemptErrorCode } from '../core/attempt.ts';

const codes: Readonly<Record<string, AttemptErrorCode>> = {
  BELFRY_TARGET_NOT_ALLOWED: 'target_not_allowed',
  ENOTFOUND: 'dns_failed',
  EAI_AGAIN: 'dns_failed',
  ECONNREFUSED: 'connection_refused',
  ECONNRESET: 'connection_reset',
  EPIPE: 'connection_reset',
  UND_ERR_SOCKET: 'connection_reset',
  ETIMEDOUT: 'timeout',
  UND_ERR_CONNECT_TIMEOUT: 'timeout',
  EPROTO: 'tls_failed',
  UND_ERR_HEADERS_OVERFLOW: 'response_invalid',
  UND_ERR_INVALID_ARG: 'request_invalid',
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: 'request_invalid',
};

/** Names a transport error for the record; what is not known is `connection_failed`. */
export function attemptErrorCode(err: unknown): AttemptErrorCode {
  for (const code of codesOf(err)) {
    const known = codes[code];
    if (known !== undefined) return known;
    if (/^(?:HPE_|UND_ERR_RES)/.test(code)) return 'response_invalid';
    if (/^(?:ERR_TLS|ERR_SSL|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_)/.test(code)) {
      return 'tls_failed';
    }
  }
  // undici's parser errors bear no code when their reason has none.
  return err instanceof errors.HTTPParserError ? 'response_invalid' : 'connection_failed';
}

/** The code of the error, of its causes, and (of several connection attempts) of each. */
function* codesOf(err: unknown, depth = 0): Generator<string> {
  if (!(err instanceof Error) || depth > 5) return;
  if ('code' in err && typeof err.code === 'string') yield err.code;
  if (err instanceof AggregateError) {
    for (const single of err.errors) yield* codesOf(single, depth + 1);
  }
  yield* codesOf(err.cause, depth + 1);
}
