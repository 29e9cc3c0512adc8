import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AttemptErrorCode } from '../../src/core/attempt.ts';
import { attemptErrorCode } from '../../src/delivery/attemptErrors.ts';
import { TargetNotAllowed } from '../../src/delivery/httpClient.ts';

const coded = (code: string, cause?: unknown) =>
  Object.assign(new Error(code, cause === undefined ? {} : { cause }), { code });

test('every known transport error has a name in the record', () => {
  const names: Readonly<Partial<Record<AttemptErrorCode, readonly string[]>>> = {
    dns_failed: ['ENOTFOUND', 'EAI_AGAIN'],
    connection_refused: ['ECONNREFUSED'],
    connection_reset: ['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'],
    connection_failed: ['EHOSTUNREACH', 'ENETUNREACH', 'EADDRNOTAVAIL', 'EMFILE', 'UNHEARD_OF'],
    timeout: ['ETIMEDOUT', 'UND_ERR_CONNECT_TIMEOUT'],
    tls_failed: [
      'EPROTO',
      'CERT_HAS_EXPIRED',
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'ERR_TLS_CERT_ALTNAME_INVALID',

      'SELF_SIGNED_CERT_IN_CHAIN',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      'HOSTNAME_MISMATCH',
      'ERR_SSL_WRONG_VERSION_NUMBER',
      'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
    ],
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
