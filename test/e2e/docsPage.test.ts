import assert from 'node:assert/strict';
import { after, test, type TestContext } from 'node:test';
import { startTestApp } from '../support/app.ts';
import { findChromium, visit } from '../support/chromium.ts';
import { createTestDatabase } from '../support/database.ts';
import { contractOf } from '../support/openapi.ts';
import { startReceiver } from '../support/receiver.ts';

const db = await createTestDatabase();
const app = await startTestApp(db.url, { ROLES: 'api' });
after(async () => {
  await app[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});

/** Without a browser the test is skipped, and says so; on CI it fails. */
function chromiumFor(context: TestContext): string | undefined {
  const chromium = findChromium();
  if (chromium !== undefined) return chromium;
  assert.equal(process.env['CI'], undefined, 'there is no Chromium, and it cannot be installed');
  console.error(
    'NOT TESTED: /docs in a browser, as there is no Chromium, and it cannot be installed',
  );
  context.skip('there is no Chromium, and it cannot be installed');
  return undefined;
}

test('/docs shows every operation in a browser, asks no other host and breaks no rule of its policy', async (context) => {
  const chromium = chromiumFor(context);
  if (chromium === undefined) return;
  const { html, complaints, hosts } = await visit(chromium, `${app.url}/docs`);
  assert.deepEqual({ complaints, hosts }, { complaints: [], hosts: ['127.0.0.1'] });
  const { document } = await contractOf(app.url);
  const paths = Object.values(document['paths'] as Record<string, Record<string, unknown>>);
  const operations = paths.flatMap(
    (path) => Object.values(path) as { operationId: string; tags: string[] }[],
  );
  for (const { operationId, tags } of operations) {
    assert.ok(html.includes(`id="operations-${tags[0]}-${operationId}"`), operationId);
  }
});

test('a page that asks another host would be seen, whether its policy lets it or not', async (context) => {
  const chromium = chromiumFor(context);
  if (chromium === undefined) return;
  const policy = (await fetch(`${app.url}/docs`)).headers.get('content-security-policy') ?? '';
  await using pages = await startReceiver((res, { path }) => {
    if (path === '/guarded') res.setHeader('content-security-policy', policy);
    res.setHeader('content-type', 'text/html');
    res.end('<link rel="stylesheet" href="https://fonts.example/x.css"><p>text');
  });
  const guarded = await visit(chromium, `${pages.url}/guarded`);
  assert.deepEqual(guarded.hosts, ['127.0.0.1']);
  assert.match(guarded.complaints.join(), /fonts\.example.*Content Security Policy/);
  const open = await visit(chromium, `${pages.url}/open`);
  assert.ok(open.hosts.includes('fonts.example'), String(open.hosts));
});
