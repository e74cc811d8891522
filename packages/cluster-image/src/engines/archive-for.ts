import {
  type Content,
  type Context,
  formatReference,
  type Manifest,
  OciError,
  type Repository,
} from '@cluster-image/oci';
import { imageArchive } from '@cluster-image/storage';
import type { Target } from '../location.ts';
import { reporting } from '../progress.ts';
import type { EngineLocation } from './engines.ts';

/**
 * The archive of an image in the form that a container engine takes, with the name it is to have there.
 * Throws UNSUPPORTED for an index.
 */
export async function archiveFor(
  target: EngineLocation & Target,
  { registry, repository }: Repository,
  root: Manifest,
  context: Context,
): Promise<Content> {
  const name = formatReference(target.reference);
  if (root.kind === 'index') {
    throw new OciError('UNSUPPORTED', `${name} has several platforms, ${target.kind}: takes one`, {
      hint: 'Choose one with --platform.',
    });
  }
  const isDocker = target.kind === 'docker-daemon';
  // In an OCI layout podman looks for the whole name where others have the tag.
  const { tag = 'latest' } = target.reference;
  const called = { tag: isDocker ? tag : name, reference: name };
  const format = isDocker ? 'docker' : 'oci';
  return imageArchive(reporting(registry, context), repository, root, called, format);
}
