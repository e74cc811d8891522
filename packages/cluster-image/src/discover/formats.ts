import { parseReference } from '@cluster-image/oci';
import { stringify } from 'yaml';
import type { LockedImage } from '../lock/lockfile.ts';
import type { Found } from './discovery.ts';

/** The formats of other tools that the images of a context are written in. */
export const listFormats = ['list', 'images-lock', 'zarf', 'hauler'] as const;

export type ListFormat = (typeof listFormats)[number];

/**
 * The images of a context as another tool reads them; the same for the same images. One that comes out
 * of an archive has no registry that the other tool could ask, so that it is but a comment.
 *
 * - `list`: one reference a line, as `images/shim/` has it
 * - `images-lock`: https://github.com/vmware-labs/distribution-tooling-for-helm
 * - `zarf`: https://docs.zarf.dev/ref/create/
 * - `hauler`: https://docs.hauler.dev
 *
 * @param pins what `images-lock` has digests of; all images are in it
 */
export function formatImages(
  format: ListFormat,
  images: readonly Found[],
  pins: Readonly<Record<string, LockedImage>> = {},
): string {
  const references = images
    .filter(({ archive }) => archive === undefined)
    .map(({ reference }) => reference);
  const archived = images.flatMap(({ reference, archive }) =>
    archive === undefined ? [] : [`# ${reference} is in ${archive}\n`],
  );
  return `${archived.join('')}${written(format, references, pins)}`;
}

function written(
  format: ListFormat,
  references: readonly string[],
  pins: Readonly<Record<string, LockedImage>>,
): string {
  if (format === 'list') return references.map((reference) => `${reference}\n`).join('');
  const document =
    format === 'zarf'
      ? zarfPackage(references)
      : format === 'hauler'
        ? haulerImages(references)
        : imagesLock(references, pins);
  return stringify(document, { lineWidth: 0, aliasDuplicateObjects: false });
}

function zarfPackage(images: readonly string[]): object {
  return {
    apiVersion: 'zarf.dev/v1alpha1',
    kind: 'ZarfPackageConfig',
    metadata: { name: 'images' },
    components: [{ name: 'images', required: true, images }],
  };
}

function haulerImages(references: readonly string[]): object {
  return {
    apiVersion: 'content.hauler.cattle.io/v1',
    kind: 'Images',
    metadata: { name: 'images' },
    spec: { images: references.map((name) => ({ name })) },
  };
}

/** It knows architectures without their variants, and no index. */
function imagesLock(
  references: readonly string[],
  pins: Readonly<Record<string, LockedImage>>,
): object {
  return {
    apiVersion: 'v0',
    kind: 'ImagesLock',
    metadata: { generatedBy: 'cluster-image' },
    chart: { name: '', version: '', appVersion: '' },
    images: references.map((reference) => ({
      name: parseReference(reference).repository.split('/').at(-1),
      image: reference,
      chart: '',
      digests: Object.entries(pins[reference]?.manifests ?? {}).map(([platform, { digest }]) => ({
        digest,
        arch: platform.split('/').slice(0, 2).join('/'),
      })),
    })),
  };
}
