import { type Digest, parseDigest } from '@cluster-image/oci';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { formatImages, type ListFormat } from '../../src/discover/formats.ts';
import { findInList } from '../../src/discover/lists.ts';

const digest = (digit: string): Digest => parseDigest(`sha256:${digit.repeat(64)}`);
const nginx = 'docker.io/library/nginx:1.27';
const pinned = `a.io/team/app:1@${digest('a')}`;
const images = [
  { reference: pinned, origins: [] },
  {
    reference: 'docker.io/acme/app:1',
    archive: 'docker-archive:images/skopeo/app.tar',
    origins: [],
  },
  { reference: nginx, origins: [] },
];
const comment = '# docker.io/acme/app:1 is in docker-archive:images/skopeo/app.tar\n';

const pin = (manifests: Readonly<Record<string, Digest>>) => ({
  digest: digest('f'),
  mediaType: 'application/vnd.oci.image.index.v1+json',
  size: 1,
  manifests: Object.fromEntries(
    Object.entries(manifests).map(([platform, digest]) => [platform, { digest, size: 1 }]),
  ),
});

describe('images are written as other tools read them', () => {
  test('a list has one reference a line, and can be read as one of ours', () => {
    const text = formatImages('list', images);
    expect(text).toBe(`${comment}${pinned}\n${nginx}\n`);
    expect(findInList(text, 'list').images.map(({ reference }) => reference)).toEqual([
      pinned,
      nginx,
    ]);
  });

  test('a zarf package has them in a component that is required', () => {
    const text = formatImages('zarf', images);
    expect(text.startsWith(comment)).toBe(true);
    expect(parse(text)).toEqual({
      apiVersion: 'zarf.dev/v1alpha1',
      kind: 'ZarfPackageConfig',
      metadata: { name: 'images' },
      components: [{ name: 'images', required: true, images: [pinned, nginx] }],
    });
  });

  test('a hauler manifest has them by name', () => {
    const text = formatImages('hauler', images);
    expect(text.startsWith(comment)).toBe(true);
    expect(parse(text)).toEqual({
      apiVersion: 'content.hauler.cattle.io/v1',
      kind: 'Images',
      metadata: { name: 'images' },
      spec: { images: [{ name: pinned }, { name: nginx }] },
    });
  });

  test('an ImagesLock has the digest of each platform, without variants', () => {
    const pins = {
      [pinned]: pin({ 'linux/amd64': digest('a') }),
      [nginx]: pin({ 'linux/amd64': digest('b'), 'linux/arm64/v8': digest('c') }),
    };
    expect(parse(formatImages('images-lock', images, pins))).toEqual({
      apiVersion: 'v0',
      kind: 'ImagesLock',
      metadata: { generatedBy: 'cluster-image' },
      chart: { name: '', version: '', appVersion: '' },
      images: [
        {
          name: 'app',
          image: pinned,
          chart: '',
          digests: [{ digest: digest('a'), arch: 'linux/amd64' }],
        },
        {
          name: 'nginx',
          image: nginx,
          chart: '',
          digests: [
            { digest: digest('b'), arch: 'linux/amd64' },
            { digest: digest('c'), arch: 'linux/arm64' },
          ],
        },
      ],
    });
  });

  test.each<ListFormat>(['zarf', 'hauler', 'images-lock'])(
    '%s leaves long names on one line',
    (format) => {
      const reference = `a.io/${'long/'.repeat(40)}name:1`;
      expect(formatImages(format, [{ reference, origins: [] }])).toContain(` ${reference}\n`);
    },
  );
});
