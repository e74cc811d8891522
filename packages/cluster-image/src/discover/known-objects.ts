import type { SearchRule } from './settings.ts';

/** Where well-known kinds of objects have images, and where what looks like one is none. */
export const knownObjects: readonly SearchRule[] = [
  // A policy names the images that it is about.
  { group: 'kyverno.io', path: 'spec.rules.validate', value: 'none' },
  { group: 'kyverno.io', path: 'spec.rules.verifyImages', value: 'none' },
  { path: '**.openAPIV3Schema.**.description', value: 'none' },
  { group: 'argoproj.io', key: 'image', value: 'image' },
  { group: 'argoproj.io', path: '**.helm.values', value: 'yaml' },
  { group: 'postgresql.cnpg.io', key: 'imageName', value: 'image' },
  {
    group: 'source.toolkit.fluxcd.io',
    kind: 'OCIRepository',
    path: 'spec',
    value: { repository: 'url', tag: 'ref.tag', digest: 'ref.digest' },
  },
  { group: 'tekton.dev', key: 'image', value: 'image' },
  // Lists of other tools. An ImagesLock has digests of platforms beside, none of which is what a tag means.
  { kind: 'ImagesLock', path: 'images.image', value: 'image' },
  { group: 'content.hauler.cattle.io', kind: 'Images', path: 'spec.images.name', value: 'image' },
  {
    group: 'content.hauler.cattle.io',
    kind: 'Charts',
    path: 'spec.charts.repoURL',
    value: 'elsewhere',
  },
  ...zarfPackage('ZarfPackageConfig'),
  ...zarfPackage('ZarfInitConfig'),
];

function zarfPackage(kind: string): readonly SearchRule[] {
  return [
    { kind, path: 'components.images', value: 'image' },
    { kind, path: 'components.charts.url', value: 'elsewhere' },
    { kind, path: 'components.manifests.files', value: 'elsewhere' },
    { kind, path: 'components.manifests.kustomizations', value: 'elsewhere' },
    { kind, path: 'components.import.url', value: 'elsewhere' },
    { kind, path: 'metadata', value: 'none' },
  ];
}
