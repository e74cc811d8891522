import { readFile } from 'node:fs/promises';
import { createContext } from '@cluster-image/oci';
import { describe, expect, test } from 'vitest';
import { lockStep, lockVerb } from '../../src/verbs/lock.ts';
import { clusterFiles } from '../cluster-files.ts';
import { putFiles } from '../context.ts';
import { type Desk, desk } from '../desk.ts';
import { failureOf } from '../failure.ts';

const path = 'cluster/cluster-image.lock.json';

async function deskWith(images: readonly string[]): Promise<Desk> {
  const here = await desk();
  await putFiles(here.root, clusterFiles(here.host, images));
  return here;
}

function step(here: Desk, built: Readonly<Record<string, string>> = {}, seen?: string[]) {
  const given = lockVerb.options.parse({ context: 'cluster', plainHttp: [here.host] });
  return lockStep(given, here.environment, createContext(), (references) => {
    seen?.push(...references);
    return built;
  });
}

describe('a context and its lockfile', () => {
  test('are in step once it is written, and no registry is asked then', async () => {
    const here = await deskWith(['acme/app:1', 'acme/index:1']);
    const seen: string[] = [];
    const { drift, text, built } = await step(here, {}, seen);
    expect(seen).toEqual([`${here.host}/acme/app:1`, `${here.host}/acme/index:1`]);
    expect(built).toEqual({});
    expect(drift).toContain("does not pin 2 of the context's images");
    await putFiles(here.root, { [path]: text ?? '' });
    const asked = here.upstream.log.length;
    expect(await step(here)).toEqual({ built: {} });
    expect(here.upstream.log).toHaveLength(asked);
    await here.run(lockVerb, { context: 'cluster', check: true, plainHttp: [here.host] });
  });

  test('are not where an image is built here that was pinned, which is then let go of', async () => {
    const here = await deskWith(['acme/app:1', 'acme/index:1']);
    await here.run(lockVerb, { context: 'cluster', plainHttp: [here.host] });
    const built = { [`${here.host}/acme/app`]: 'oci:../app/dist/image' };
    const found = await step(here, built);
    expect(found.built).toEqual(built);
    expect(found.drift).toContain('pins what nothing refers to any more');
    expect(found.text).not.toContain('acme/app:1');
    expect(found.text).toContain('acme/index:1');
    expect(await readFile(here.path(path), 'utf8')).toContain('acme/app:1');
  });

  test('may differ in what is built here alone', async () => {
    const here = await deskWith(['acme/index:1']);
    await here.run(lockVerb, { context: 'cluster', plainHttp: [here.host] });
    const found = await step(here, { 'acme/none': 'oci:none' });
    expect([found.drift, found.text]).toEqual([undefined, undefined]);
  });

  test('cannot be told where the context is broken', async () => {
    const here = await deskWith([]);
    await putFiles(here.root, { 'cluster/cluster-image.json': '{' });
    expect((await failureOf(step(here))).code).toBe('INPUT_INVALID');
  });
});
