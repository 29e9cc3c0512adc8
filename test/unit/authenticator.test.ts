import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  createAuthenticator,
  type AuthMode,
  type TokenProof,
} from '../../src/api/authenticator.ts';
import { BelfryError } from '../../src/core/errors.ts';
import type { ProjectLimits } from '../../src/core/limits.ts';
import { newToken } from '../../src/core/token.ts';

/** An authenticator on a clock of its own, with a store that counts its look-ups. */
function world(mode: AuthMode = 'on') {
  const clock = { nowMs: 0, monotonicMs: () => clock.nowMs };
  const proofs = new Map<string, TokenProof>();
  const state = { lookUps: 0, isInitialised: false, limits: {} as ProjectLimits };
  const authenticator = createAuthenticator({
    mode,
    clock,
    store: {
      prove(id) {
        state.lookUps += 1;
        return Promise.resolve(proofs.get(id));
      },
      isInitialised: () => Promise.resolve(state.isInitialised),
      limits: () => Promise.resolve(state.limits),
    },
  });
  function add(more: Partial<TokenProof> = {}) {
    const { id, secretHash, text } = newToken();
    proofs.set(id, {
      secretHash,
      projectId: 3,
      name: 'n',
      scopes: ['admin'],
      endsInMs: null,
      limits: null,
      rate: null,
      ...more,
    });
    return { id, text };
  }
  const ask = async (text: string | undefined, more: object = {}) => {
    const authorization = text === undefined ? undefined : `Bearer ${text}`;
    const credentials = {
      authorization,
      host: '127.0.0.1:5000',
      origin: undefined,
      address: '::1',
    };
    try {
      const given = { ...credentials, ...more };
      return authenticator.atOnce(given) ?? (await authenticator.authenticate(given));
    } catch (err) {
      assert.ok(err instanceof BelfryError);
      return err.code;
    }
  };
  return { clock, proofs, state, authenticator, add, ask };
}

test('a busy token is looked up twice a second, and its end is seen within one', async () => {
  const { clock, proofs, state, add, ask } = world();
  const { id, text } = add();
  for (let request = 0; request < 1_000; request++) {
    const principal = await ask(text);
    assert.ok(typeof principal === 'object' && principal.projectId === 3);
    clock.nowMs += 10;
  }
  assert.ok(state.lookUps <= 25, `${state.lookUps} look-ups in 10 s`);
  proofs.delete(id);
  const goneAtMs = clock.nowMs;
  while (typeof (await ask(text)) === 'object') clock.nowMs += 10;
  assert.ok(clock.nowMs - goneAtMs <= 910, `${clock.nowMs - goneAtMs} ms`);
});

test('a token ends at its instant, also between two look-ups', async () => {
  const { clock, add, ask } = world();
  const { text } = add({ endsInMs: 100 });
  assert.equal(typeof (await ask(text)), 'object');
  clock.nowMs = 99;
  assert.equal(typeof (await ask(text)), 'object');
  clock.nowMs = 100;
  assert.equal(await ask(text), 'unauthenticated');
});

test('an address that guesses has to wait; a token that was right before goes on', async () => {
  const { clock, state, add, ask } = world();
  const { text } = add();
  const { text: unseen } = add();
  await ask(text);
  for (let guess = 0; guess < 20; guess++) {
    assert.equal(await ask(newToken().text), 'unauthenticated');
  }
  const before = state.lookUps;
  for (let guess = 0; guess < 1_000; guess++) {
    assert.equal(await ask(newToken().text), 'rate_limited');
  }
  assert.equal(state.lookUps, before, 'what is refused costs no look-up');
  assert.equal(typeof (await ask(text)), 'object');
  clock.nowMs += 950;
  assert.equal(typeof (await ask(text)), 'object');
  assert.equal(await ask(unseen), 'rate_limited');
  assert.equal(typeof (await ask(unseen, { address: '10.0.0.1' })), 'object');
  clock.nowMs += 10_000;
  assert.equal(typeof (await ask(unseen)), 'object');
});

test('an address that floods gets its answers one by one, others at once', async () => {
  const { authenticator, ask } = world();
  const paced = (address: string) =>
    new Promise<number>((resolve) => {
      const startMs = performance.now();
      authenticator.paceRefusal(address, () => resolve(performance.now() - startMs));
    });
  for (let guess = 0; guess < 520; guess++) await ask('x');
  assert.ok((await paced('::1')) < 15, 'no flood yet');
  for (let guess = 0; guess < 100; guess++) await ask('x');
  const waits = await Promise.all(Array.from({ length: 10 }, () => paced('::1')));
  assert.ok((waits.at(-1) ?? 0) >= 180, waits.join(', '));
  assert.ok((await paced('10.0.0.1')) < 15);
});

test('all addresses of a /64 are one', async () => {
  const { add, ask } = world();
  const { text } = add();
  for (let guess = 0; guess < 20; guess++) {
    await ask('x', { address: `2001:db8:0:1::${guess.toString(16)}` });
  }
  assert.equal(await ask(text, { address: '2001:db8:0:1:ffff::1' }), 'rate_limited');
  assert.equal(typeof (await ask(text, { address: '2001:db8:0:2::1' })), 'object');
});

test('what is no bearer token is refused without a look-up', async () => {
  const { state, add, ask } = world();
  const { text } = add();
  for (const authorization of [
    undefined,
    '',
    text,
    'Bearer',
    `Basic ${text}`,
    `Bearer ${text}x`,
    `Bearer ${text} y`,
  ]) {
    assert.equal(await ask(undefined, { authorization }), 'unauthenticated', authorization);
  }
  assert.equal(state.lookUps, 0);
  assert.equal(typeof (await ask(undefined, { authorization: `bearer  ${text}` })), 'object');
});

test('where nobody is asked for a token, only this machine may ask, until the first token is given', async () => {
  const { clock, state, add, ask } = world('auto');
  const { text } = add();
  for (const host of ['127.0.0.1:5000', 'localhost', '[::1]:80', 'belfry.localhost', undefined]) {
    const principal = await ask(undefined, { host });
    assert.ok(typeof principal === 'object' && principal.kind === 'open', host);
  }
  for (const host of [
    'evil.example',
    '127.0.0.1.evil.example',
    '10.0.0.1',
    'localhost.evil.io',
    '',
  ]) {
    assert.equal(await ask(undefined, { host }), 'origin_not_allowed', host);
  }
  assert.equal(typeof (await ask(undefined, { origin: 'http://localhost:3000' })), 'object');
  for (const origin of ['https://evil.example', 'null', '']) {
    assert.equal(await ask(undefined, { origin }), 'origin_not_allowed', origin);
  }
  state.isInitialised = true;
  clock.nowMs += 1_000;
  assert.equal(await ask(undefined), 'unauthenticated');
  const principal = await ask(text);
  assert.ok(typeof principal === 'object' && principal.kind === 'token');
});

test('AUTH=off asks nobody for anything', async () => {
  const principal = await world('off').ask('x', { host: 'belfry.internal' });
  assert.ok(typeof principal === 'object' && principal.kind === 'open');
});
