import { chartNames, compose, fieldOf, usualNames, withoutScheme } from './compose.ts';
import {
  type Findings,
  type Found,
  nothing,
  type Origin,
  type Suspect,
  type Unresolved,
} from './discovery.ts';
import { imageLike, isImageName, isTemplate, mayEmbed } from './image-text.ts';
import { type Certainty, judge } from './judge.ts';
import { containerLists, type Place, placeName, podLists } from './places.ts';
import type { SearchRules, Sought } from './search-rules.ts';
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
  /** What is in a text that is YAML or JSON itself, whose lines begin at an origin. */
  embedded(text: string, originAt: (line: number) => Origin): Findings;
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
  // What is reached by an alias is read once however often that occurs, so that aliases of aliases
  // do not multiply; once more where it is a part of a pod, or where a rule says what it is.
  const aliased = {
    ofPod: new Set<YamlNode>(),
    told: new Set<YamlNode>(),
    other: new Set<YamlNode>(),
  };
  // What an image is put together from is read as nothing else.
  const parts = new Set<YamlNode>();
  walk(contents, { path: [], soughtAt: rules.for(undefined, undefined) });
  return { images, suspects, unresolved };

  /** @param before the text before it in a sequence */
  function walk(node: YamlNode | undefined, place: Place, before = ''): void {
    if (!node || parts.has(node)) return;
    const target = followed(node);
    if (node.kind === 'alias') {
      if (!target) {
        const reason = `not YAML: no anchor ${node.name}`;
        unresolved.push({ text: '', reason, origin: originOf(node) });
      }
      const isOfPod = podLists.includes(place.path.at(-1) ?? '');
      if (!target || !isFirst(target, isOfPod ? 'ofPod' : 'other')) return;
    }
    if (target?.kind === 'map') {
      const within = objectAt(target, place) ?? containerAt(target, place);
      const named = written(entryOf(target, 'name')?.value);
      for (const entry of target.entries) walkEntry(entry, within, named);
    } else if (target?.kind === 'seq') {
      for (const [at, item] of target.items.entries()) {
        walk(item, place, written(target.items[at - 1]));
      }
    } else if (target?.kind === 'scalar') {
      suspect(target, place, before);
    }
  }

  function isFirst(node: YamlNode, as: keyof typeof aliased): boolean {
    const isNew = !aliased[as].has(node);
    aliased[as].add(node);
    return isNew;
  }

  /** An object, be it a document or in one, has places of its own. */
  function objectAt(map: YamlMap, { isDoubtful = false }: Place): Place | undefined {
    const kind = written(entryOf(map, 'kind')?.value);
    const version = written(entryOf(map, 'apiVersion')?.value);
    if (kind === '' || (version === '' && map !== contents)) return undefined;
    const [group = ''] = version.includes('/') ? version.split('/') : [];
    const name = written(fieldOf(map, ['metadata', 'name']));
    const object = name === '' ? kind : `${kind} ${name}`;
    return { path: [], soughtAt: rules.for(group, kind), object, isDoubtful };
  }

  function containerAt(map: YamlMap, place: Place): Place {
    const isOne = containerLists.includes(place.path.at(-1) ?? '');
    const container = isOne ? written(entryOf(map, 'name')?.value) : '';
    return container === '' ? place : { ...place, container };
  }

  /** @param named what the mapping that the entry is in has as its `name` */
  function walkEntry({ key, value }: YamlEntry, place: Place, named: string): void {
    // A merge key adds the entries of another mapping to this one.
    if (key === '<<') {
      walk(value, place);
      return;
    }
    const path = [...place.path, key];
    const sought = place.soughtAt(path);
    if (sought === 'none' || !value || parts.has(value)) return;
    const isVariable = (key === 'value' || key === 'default') && named !== '';
    const inner = { ...place, path: isVariable ? [...place.path, named] : path };
    const isOfPod = key === 'image' && podLists.includes(place.path.at(-1) ?? '');
    if (sought === 'suspect') generic(key, value, { ...inner, isDoubtful: true }, isOfPod);
    else if (sought === undefined || isOfPod) generic(key, value, inner, isOfPod);
    else take(value, sought, { ...inner, isDoubtful: false });
  }

  /** Takes what a rule says is there, and goes on with all else. */
  function take(node: YamlNode, sought: Sought, place: Place): void {
    const target = followed(node);
    if (target?.kind === 'seq') {
      for (const item of isFirst(target, 'told') ? target.items : []) take(item, sought, place);
    } else if (target?.kind === 'map' && sought !== 'yaml') {
      composed(target, typeof sought === 'object' ? sought : usualNames, place, 'told');
      walk(node, place);
    } else if (target?.kind === 'scalar' && sought === 'image') {
      // Argo CD and kustomize write `name=image`.
      const text = textOf(target).replace(/^[\w./*-]+=(?=.)/, '');
      if (text !== '') image(target, text, 'told', place);
    } else if (target?.kind === 'scalar' && sought === 'yaml') {
      const found = isFirst(target, 'told') ? embedded(target) : nothing;
      images.push(...found.images);
      suspects.push(...found.suspects);
      unresolved.push(...found.unresolved);
    } else {
      walk(node, place);
    }
  }

  /** Takes what its key alone says to be an image, and goes on with all else. */
  function generic(key: string, node: YamlNode, place: Place, isOfPod: boolean): void {
    const target = followed(node);
    if (target?.kind === 'scalar' && key === 'image') {
      word(target, place, isOfPod);
      return;
    }
    if (target?.kind === 'map') mapping(target, key, place, isOfPod);
    walk(node, place);
  }

  function word(node: YamlScalar, place: Place, isOfPod: boolean): void {
    const text = textOf(node);
    if (text === '' && isOfPod) {
      const reason = 'a container without image';
      suspects.push({ text, reason, origins: [originOf(node)] });
    }
    if (text === '' || node.type === 'boolean') return;
    const isVague = !/[:@]|^[^/]*\.[^/]*\//.test(text) && !isTemplate(text);
    image(node, text, isOfPod ? 'proven' : isVague ? 'vague' : 'likely', place);
  }

  function mapping(map: YamlMap, key: string, place: Place, isOfPod: boolean): void {
    const sure = isOfPod ? 'proven' : 'likely';
    const reference = key === 'image' ? fieldOf(map, ['reference']) : undefined;
    if (reference) {
      parts.add(reference);
      image(map, written(reference).trim(), sure, place);
    } else if (isImageName(key)) {
      composed(map, usualNames, place, sure);
    } else {
      composed(map, chartNames, place, 'unnamed');
    }
  }

  /** The image that the entries of a mapping make up, if they do. */
  function composed(
    map: YamlMap,
    names: Extract<Sought, object>,
    place: Place,
    certainty: Certainty,
  ): void {
    const found = compose(map, names, written);
    if (!found || (certainty === 'unnamed' && !found.isWhole)) return;
    for (const part of found.parts) parts.add(part);
    const isVague = certainty === 'likely' && !found.text.includes('/');
    const sure = isVague ? 'vague' : certainty;
    image(map, found.text, found.isWhole ? sure : 'no version', place);
  }

  function image(node: YamlNode, text: string, certainty: Certainty, place: Place): void {
    const origin = originOf(node);
    const judged = judge(text, certainty, placeName(place), place.isDoubtful);
    if (!judged) return;
    const { is, ...rest } = judged;
    if ('reference' in rest) images.push({ ...rest, origins: [origin] });
    else if (is === 'suspect') suspects.push({ ...rest, origins: [origin] });
    else unresolved.push({ ...rest, origin });
  }

  function suspect(node: YamlScalar, place: Place, before = ''): void {
    const isLiteral = node.type === 'literal';
    if (node.type !== 'text' && !isLiteral) return;
    const text = restore(node.text);
    if (mayEmbed(text) && suspectAll(node, place)) return;
    for (const { text: found, line } of imageLike(text, place.path, before)) {
      const origin = originOf(node, isLiteral ? line + 1 : 0);
      suspects.push({ text: found, reason: placeName(place), origins: [origin] });
    }
  }

  /**
   * What is in a document in a text is meant for somebody else, as far as anybody can tell; false where
   * the text is none.
   */
  function suspectAll(node: YamlScalar, place: Place): boolean {
    const found = embedded(node);
    if (found.unresolved.some(({ text }) => text === '')) return false;
    const reason = placeName(place);
    for (const { reference: text, origins } of found.images) {
      suspects.push({ text, reason, origins });
    }
    for (const one of found.suspects) {
      suspects.push({ ...one, reason: `${one.reason}, in ${reason}` });
    }
    for (const { text, origin } of found.unresolved) {
      suspects.push({ text, reason, origins: [origin] });
    }
    return true;
  }

  function embedded(node: YamlScalar): Findings {
    // The lines of a literal text are lines of the file, the first below its indicator.
    const isLiteral = node.type === 'literal';
    return reading.embedded(node.text, (line) => originOf(node, isLiteral ? line : 0));
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
