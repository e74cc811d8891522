import { directory } from '@cluster-image/storage';
import { describe, expect, test } from 'vitest';
import { discover } from '../../src/discover/discover.ts';
import type { Discovery } from '../../src/discover/discovery.ts';
import { formatImages, type ListFormat } from '../../src/discover/formats.ts';
import { contextDirectory } from '../context.ts';

async function find(files: Readonly<Record<string, string>>): Promise<Discovery> {
  return discover(directory(await contextDirectory(files)), {
    render: async () => '',
    kustomize: async () => ({ type: 'failed', reason: 'not expected' }),
  });
}

/** `reference file:line`, in order. */
async function images(files: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const { images, suspects, unresolved } = await find(files);
  expect([suspects, unresolved]).toEqual([[], []]);
  return images.flatMap(({ reference, origins }) =>
    origins.map(({ file, line }) => `${reference} ${file}:${line}`),
  );
}

const digest = `sha256:${'a'.repeat(64)}`;

const zarf = `kind: ZarfPackageConfig
metadata: {name: web, image: https://example.io/logo.png}
components:
  - name: web
    images:
      - nginx:1.27
      - ghcr.io/acme/web:1 # the web
  - name: more
    images: [ "ghcr.io/acme/more@${digest}" ]
`;

const hauler = `apiVersion: content.hauler.cattle.io/v1
kind: Files
metadata: {name: files}
spec:
  files:
    - path: https://example.io/a.sh
---
apiVersion: content.hauler.cattle.io/v1
kind: Images
metadata: {name: images}
spec:
  images:
    - name: nginx
    - name: ghcr.io/acme/web:1
      platform: linux/amd64
      key: keys/cosign.pub
`;

const lock = `apiVersion: v0
kind: ImagesLock
metadata:
  generatedBy: Distribution Tooling for Helm
chart: {name: web, version: 1.0.0}
images:
  - name: web
    image: ghcr.io/acme/web:1
    chart: web
    digests:
      - digest: ${digest}
        arch: linux/amd64
`;

describe('lists of other tools', () => {
  test('a zarf package has images in its components, and a picture that is none', async () => {
    expect(await images({ 'zarf.yaml': zarf })).toEqual([
      'docker.io/library/nginx:1.27 zarf.yaml:6',
      `ghcr.io/acme/more@${digest} zarf.yaml:9`,
      'ghcr.io/acme/web:1 zarf.yaml:7',
    ]);
  });

  test.each(['hauler-manifest.yaml', 'hauler.yml', 'images/any.yaml', 'images/shim/hauler'])(
    'a hauler manifest has images by name: %s',
    async (file) => {
      expect(await images({ [file]: hauler })).toEqual([
        `docker.io/library/nginx:latest ${file}:13`,
        `ghcr.io/acme/web:1 ${file}:14`,
      ]);
    },
  );

  test.each(['images/Images.lock', 'images/images.lock', 'images/shim/web.lock', 'images/a.yml'])(
    'an ImagesLock has tags, and digests of platforms that are not what a tag means: %s',
    async (file) => {
      expect(await images({ [file]: lock })).toEqual([`ghcr.io/acme/web:1 ${file}:8`]);
    },
  );

  test('may be JSON', async () => {
    const json = '{"kind": "ZarfPackageConfig", "components": [{"images": ["nginx:1"]}]}';
    expect(await images({ 'images/shim/a': json })).toEqual([
      'docker.io/library/nginx:1 images/shim/a:1',
    ]);
  });

  test('are looked for nowhere else', async () => {
    const files = { 'other/zarf.yaml': zarf, 'images/deep/a.yaml': hauler, 'images/a.txt': lock };
    expect(await images(files)).toEqual([]);
  });

  test('an image that is named kind is no document', async () => {
    expect(await images({ 'images/shim/a': 'kind:v1\nkindest/node:v1\n' })).toEqual([
      'docker.io/kindest/node:v1 images/shim/a:2',
      'docker.io/library/kind:v1 images/shim/a:1',
    ]);
  });

  test('a template of zarf is unresolved', async () => {
    const text =
      'kind: ZarfPackageConfig\ncomponents:\n  - images: ["a.io/b:###ZARF_PKG_TMPL_X###"]';
    expect((await find({ 'zarf.yaml': text })).unresolved).toEqual([
      {
        text: 'a.io/b:###ZARF_PKG_TMPL_X###',
        reason: 'a template that is not filled in',
        origin: { file: 'zarf.yaml', line: 3 },
      },
    ]);
  });

  test('what they fetch from elsewhere is suspected of having images', async () => {
    const { suspects } = await find({
      'zarf.yaml': `kind: ZarfPackageConfig
components:
  - name: a
    charts:
      - {name: web, url: oci://ghcr.io/acme/charts/web, version: 1.0.0}
      - {name: own, localPath: charts/own}
    manifests:
      - files: [manifests/a.yaml, "https://example.io/b.yaml"]
    import: {name: x, url: oci://ghcr.io/acme/packages/x:1}
`,
      'hauler.yaml': `apiVersion: content.hauler.cattle.io/v1
kind: Charts
spec:
  charts:
    - {name: rancher, repoURL: https://charts.example.io, version: 1.0.0}
    - {name: own.tgz, repoURL: charts}
`,
    });
    const reason = 'from elsewhere, and not searched for images';
    expect(suspects).toEqual([
      { text: 'https://charts.example.io', reason, origins: [{ file: 'hauler.yaml', line: 5 }] },
      { text: 'https://example.io/b.yaml', reason, origins: [{ file: 'zarf.yaml', line: 8 }] },
      { text: 'oci://ghcr.io/acme/charts/web', reason, origins: [{ file: 'zarf.yaml', line: 5 }] },
      {
        text: 'oci://ghcr.io/acme/packages/x:1',
        reason,
        origins: [{ file: 'zarf.yaml', line: 9 }],
      },
    ]);
  });

  test('images of archives that zarf unpacks are suspects, until they are listed as archives', async () => {
    const text =
      'kind: ZarfPackageConfig\ncomponents:\n  - imageTars: [{path: images/app.tar, images: ["acme/app:1"]}]\n';
    const found = await find({ 'zarf.yaml': text });
    expect(found.suspects.map(({ text }) => text)).toEqual(['docker.io/acme/app:1']);
    const listed = { 'images/skopeo/tar.txt': 'docker-archive:../app.tar@acme/app:1' };
    expect((await find({ 'zarf.yaml': text, ...listed })).suspects).toEqual([]);
  });

  test.each<ListFormat>(['list', 'zarf', 'hauler', 'images-lock'])(
    'what is written as %s is found again',
    async (format) => {
      const references = ['a.io/b:1', `a.io/c:1@${digest}`, 'docker.io/library/nginx:latest'];
      const written = formatImages(
        format,
        references.map((reference) => ({ reference, origins: [] })),
      );
      const found = await find({ 'images/shim/list': written });
      expect(found.images.map(({ reference }) => reference)).toEqual(references);
      expect([found.suspects, found.unresolved]).toEqual([[], []]);
    },
  );
});
