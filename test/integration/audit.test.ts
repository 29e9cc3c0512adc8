import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createClient, type AuditEntry } from '../../packages/client/src/index.ts';
import { createAuditLog } from '../../src/store/auditLog.ts';
import { firstToken } from '../../src/store/firstToken.ts';
import { startTestApp } from '../support/app.ts';
import { runBelfry } from '../support/belfryProcess.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';

const db = await createTestDatabase();
const app = await startTestApp(db.url, { AUTH: 'on' });
after(async () => {
  await app[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});
const operatorToken = (await firstToken(db.database, false)) ?? '';
const operator = createClient({ url: app.url, token: operatorToken });

const said = ({ action, actor, project, target, detail }: AuditEntry) => ({
  action,
  by: actor.name,
  project,
  target,
  detail: JSON.parse(detail) as unknown,
});

test('the log tells who did what, in the commit of the deed, to those whom it concerns', async () => {
  const shop = await operator.projects.create({ name: 'shop' });
  const issued = await operator.tokens.create({
    name: 'boss',
    scopes: ['admin'],
    project: shop.id,
  });
  const boss = createClient({ url: app.url, token: issued.token });
  await boss.timers.create({ url: 'http://127.0.0.1:9/', hours: 1, labels: ['a'] });
  await boss.timers.planCancel({ label: 'a' });
  await boss.timers.cancelWhere({ label: 'a' });
  const helper = await boss.tokens.create({ name: 'helper', scopes: ['timers:read'] });
  const next = await boss.tokens.rotate(helper.id, { overlap: 60 });
  await boss.tokens.revoke(next.id);
  await assert.rejects(boss.tokens.create({ name: 'x', scopes: ['operator'] }), {
    code: 'forbidden',
  });

  const { entries, next: page } = await boss.audit();
  assert.equal(page, null);
  const in_ = { project: shop.id };
  const scopes = ['timers:read'];
  assert.deepEqual(entries.map(said), [
    {
      action: 'project.create',
      by: 'operator',
      ...in_,
      target: String(shop.id),
      detail: { name: 'shop' },
    },
    {
      action: 'token.create',
      by: 'operator',
      ...in_,
      target: issued.id,
      detail: { name: 'boss', scopes: ['admin'] },
    },
    { action: 'timers.cancel', by: 'boss', ...in_, target: '', detail: { filter: { label: 'a' } } },
    {
      action: 'token.create',
      by: 'boss',
      ...in_,
      target: helper.id,
      detail: { name: 'helper', scopes },
    },
    {
      action: 'token.create',
      by: 'boss',
      ...in_,
      target: next.id,
      detail: { name: 'helper', scopes },
    },
    { action: 'token.rotate', by: 'boss', ...in_, target: helper.id, detail: { overlap: 60 } },
    { action: 'token.revoke', by: 'boss', ...in_, target: next.id, detail: {} },
  ]);
  assert.equal(entries[2]?.actor.id, issued.id);
  assert.match(entries[2]?.actor.address ?? '', /127\.0\.0\.1$/);
  assert.ok(!JSON.stringify(entries).includes('bel_'));
  assert.equal((await operator.audit()).entries[0]?.action, 'admin.init');
  await assert.rejects(boss.audit({ order: 'chain' }), { code: 'forbidden' });
  const paged = await boss.audit({ limit: 2, after: entries[0]?.id ?? 0 });
  assert.deepEqual(
    [paged.entries.map(({ id }) => id), paged.next],
    [[entries[1]?.id, entries[2]?.id], entries[2]?.id],
  );
});

test('every entry gets its place in a chain, which breaks when one is changed or taken away', async () => {
  const [count] = await sql<[number]>(db.database, 'SELECT count(*) FROM belfry.audit_log');
  const chained = await eventually('all are chained', async () => {
    const { entries } = await operator.audit({ order: 'chain' });
    return entries.length === count?.[0] ? entries : undefined;
  });
  const verify = (...more: string[]) =>
    runBelfry(['audit', 'verify', '--url', app.url, '--token', operatorToken, ...more]);
  const good = await verify();
  assert.equal(good.code, 0, good.stderr);
  const head = chained.at(-1);
  assert.deepEqual(JSON.parse(good.stdout), { seq: head?.seq, hash: head?.hash });
  const [third] = chained.slice(2);
  assert.equal((await verify('--expect', third?.hash ?? '')).code, 0);
  assert.equal((await verify('--expect', 'f'.repeat(64))).code, 1);

  for (const statement of [
    'DELETE FROM belfry.audit_log',
    'TRUNCATE belfry.audit_log',
    `UPDATE belfry.audit_log SET actor_name = 'somebody else'`,
    'UPDATE belfry.audit_log SET seq = seq + 1000',
  ]) {
    await assert.rejects(sql(db.database, statement), /append-only/, statement);
  }

  // Somebody who owns the database can, and is found out.
  const asOwner = async (statement: string) => {
    await sql(db.database, 'ALTER TABLE belfry.audit_log DISABLE TRIGGER USER');
    await sql(db.database, statement);
    await sql(db.database, 'ALTER TABLE belfry.audit_log ENABLE TRIGGER USER');
  };
  const name = `(SELECT actor_name FROM belfry.audit_log WHERE seq = 3)`;
  const [row] = await sql<[string]>(db.database, `SELECT ${name}`);
  const before = row?.[0];
  await asOwner(`UPDATE belfry.audit_log SET actor_name = 'somebody else' WHERE seq = 3`);
  const changed = await verify();
  assert.deepEqual([changed.code, changed.stderr], [1, 'belfry: the entry at 3 was changed\n']);
  await asOwner(`UPDATE belfry.audit_log SET actor_name = '${before}' WHERE seq = 3`);
  assert.equal((await verify()).code, 0);
  await asOwner('DELETE FROM belfry.audit_log WHERE seq = 3');
  assert.match((await verify()).stderr, /the entry at 3 is missing/);
});

test('two that extend the chain at once leave one chain', async () => {
  await using other = await createTestDatabase();
  const log = createAuditLog(other.database);
  const always = () => Promise.resolve(true);
  const actor = { kind: 'open', id: '', name: 'anyone', address: '' } as const;
  for (let round = 0; round < 20; round++) {
    await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        log.record(1, actor, { action: 'project.create', target: String(index), detail: {} }),
      ),
    );
    const ends = await Promise.allSettled([
      log.extendChain(always),
      log.extendChain(always),
      log.extendChain(always),
    ]);
    assert.ok(ends.some(({ status }) => status === 'fulfilled'));
  }
  await log.extendChain(always);
  const entries = await log.chain(0, 1_000);
  assert.deepEqual(
    entries.map(({ seq }) => seq),
    Array.from({ length: 200 }, (_, place) => place + 1),
  );
});
