import { imageFixture } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { inspectVerb } from '../../src/verbs/inspect.ts';
import { pullVerb } from '../../src/verbs/transfer.ts';
import { putImages } from '../cluster-files.ts';
import { desk, image, index } from '../desk.ts';
import { failureOf } from '../failure.ts';

describe('inspect', () => {
  test('shows what an image is made of, reading its manifest and config only', async () => {
    const here = await desk();
    const config = {
      config: {
        Labels: { team: 'a\u001b[2J' },
        Env: ['A=1'],
        Entrypoint: ['/bin/sh', '-c'],
        Cmd: ['run me'],
      },
    };
    const rich = imageFixture({ seed: 'rich', platform: 'linux/arm/v7', config });
    await putImages(here.upstream, { 'acme/rich:1': rich });
    const location = `docker://${here.host}/acme/rich:1`;
    const inspected = await here.run(inspectVerb, { location, plainHttp: [here.host] });
    const { digest, mediaType, layers, config: descriptor } = rich.root;
    expect(inspected).toEqual({
      location,
      digest,
      mediaType,
      platforms: [
        {
          platform: 'linux/arm',
          digest,
          size: descriptor.size + 1000 + 3000,
          layers,
          labels: { team: 'a\u001b[2J' },
          environment: ['A=1'],
          entrypoint: ['/bin/sh', '-c'],
          command: ['run me'],
        },
      ],
    });
    expect(inspectVerb.lines(inspected)).toEqual([
      location,
      `  digest  ${digest}`,
      expect.stringMatching(/^ {2}linux\/arm {2}4\.\d+ kB in 2 layers$/),
      '    label team=a\u001b[2J',
      '    env A=1',
      '    entrypoint ["/bin/sh","-c"]',
      '    cmd ["run me"]',
    ]);
    const blobs = here.upstream.requests('blob', 'GET').map(({ reference }) => reference);
    expect(blobs).toEqual([descriptor.digest]);
  });

  test('shows each platform of an index that is there', async () => {
    const here = await desk();
    const location = `docker://${here.host}/acme/index:1`;
    const { digest, platforms } = await here.run(inspectVerb, { location, plainHttp: [here.host] });
    const [amd64, arm64] = index.manifests;
    expect(digest).toBe(index.root.digest);
    expect(platforms.map((one) => [one.platform, one.digest])).toEqual([
      ['linux/amd64', amd64?.digest],
      ['linux/arm64', arm64?.digest],
    ]);
  });

  test.each([
    ['docker://HOST/acme/gone:1', 'NOT_FOUND'],
    ['gone:1', 'NOT_FOUND'],
    ['registry:x', 'USAGE'],
    ['A B', 'USAGE'],
  ])('%s fails', async (location, code) => {
    const here = await desk();
    const named = location.replace('HOST', here.host);
    const work = here.run(inspectVerb, { location: named, plainHttp: [here.host] });
    expect((await failureOf(work)).code).toBe(code);
  });

  test('--images of what is no cluster image fails', async () => {
    const here = await desk();
    await putImages(here.upstream, { 'acme/empty:1': imageFixture({ layers: [] }) });
    const location = `${here.host}/acme/empty:1`;
    await here.run(pullVerb, { from: location, plainHttp: [here.host] });
    const error = await failureOf(here.run(inspectVerb, { location, images: true }));
    expect([error.code, error.message]).toEqual([
      'INPUT_INVALID',
      `${location} is no cluster image: it has no registry/`,
    ]);
    expect((await here.run(inspectVerb, { location })).images).toBeUndefined();
    expect(image.root.layers).toHaveLength(2);
  });
});
