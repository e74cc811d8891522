import { mkdir, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { givenLocation } from '../src/given-location.ts';
import { type Location, parseLocation } from '../src/location.ts';
import { buildVerb } from '../src/verbs/build.ts';
import { inspectVerb } from '../src/verbs/inspect.ts';
import { loadVerb, saveVerb } from '../src/verbs/transfer.ts';
import { putFiles } from './context.ts';
import { type Desk, desk, image } from './desk.ts';
import { failureOf } from './failure.ts';

const given = (here: Desk, text: string): Promise<Location> =>
  here.within({}, (workspace) => givenLocation(text, workspace));

/** A desk with an archive of the image, in the format of skopeo and in that of docker. */
async function saved(): Promise<Desk> {
  const here = await desk();
  const from = `docker://${here.host}/acme/app:1`;
  await mkdir(here.path('dist'));
  for (const to of ['oci-archive:oci.tar', 'docker-archive:dist/docker.tar']) {
    await here.run(saveVerb, { from, to, plainHttp: [here.host] });
  }
  return here;
}

describe('a path that ends in .tar', () => {
  test('is the archive there, in either format', async () => {
    const here = await saved();
    for (const location of ['oci.tar', './oci.tar', 'dist/docker.tar', here.path('oci.tar')]) {
      expect(await given(here, location)).toEqual({ kind: 'docker-archive', path: location });
      expect((await here.run(inspectVerb, { location })).digest).toBe(image.root.digest);
    }
  });

  test('is a name in the store where there is no such file, or a tag behind it', async () => {
    const here = await saved();
    await mkdir(here.path('directory.tar'));
    for (const text of ['gone.tar', 'directory.tar', 'oci.tar:latest', 'oci.tar:1', 'dist/x.tar']) {
      expect(await given(here, text)).toEqual(parseLocation(text));
    }
    await writeFile(here.path('oci.tgz'), '');
    expect((await given(here, 'oci.tgz')).kind).toBe('store');
  });

  test('that is a file and a name in the store could be either, and is refused', async () => {
    const here = await saved();
    await here.run(loadVerb, { from: 'oci.tar', to: 'dist/docker.tar' });
    const error = await failureOf(given(here, 'dist/docker.tar'));
    expect([error.code, error.hint]).toEqual([
      'USAGE',
      'Write docker-archive:dist/docker.tar for the file, or dist/docker.tar:latest for the image.',
    ]);
    await putFiles(here.root, { 'cluster/Kubefile': 'FROM scratch\n' });
    await here.run(buildVerb, { context: 'cluster', tag: 'oci.tar' });
    expect((await failureOf(given(here, 'oci.tar'))).code).toBe('USAGE');
    expect((await given(here, './dist/docker.tar')).kind).toBe('docker-archive');
    const stored = await here.run(inspectVerb, { location: 'dist/docker.tar:latest' });
    expect(stored.digest).toBe(image.root.digest);
  });

  test.each(['./gone.tar', '/gone/x.tar'])(
    '%s is nothing where there is no such file',
    async (text) => {
      const error = await failureOf(given(await desk(), text));
      expect([error.code, error.message]).toEqual(['NOT_FOUND', `there is no file ${text}`]);
    },
  );
});
