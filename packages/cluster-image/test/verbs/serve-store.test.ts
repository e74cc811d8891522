import { expect, test } from 'vitest';
import { pruneVerb } from '../../src/verbs/prune.ts';
import { pullVerb } from '../../src/verbs/transfer.ts';
import { verifyVerb } from '../../src/verbs/verify.ts';
import { type Desk, desk, image, index } from '../desk.ts';
import { place } from '../place.ts';
import { type Serving, serving } from '../serving.ts';

/** What a proxy leaves in the store. */

async function proxy(): Promise<Serving & { readonly here: Desk; at(name: string): string }> {
  const here = await desk();
  const server = await serving(here, [], { proxy: true, plainHttp: [here.host] });
  const repositories = `${server.url}/v2/${here.host.replace(':', '_')}/acme`;
  return { ...server, here, at: (name) => `${repositories}/${name}` };
}

async function take(url: string): Promise<number> {
  const response = await fetch(url);
  await response.arrayBuffer();
  return response.status;
}

test('the store is sound whatever part of an image was pulled', async () => {
  const { here, at } = await proxy();
  const [child] = index.manifests;
  if (child?.kind !== 'image') throw new Error('no child');
  for (const path of [
    'app/manifests/1',
    `app/blobs/${image.root.layers[0]?.digest}`,
    'index/manifests/1',
    `index/manifests/${child.digest}`,
    `index/blobs/${child.config.digest}`,
  ]) {
    expect(await take(at(path))).toBe(200);
    expect((await here.run(verifyVerb, {})).problems).toEqual([]);
  }
});

test('prune keeps what was pulled by its tag, and lets go of what was pulled by digest or in part', async () => {
  const { here, at, host, stop } = await proxy();
  const name = `${host}/${here.host.replace(':', '_')}/acme`;
  const elsewhere = await place();
  const pull = (from: string) => elsewhere.run(pullVerb, { from, plainHttp: [host] });
  await pull(`${name}/app:1`);
  const [child, other] = index.manifests;
  if (child?.kind !== 'image' || other?.kind !== 'image') throw new Error('no children');
  await pull(`${name}/index@${child.digest}`);
  await take(at(`index/manifests/${other.digest}`));
  await take(at(`index/blobs/${other.layers[0]?.digest}`));
  await stop();
  const pruned = await here.run(pruneVerb, { grace: '0' });
  expect([pruned.released, pruned.problems]).toEqual([[], []]);
  const { registry } = here.store;
  const app = await registry.resolve(`${here.host}/acme/app`, '1');
  expect(app?.digest).toBe(image.root.digest);
  expect(await registry.resolve(`${here.host}/acme/index`, child.digest)).toBeUndefined();
  const { problems, blobs } = await here.run(verifyVerb, {});
  expect([problems, blobs]).toEqual([[], image.blobs.size + 1]);
});

test('the store can be pruned while a proxy runs that nobody asks for anything', async () => {
  const { here, at } = await proxy();
  expect(await take(at('app/manifests/1'))).toBe(200);
  const started = performance.now();
  const pruned = await here.run(pruneVerb, { grace: '0' });
  expect(pruned.problems).toEqual([]);
  // Ten seconds after it was last asked.
  expect(performance.now() - started).toBeGreaterThan(5_000);
  expect(await take(at('app/manifests/1'))).toBe(200);
  expect(await take(at(`app/blobs/${image.root.config.digest}`))).toBe(200);
});
