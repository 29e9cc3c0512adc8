import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AttemptErrorCode } from '../../src/core/attempt.ts';
import { attemptErrorCode, attemptErrorDetail } from '../../src/delivery/attemptErrors.ts';
import { AnswerNotAllowed, TargetNotAllowed } from '../../src/delivery/guardedConnector.ts';
import { ProxyFailed } from '../../src/delivery/proxyConnector.ts';

const coded = (code: string, cause?: unknown) =>
  Object.assign(new Error(code, cause === undefined ? {} : { cause }), { code });

test('every known transport error has a name in the record', () => {
  const names: Readonly<Partial<Record<AttemptErrorCode, readonly string[]>>> = {
    dns_failed: ['ENOTFOUND', 'EAI_AGAIN', 'ENODATA', 'ESERVFAIL', 'ETIMEOUT', 'EREFUSED'],
    connection_refused: ['ECONNREFUSED'],
    connection_reset: ['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'],
    connection_failed: ['EHOSTUNREACH', 'ENETUNREACH', 'EADDRNOTAVAIL', 'EMFILE', 'UNHEARD_OF'],
    timeout: ['ETIMEDOUT', 'UND_ERR_CONNECT_TIMEOUT'],
    tls_failed: ['EPROTO', 'ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_TLS_HANDSHAKE_TIMEOUT'],
    tls_expired: ['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID'],
    tls_untrusted: [
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'SELF_SIGNED_CERT_IN_CHAIN',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
      'CERT_SIGNATURE_FAILURE',
    ],
    tls_wrong_name: ['ERR_TLS_CERT_ALTNAME_INVALID', 'HOSTNAME_MISMATCH'],
    tls_protocol: ['ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', 'ERR_SSL_UNSUPPORTED_PROTOCOL'],
    response_invalid: [
      'UND_ERR_HEADERS_OVERFLOW',
      'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
      'HPE_INVALID_CONSTANT',
    ],
    request_invalid: ['UND_ERR_INVALID_ARG', 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH'],
  };
  for (const [name, codes] of Object.entries(names)) {
    for (const code of codes) assert.equal(attemptErrorCode(coded(code)), name, code);
  }
});

test('a refused target is told from all else, also as a cause', () => {
  assert.equal(attemptErrorCode(new TargetNotAllowed('x')), 'target_not_allowed');
  const wrapped = new Error('failed', { cause: new TargetNotAllowed('x') });
  assert.equal(attemptErrorCode(wrapped), 'target_not_allowed');
});

test('to callers, a name that leads where it may not is one that leads nowhere; the log says more', () => {
  const refused = new AnswerNotAllowed('db.acme.io: 10.0.0.1 is not a public address');
  assert.equal(attemptErrorCode(refused), attemptErrorCode(coded('ENOTFOUND')));
  assert.equal(attemptErrorDetail(refused), 'db.acme.io: 10.0.0.1 is not a public address');
  assert.equal(attemptErrorCode(new ProxyFailed('x')), 'proxy_failed');
  assert.equal(attemptErrorDetail(new ProxyFailed('x')), 'x');
  assert.equal(attemptErrorDetail(coded('EMFILE')), 'EMFILE');
  assert.equal(attemptErrorDetail(new Error('a secret, perhaps')), undefined);
});

test('the first known code counts, of the error, of several connection attempts, of its causes', () => {
  assert.equal(attemptErrorCode(coded('UNHEARD_OF', coded('ECONNRESET'))), 'connection_reset');
  const both = new AggregateError([coded('ENETUNREACH'), coded('ECONNREFUSED')]);
  assert.equal(attemptErrorCode(both), 'connection_refused');
  assert.equal(attemptErrorCode(new Error('x', { cause: both })), 'connection_refused');
});

test('whatever is thrown has a name: things without a code, causes in a circle', () => {
  const circle = new Error('circle');
  circle.cause = circle;
  for (const thrown of [undefined, null, 'text', 5, {}, new Error('x'), circle]) {
    assert.equal(attemptErrorCode(thrown), 'connection_failed');
  }
});
