import { formatReference, isHost, OciError, parseReference } from '@cluster-image/oci';
import { LineCounter } from 'yaml';
import { type Findings, type Found, merge, nothing, type Unresolved } from './discovery.ts';
import { boundedDocuments } from './documents.ts';
import { entryOf, followed, nodesOf, type YamlMap, type YamlNode } from './yaml-nodes.ts';

/** Sealer's name for a list of images with the credentials they need, which are nobody else's business. */
export const imageSections = 'imageListWithAuth.yaml';

/** How many words, signs and breaks a list may consist of. */
const partLimit = 500_000;

const form = 'not a list of sections with registry and images';

/**
 * Sealer's list of images in sections, each with a registry, for those of its images that name none,
 * and credentials, which are left alone.
 */
export function findInSections(text: string, file: string): Findings {
  const lines = new LineCounter();
  const found: Findings[] = [];
  let parts = partLimit;
  const unresolved = (text: string, reason: string, at: number): Findings => {
    const entry: Unresolved = { text, reason, origin: { file, line: lines.linePos(at).line } };
    return { ...nothing, unresolved: [entry] };
  };
  try {
    for (const document of boundedDocuments(text, lines, () => --parts)) {
      const [error] = document.errors;
      if (error) found.push(unresolved('', `not YAML: ${error.message}`, error.pos[0]));
      else found.push(inDocument(nodesOf(document)));
    }
  } catch (error) {
    if (!(error instanceof OciError)) throw error;
    found.push(unresolved('', error.message, 0));
  }
  return merge(found);

  function inDocument(contents: YamlNode | undefined): Findings {
    if (!contents) return nothing;
    if (contents.kind !== 'seq') return unresolved('', form, contents.at);
    return merge(
      contents.items.map((item) => {
        const section = followed(item);
        return section?.kind === 'map' ? inSection(section) : unresolved('', form, item.at);
      }),
    );
  }

  function inSection(section: YamlMap): Findings {
    const images = followed(entryOf(section, 'images')?.value);
    const registry = followed(entryOf(section, 'registry')?.value);
    const host = registry?.kind === 'scalar' ? registry.text : '';
    if (!images) return nothing;
    // What else it is may be a secret.
    if (host !== '' && !isHost(host)) return unresolved('', `${form}: one is no host`, section.at);
    if (images.kind !== 'seq') return unresolved('', form, images.at);
    return merge(images.items.map((item) => image(item, host)));
  }

  function image(item: YamlNode, host: string): Findings {
    const node = followed(item);
    if (node?.kind !== 'scalar') return unresolved('', form, item.at);
    try {
      const origin = { file, line: lines.linePos(item.at).line };
      const found: Found = { reference: referenceAt(host, node.text), origins: [origin] };
      return { ...nothing, images: [found] };
    } catch (error) {
      if (!(error instanceof OciError)) throw error;
      return unresolved(node.text, error.message, item.at);
    }
  }
}

/** An image that names no registry is in that of its section. */
function referenceAt(host: string, image: string): string {
  const [first = '', ...rest] = image.split('/');
  const hasHost = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost');
  return formatReference(parseReference(hasHost || host === '' ? image : `${host}/${image}`));
}
