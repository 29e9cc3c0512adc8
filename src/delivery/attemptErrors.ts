import { errors } from 'undici';
import type { AttemptErrorCode } from '../core/attempt.ts';
import { TargetNotAllowed } from './guardedConnector.ts';
import { ProxyFailed } from './proxyConnector.ts';

const codes: Readonly<Record<string, AttemptErrorCode>> = {
  BELFRY_TARGET_NOT_ALLOWED: 'target_not_allowed',
  // As if the name led nowhere: see AnswerNotAllowed.
  BELFRY_ANSWER_NOT_ALLOWED: 'dns_failed',
  BELFRY_PROXY_FAILED: 'proxy_failed',
  BELFRY_ANSWER_TOO_LONG: 'response_invalid',
  ENOTFOUND: 'dns_failed',
  ENODATA: 'dns_failed',
  ESERVFAIL: 'dns_failed',
  EREFUSED: 'dns_failed',
  EBADNAME: 'dns_failed',
  EBADRESP: 'dns_failed',
  EFORMERR: 'dns_failed',
  ENOTIMP: 'dns_failed',
  ETIMEOUT: 'dns_failed',
  EAI_AGAIN: 'dns_failed',
  EAI_FAIL: 'dns_failed',
  ECONNREFUSED: 'connection_refused',
  ECONNRESET: 'connection_reset',
  EPIPE: 'connection_reset',
  UND_ERR_SOCKET: 'connection_reset',
  ETIMEDOUT: 'timeout',
  UND_ERR_CONNECT_TIMEOUT: 'timeout',
  CERT_HAS_EXPIRED: 'tls_expired',
  CERT_NOT_YET_VALID: 'tls_expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'tls_wrong_name',
  HOSTNAME_MISMATCH: 'tls_wrong_name',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'tls_protocol',
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: 'tls_protocol',
  ERR_SSL_NO_PROTOCOLS_AVAILABLE: 'tls_protocol',
  EPROTO: 'tls_failed',
  UND_ERR_HEADERS_OVERFLOW: 'response_invalid',
  UND_ERR_INVALID_ARG: 'request_invalid',
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: 'request_invalid',
};

const untrusted =
  /^(?:UNABLE_TO_(?:GET|VERIFY)_|DEPTH_ZERO_SELF_SIGNED|SELF_SIGNED_|CERT_UNTRUSTED|CERT_REJECTED|CERT_SIGNATURE_FAILURE|INVALID_CA|CERT_REVOKED)/;

/** Names a transport error for the record; what is not known is `connection_failed`. */
export function attemptErrorCode(err: unknown): AttemptErrorCode {
  for (const code of codesOf(err)) {
    const known = codes[code];
    if (known !== undefined) return known;
    if (/^(?:HPE_|UND_ERR_RES)/.test(code)) return 'response_invalid';
    if (untrusted.test(code)) return 'tls_untrusted';
    if (/^(?:ERR_TLS|ERR_SSL|CERT_|UNABLE_TO_)/.test(code)) return 'tls_failed';
  }
  // undici's parser errors bear no code when their reason has none.
  return err instanceof errors.HTTPParserError ? 'response_invalid' : 'connection_failed';
}

/** What the operator's log says of it and callers do not learn; undefined when the code is all. */
export function attemptErrorDetail(err: unknown): string | undefined {
  if (err instanceof TargetNotAllowed || err instanceof ProxyFailed) return err.message;
  return codesOf(err).next().value ?? undefined;
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
