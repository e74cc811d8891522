import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { distributionLayout } from '@cluster-image/storage';
import { imageFixture, putFixture } from '@cluster-image/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { browse, type Page } from './support/browser.ts';
import { type Server, serveCommand } from './support/servers.ts';

let work: string;
let server: Server & { readonly host: string };
let page: Page;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'cluster-image-e2e-'));
  const layout = distributionLayout(join(work, 'registry'));
  const image = imageFixture({ layers: [2_000_000] });
  for (const [name, tags] of [
    ['team/app', ['1.0', '1.1', '2.0']],
    ['team/other', ['latest']],
    [`team/${'long-name-'.repeat(12)}end`, [`${'v1.2.3-'.repeat(12)}end`]],
  ] as const) {
    for (const tag of tags) await putFixture(layout, name, image, tag);
  }
  server = await serveCommand([`registry:${join(work, 'registry')}`], work);
  page = await browse(join(work, 'browser'));
});

afterAll(async () => {
  await page?.close();
  await server?.stop();
  await rm(work, { recursive: true, force: true });
});

/** What a person sees of it. */
const text = (): Promise<unknown> => page.evaluate('document.body.innerText');

describe('the page of a registry, in Chromium', () => {
  test('shows what the registry holds', async () => {
    await page.open(`http://${server.host}/`);
    expect(await text()).toMatch(/3 repositories, 2\.00 MB; 4\.00 MB more if images did not share/);
    expect(await text()).toMatch(/team\/app\s+1\.0 1\.1 2\.0\s+2\.00 MB/);
    const look = 'getComputedStyle(document.body).maxWidth';
    expect(await page.evaluate(look)).toBe('960px');
  });

  test('finds a repository', async () => {
    await page.evaluate(`document.querySelector('input').value = 'OTHER'`);
    await page.evaluate(`document.querySelector('form button').click()`);
    await expect.poll(text).toContain('1 repository with “OTHER” in the name');
    expect(await text()).not.toContain('team/app');
  });

  test('shows how to point a client at it', async () => {
    await page.open(`http://${server.host}/`);
    expect(await text()).not.toContain('hosts.toml');
    await page.evaluate(`document.querySelectorAll('summary').forEach((each) => each.click())`);
    await expect.poll(text).toContain('/etc/containerd/certs.d/_default/hosts.toml');
    expect(await text()).toContain(`[host."http://${server.host}"]`);
  });

  test.each([320, 768, 1280])('cuts nothing off where it is %i pixels wide', async (width) => {
    await page.width(width);
    await page.open(`http://${server.host}/`);
    await page.evaluate(
      `document.querySelectorAll('details').forEach((each) => (each.open = true))`,
    );
    const whole = 'document.documentElement';
    const cutOff = `${whole}.scrollWidth - ${whole}.clientWidth`;
    expect(await page.evaluate(cutOff)).toBe(0);
  });

  test('asks nobody else for anything', () => {
    const hosts = new Set(page.requests.map((url) => new URL(url).host));
    expect(hosts).toEqual(new Set([server.host]));
  });
});
