import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { buildVerb } from '../../src/verbs/build.ts';
import { indexVerb } from '../../src/verbs/image-index.ts';
import { inspectVerb } from '../../src/verbs/inspect.ts';
import { lockVerb } from '../../src/verbs/lock.ts';
import { pruneVerb } from '../../src/verbs/prune.ts';
import { copyVerb, saveVerb } from '../../src/verbs/transfer.ts';
import { clusterFiles } from '../cluster-files.ts';
import { putFiles } from '../context.ts';
import { type Desk, desk } from '../desk.ts';
import { failureOf } from '../failure.ts';
import { place } from '../place.ts';

const platforms = ['linux/amd64', 'linux/arm64'];

/** A desk with a context that has been built for each platform by itself, and how. */
async function builtApart(): Promise<
  Desk & { readonly options: object; readonly images: string[] }
> {
  const here = await desk();
  await putFiles(here.root, clusterFiles(here.host, ['acme/index:1']));
  const options = { context: 'cluster', plainHttp: [here.host] };
  await here.run(lockVerb, { ...options, platform: platforms });
  const images: string[] = [];
  for (const platform of platforms) {
    const slug = platform.replaceAll('/', '-');
    const thin = `apart/${slug}`;
    await here.run(buildVerb, { ...options, platform: [platform], tag: `cluster:${slug}`, thin });
    images.push(`oci:${thin}`);
  }
  return { ...here, options, images };
}

describe('index', () => {
  test('joins images that were built apart into what one build would have made', async () => {
    const { run, options, images, path } = await builtApart();
    const joined = await run(indexVerb, {
      images,
      tag: 'cluster:1',
      thin: 'joined',
      digestFile: 'digest',
    });
    const whole = await run(buildVerb, { ...options, platform: platforms, tag: 'cluster:2' });
    expect(joined).toEqual({
      name: 'docker.io/library/cluster:1',
      digest: whole.digest,
      size: whole.size,
      layers: whole.layers,
      platforms,
      locations: ['docker.io/library/cluster:1', 'oci:joined'],
    });
    expect(await readFile(path('digest'), 'utf8')).toBe(`${whole.digest}\n`);
    const saved = await run(saveVerb, { from: 'oci:joined', to: 'oci-archive:cluster.tar' });
    expect(saved.digest).toBe(whole.digest);
    expect(indexVerb.lines(joined)[0]).toBe('joined docker.io/library/cluster:1');
  });

  test('takes images from wherever they are, and keeps what it needs of them', async () => {
    const { run, images, host, path } = await builtApart();
    const [first = '', second = ''] = images;
    const away = `docker://${host}/acme/cluster:amd64`;
    const plainHttp = [host];
    await run(copyVerb, { from: first, to: away, plainHttp });
    await run(saveVerb, { from: second, to: 'oci-archive:second.tar' });
    const elsewhere = await place();
    const joined = await elsewhere.run(indexVerb, {
      images: [away, `oci-archive:${path('second.tar')}`],
      tag: 'cluster:1',
      plainHttp,
    });
    expect(joined.platforms).toEqual(platforms);
    await elsewhere.run(pruneVerb, { grace: '0' });
    const saved = await elsewhere.run(saveVerb, { from: 'cluster:1', to: 'oci-archive:all.tar' });
    expect(saved.digest).toBe(joined.digest);
  });

  test('takes what an index lists', async () => {
    const { run, images } = await builtApart();
    const [first = '', second = ''] = images;
    await run(indexVerb, { images: [first], tag: 'one:1' });
    const { digest } = await run(indexVerb, { images: ['one:1', second], tag: 'both:1' });
    expect((await run(indexVerb, { images, tag: 'same:1' })).digest).toBe(digest);
    const inspected = await run(inspectVerb, { location: 'both:1' });
    expect(inspected.platforms.map(({ platform }) => platform)).toEqual(platforms);
  });

  test('lets no image hide another for the same platform', async () => {
    const { run, images } = await builtApart();
    const [first = ''] = images;
    const failure = await failureOf(run(indexVerb, { images: [first, first], tag: 'a:1' }));
    expect([failure.code, failure.message]).toEqual([
      'CONFLICT',
      `${first} and ${first} are both for linux/amd64`,
    ]);
  });

  test('has to be given a name', async () => {
    const { run, images } = await builtApart();
    expect((await failureOf(run(indexVerb, { images }))).code).toBe('USAGE');
  });
});
