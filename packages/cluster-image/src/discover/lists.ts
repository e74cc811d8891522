import { posix } from 'node:path';
import {
  formatReference,
  isDigest,
  isRepository,
  OciError,
  parseReference,
} from '@cluster-image/oci';
import type { Findings, Found, Unresolved } from './discovery.ts';

/** Lines of a list without its comments and empty lines, with their numbers. */
export function linesOf(text: string): readonly { readonly text: string; readonly line: number }[] {
  return text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .map((line, at) => ({ text: line.replace(/(^|\s)#.*$/, '').trim(), line: at + 1 }))
    .filter(({ text }) => text !== '')
    .map(({ text, line }) => ({ text: text.replace(/^(["'])(.*)\1$/, '$2'), line }));
}

/** A file of `images/shim/`, or sealer's `imageList`: a line is a reference, or `docker-daemon:` or `containers-storage:` and one. */
export function findInList(text: string, file: string): Findings {
  const images: Found[] = [];
  const unresolved: Unresolved[] = [];
  for (const { text: entry, line } of linesOf(text)) {
    const origin = { file, line };
    try {
      images.push({ ...listedImage(entry), origins: [origin] });
    } catch (error) {
      if (!(error instanceof OciError)) throw error;
      unresolved.push({ text: entry, reason: error.message, origin });
    }
  }
  return { images, suspects: [], unresolved };
}

/** A reference, or an image that a container engine of this machine keeps. */
function listedImage(entry: string): Pick<Found, 'reference' | 'archive'> {
  // What begins with a transport could as well be read as a name and a tag.
  const [, transport, rest = ''] =
    /^(docker-daemon|containers-storage|docker-archive|oci-archive|oci|dir):(?!\d+\/)(.*)$/.exec(
      entry,
    ) ?? [];
  if (transport === undefined) return { reference: formatReference(parseReference(entry)) };
  const refused = (why: string): OciError => new OciError('INPUT_INVALID', why);
  if (transport.endsWith('-archive')) throw refused('archives are listed in images/skopeo/tar.txt');
  if (transport === 'oci' || transport === 'dir') {
    throw refused(`images of ${transport}: are not packed; save them as archives`);
  }
  if (isDigest(rest)) throw refused('an image id says nothing of what the image is called');
  const reference = parseReference(rest);
  if (reference.digest)
    throw refused(`${transport}: is told the tag, for it has no registry's digest`);
  const name = formatReference(reference);
  return { reference: name, archive: `${transport}:${name}` };
}

/**
 * `images/skopeo/tar.txt`: a line is `<docker-archive|oci-archive>:<path>[:<name>]@<repository[:tag]>`,
 * the path relative to the list, the last name as it will be in the registry.
 */
export function findInArchiveList(text: string, file: string): Findings {
  const images: Found[] = [];
  const unresolved: Unresolved[] = [];
  for (const { text: entry, line } of linesOf(text)) {
    const origin = { file, line };
    const match = /^(docker-archive|oci-archive):([^@]+)@(.+)$/.exec(entry);
    if (!match) {
      const reason = 'not docker-archive:PATH@NAME or oci-archive:PATH@NAME';
      unresolved.push({ text: entry, reason, origin });
      continue;
    }
    const [, transport, archive = '', name = ''] = match;
    // Of several images in an archive one is named behind its path.
    const [, path = '', inside = ''] = /^([^:]*)(:.+)?$/.exec(archive) ?? [];
    const located = posix.join(posix.dirname(file), path);
    try {
      if (located.startsWith('../') || posix.isAbsolute(path)) {
        throw new OciError('INPUT_INVALID', 'the archive lies outside the context');
      }
      const reference = parseReference(name);
      const repository = name.replace(/:[^:/]*$/, '');
      if (!isRepository(repository)) {
        throw new OciError('INPUT_INVALID', `${name} is not REPOSITORY[:TAG], without a host`);
      }
      images.push({
        reference: formatReference(reference),
        archive: `${transport}:${located}${inside}`,
        ...(repository !== reference.repository && { repository }),
        origins: [origin],
      });
    } catch (error) {
      if (!(error instanceof OciError)) throw error;
      unresolved.push({ text: entry, reason: error.message, origin });
    }
  }
  return { images, suspects: [], unresolved };
}
