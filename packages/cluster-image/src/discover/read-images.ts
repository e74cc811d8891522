import { formatReference, OciError, parseReference } from '@cluster-image/oci';
import type { Findings, Found, Origin, Suspect, Unresolved } from './discovery.ts';
import { imageLike, isTemplate } from './image-text.ts';
import type { SearchRules, Sought, SoughtAt } from './search-rules.ts';
import {
  entryOf,
  followed,
  type YamlEntry,
  type YamlMap,
  type YamlNode,
  type YamlScalar,
} from './yaml-nodes.ts';

export interface Reading {
  readonly rules: SearchRules;
  /** Where a node is; what is `further` lines below it, for texts of several lines. */
  originAt(at: number, further: number): Origin;
  /** The text that stood in the file where the node has another. */
  restore(text: string): string;
  /** What is in a text that is YAML itself, whose lines begin at an origin. */
  embedded(text: string, originAt: (line: number) => Origin): Findings;
}

/** A place in an object. */
interface Place {
  /** Keys from the top of the object; sequences add none, and the value of a variable goes by its name. */
  readonly path: readonly string[];
  readonly soughtAt: SoughtAt;
}

/**
 * The images in a document: wherever a rule says so, and every entry `image` that holds a reference, or
 * a mapping with `repository` and `tag` as charts have it. Other texts that look like images are
 * suspects.
 */
export function readImages(contents: YamlNode | undefined, reading: Reading): Findings {
  const { rules, originAt, restore } = reading;
  const images: Found[] = [];
  const suspects: Suspect[] = [];
  const unresolved: Unresolved[] = [];
  // What is reached by an alias is read once however often that occurs, so that aliases of
  // aliases do not multiply.
  const seen = new Set<YamlNode>();
  walk(contents, { path: [], soughtAt: rules.for(undefined, undefined) });
  return { images, suspects, unresolved };

  function walk(node: YamlNode | undefined, place: Place): void {
    const target = followed(node);
    if (node?.kind === 'alias') {
      if (!target) {
        const reason = `not YAML: no anchor ${node.name}`;
        unresolved.push({ text: '', reason, origin: originOf(node) });
        return;
      }
      if (seen.has(target)) return;
      seen.add(target);
    }
    if (target?.kind === 'map') {
      const within = objectAt(target) ?? place;
      const named = written(entryOf(target, 'name')?.value);
      for (const entry of target.entries) walkEntry(entry, within, named);
    } else if (target?.kind === 'seq') {
      for (const item of target.items) walk(item, place);
    } else if (target?.kind === 'scalar') {
      suspect(target, place.path);
    }
  }

  /** An object, be it a document or in one, has places of its own. */
  function objectAt(map: YamlMap): Place | undefined {
    const kind = written(entryOf(map, 'kind')?.value);
    const version = written(entryOf(map, 'apiVersion')?.value);
    if (kind === '' || (version === '' && map !== contents)) return undefined;
    const [group = ''] = version.includes('/') ? version.split('/') : [];
    return { path: [], soughtAt: rules.for(group, kind) };
  }

  /** @param named what the mapping that the entry is in has as its `name` */
  function walkEntry({ key, value }: YamlEntry, { path, soughtAt }: Place, named: string): void {
    // A merge key adds the entries of another mapping to this one.
    if (key === '<<') {
      walk(value, { path, soughtAt });
      return;
    }
    const inner = { path: [...path, key === 'value' && named !== '' ? named : key], soughtAt };
    const sought = soughtAt([...path, key]);
    if (sought === 'none') return;
    const isOfPod = key === 'image' && podLists.includes(path.at(-1) ?? '');
    const isTaken =
      sought !== undefined && !isOfPod
        ? take(value, sought)
        : key === 'image' && generic(value, isOfPod);
    if (!isTaken) walk(value, inner);
  }

  /** Takes what a rule says is there; false where there is something else, or more. */
  function take(node: YamlNode | undefined, sought: Sought): boolean {
    const target = followed(node);
    if (target?.kind === 'seq') {
      return target.items.map((item) => take(item, sought)).every(Boolean);
    }
    if (sought === 'elsewhere') return target?.kind === 'scalar' && fetched(target);
    if (sought === 'yaml') return target?.kind === 'scalar' && embed(target);
    if (target?.kind === 'scalar') {
      if (sought !== 'image') return false;
      const text = textOf(target);
      if (text !== '') image(target, text, 'proven');
      return true;
    }
    if (target?.kind !== 'map') return false;
    const names = typeof sought === 'object' ? sought : undefined;
    const composed = compose(target, names);
    if (composed) image(target, composed.text, composed.isWhole ? 'proven' : 'no version');
    // There may be more beside an image that was put together from entries of any name.
    return composed !== undefined && !names;
  }

  /** An entry `image` of a pod, or of an object that no rule knows; false where it is none. */
  function generic(node: YamlNode | undefined, isOfPod: boolean): boolean {
    const target = followed(node);
    if (target?.kind === 'map') {
      const reference = isOfPod ? written(fieldOf(target, ['reference'])) : '';
      const composed = reference === '' ? compose(target) : { text: reference, isWhole: true };
      if (!composed) return false;
      const certainty = !composed.isWhole ? 'no version' : isOfPod ? 'proven' : 'likely';
      image(target, composed.text, certainty);
      return true;
    }
    if (target?.kind !== 'scalar') return false;
    const text = textOf(target);
    if (text === '' && isOfPod) {
      const origins = [originOf(target)];
      suspects.push({ text, reason: 'a container without image', origins });
    }
    if (text === '' || target.type === 'boolean') return true;
    const isWord = !/[/:@]/.test(text) && !isTemplate(text);
    image(target, text, isOfPod ? 'proven' : isWord ? 'a word' : 'likely');
    return true;
  }

  function image(node: YamlNode, text: string, certainty: Certainty): void {
    const origin = originOf(node);
    if (isTemplate(text)) {
      unresolved.push({ text, reason: 'a template that is not filled in', origin });
      return;
    }
    try {
      const reference = formatReference(parseReference(text));
      const doubt = doubts[certainty];
      if (doubt === undefined) images.push({ reference, origins: [origin] });
      else suspects.push({ text, reason: doubt, origins: [origin] });
    } catch (error) {
      if (!(error instanceof OciError)) throw error;
      if (certainty === 'proven') unresolved.push({ text, reason: error.message, origin });
      else suspects.push({ text, reason: 'not an image reference', origins: [origin] });
    }
  }

  /** What is named by a path is in the context, and searched where it is. */
  function fetched(node: YamlScalar): boolean {
    const text = restore(node.text);
    if (!text.includes('://')) return false;
    const reason = 'from elsewhere, and not searched for images';
    suspects.push({ text, reason, origins: [originOf(node)] });
    return true;
  }

  function embed(node: YamlScalar): boolean {
    const isLiteral = node.type === 'literal';
    // The lines of a literal text are lines of the file, the first below its indicator.
    const found = reading.embedded(restore(node.text), (line) =>
      originOf(node, isLiteral ? line : 0),
    );
    images.push(...found.images);
    suspects.push(...found.suspects);
    unresolved.push(...found.unresolved);
    return true;
  }

  function suspect(node: YamlScalar, path: readonly string[]): void {
    const isLiteral = node.type === 'literal';
    if (node.type !== 'text' && !isLiteral) return;
    for (const { text, reason, line } of imageLike(restore(node.text), path.at(-1) ?? '')) {
      suspects.push({ text, reason, origins: [originOf(node, isLiteral ? line + 1 : 0)] });
    }
  }

  /**
   * `{ registry, repository, tag, digest }`, as charts write images, or under the names that a rule has
   * for them.
   */
  function compose(
    map: YamlMap,
    names?: Extract<Sought, object>,
  ): { readonly text: string; readonly isWhole: boolean } | undefined {
    const field = (name: string | undefined): string =>
      name === undefined ? '' : written(fieldOf(map, name.split('.'))).trim();
    const of = names ?? {
      registry: 'registry',
      repository: 'repository',
      tag: 'tag',
      digest: 'digest',
    };
    const [registry, tag] = [field(of.registry), field(of.tag)];
    const digest = field(of.digest).replace(/^[0-9a-f]{64}$/, 'sha256:$&');
    const isWhole = tag !== '' || digest !== '';
    const repository = field(of.repository) || (isWhole && !names ? field('name') : '');
    if (repository === '') return undefined;
    const name = withoutScheme(registry === '' ? repository : `${registry}/${repository}`);
    return { text: `${name}${tag && `:${tag}`}${digest && `@${digest}`}`, isWhole };
  }

  function textOf(node: YamlScalar): string {
    return withoutScheme(restore(node.text).trim());
  }

  function written(node: YamlNode | undefined): string {
    const target = followed(node);
    return target?.kind === 'scalar' ? restore(target.text) : '';
  }

  function originOf({ at }: YamlNode, further = 0): Origin {
    return originAt(at, further);
  }
}

/** How much speaks for an image being meant. */
type Certainty = 'proven' | 'likely' | 'a word' | 'no version';

/** Why what reads as a reference is yet no image for sure. */
const doubts: Readonly<Record<Certainty, string | undefined>> = {
  proven: undefined,
  likely: undefined,
  'a word': 'a single word in an object that is not known',
  // A chart would fill in a tag of its own, and not latest.
  'no version': 'neither tag nor digest',
};

/** The lists of a pod whose items have images. */
const podLists: readonly string[] = [
  'containers',
  'initContainers',
  'ephemeralContainers',
  'volumes',
];

/** `oci://` and `docker://` say how an image is fetched, not which. */
function withoutScheme(text: string): string {
  return text.replace(/^(?:oci|docker):\/\//, '');
}

/** What is in an entry of a mapping, its own or that of one that is merged into it. */
function fieldOf(map: YamlMap, [name = '', ...rest]: readonly string[]): YamlNode | undefined {
  const own = entryOf(map, name);
  if (own) {
    const target = followed(own.value);
    if (rest.length === 0) return own.value;
    return target?.kind === 'map' ? fieldOf(target, rest) : undefined;
  }
  const merged = followed(entryOf(map, '<<')?.value);
  const sources = merged?.kind === 'seq' ? merged.items.map(followed) : [merged];
  return sources
    .flatMap((source) => (source?.kind === 'map' ? [fieldOf(source, [name, ...rest])] : []))
    .find((value) => value !== undefined);
}
