import { nameOf, OciError } from '@cluster-image/oci';
import { directory } from '@cluster-image/storage';
import { type Location, parseLocation, referenceIn } from './location.ts';
import type { Workspace } from './workspace.ts';

/**
 * Where something is that a user named, who may have named an archive by its path alone. Whatever can
 * be a name in the store and ends in `.tar` is the file of that path where there is one. Throws USAGE
 * where there are both, and for what is no location; NOT_FOUND for what can only be a file.
 */
export async function givenLocation(text: string, workspace: Workspace): Promise<Location> {
  if (!/^[^:]+\.tar$/.test(text)) return parseLocation(text);
  const entry = await directory(workspace.path(text)).entry('');
  if (!entry && /^\.{0,2}\//.test(text)) {
    throw new OciError('NOT_FOUND', `there is no file ${text}`);
  }
  if (entry?.type !== 'file') return parseLocation(text);
  if (await isInStore(text, workspace)) {
    throw new OciError('USAGE', `${text} is a file, and an image in the store`, {
      hint: `Write docker-archive:${text} for the file, or ${text}:latest for the image.`,
    });
  }
  return { kind: 'docker-archive', path: text };
}

async function isInStore(text: string, { store }: Workspace): Promise<boolean> {
  // With a tag, for a word by itself is no reference but a tag.
  const reference = referenceIn(`${text}:latest`);
  if (!reference) return false;
  const found = await store.registry.resolve(nameOf(reference), 'latest');
  return found !== undefined || (await store.image(reference)) !== undefined;
}
