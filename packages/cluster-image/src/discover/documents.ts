import { formatReference, OciError, parseReference } from '@cluster-image/oci';
import {
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseAllDocuments,
  type Scalar,
  type YAMLMap,
} from 'yaml';
import type { Findings, Found, Origin, Suspect, Unresolved } from './discovery.ts';
import { imageLike, isTemplate } from './image-text.ts';
import { type HiddenTemplates, hideTemplates } from './templates.ts';

/** The most that one file may hold, in bytes, and how deep it may be nested. */
const sizeLimit = 16 * 1024 * 1024;
const depthLimit = 100;

export interface DocumentsOptions {
  /** The file has `{{ }}` in it that is rendered later, on the cluster. */
  readonly template?: boolean;
  /** Where a line of a document was seen; by default at that line of the file. */
  readonly origin?: (line: number, document: Document) => Origin;
}

/**
 * The images that YAML or JSON documents refer to: every mapping entry `image`, whose value is a
 * reference or a mapping with `repository` and `tag` as charts have it. Other texts that look like
 * images are suspects. Documents that cannot be read are unresolved; the others still count.
 */
export function findInDocuments(
  text: string,
  file: string,
  options: DocumentsOptions = {},
): Findings {
  const images: Found[] = [];
  const suspects: Suspect[] = [];
  const unresolved: Unresolved[] = [];
  const failed = (why: string, line?: number): Findings => {
    const origin = line === undefined ? { file } : { file, line };
    return { images: [], suspects: [], unresolved: [{ text: '', reason: why, origin }] };
  };
  if (Buffer.byteLength(text) > sizeLimit) return failed(`larger than ${sizeLimit} bytes`);
  const hidden = options.template ? hideTemplates(text) : undefined;
  const lines = new LineCounter();
  let isTooDeep = false;
  let documents: readonly Document[];
  try {
    documents = parseAllDocuments(hidden?.text ?? text, {
      lineCounter: lines,
      uniqueKeys: false,
      logLevel: 'silent',
    });
  } catch (error) {
    return failed(error instanceof RangeError ? 'nested too deep' : 'not YAML');
  }
  for (const document of documents) {
    const [error] = document.errors;
    if (error) {
      const line = error.linePos?.[0].line ?? 1;
      const origin = options.origin?.(line, document) ?? { file, line };
      unresolved.push({ text: '', reason: `not YAML: ${firstLine(error.message)}`, origin });
      continue;
    }
    walk(document, document.contents, [], 0, new Set());
  }
  return { images, suspects, unresolved };

  function originOf(document: Document, node: Node): Origin {
    const { line } = lines.linePos(node.range?.[0] ?? 0);
    return options.origin?.(line, document) ?? { file, line };
  }

  function walk(
    document: Document,
    node: unknown,
    path: readonly string[],
    depth: number,
    seen: Set<unknown>,
  ): void {
    if (depth > depthLimit) {
      if (!isTooDeep) unresolved.push({ text: '', reason: 'nested too deep', origin: { file } });
      isTooDeep = true;
      return;
    }
    // An alias is read once however often it occurs, so that aliases of aliases do not multiply.
    const target = isAlias(node) ? node.resolve(document) : node;
    if (!target || (isAlias(node) && seen.has(target))) return;
    if (isAlias(node)) seen.add(target);
    if (isMap(target)) {
      for (const item of target.items)
        if (isPair(item)) walkPair(document, item, path, depth, seen);
    } else if (isSeq(target)) {
      for (const item of target.items) walk(document, item, path, depth + 1, seen);
    } else if (isScalar(target)) {
      suspect(document, target, path);
    }
  }

  function walkPair(
    document: Document,
    { key, value }: Pair,
    path: readonly string[],
    depth: number,
    seen: Set<unknown>,
  ): void {
    const name = isScalar(key) ? String(key.value) : '';
    const target = isAlias(value) ? value.resolve(document) : value;
    if (name === 'image' && isScalar(target)) {
      image(document, target, visible(target, hidden), isPodSpec(path));
      return;
    }
    const composed = name === 'image' && isMap(target) ? compose(target, hidden) : undefined;
    if (composed !== undefined && isMap(target)) {
      image(document, target, composed, isPodSpec(path));
      return;
    }
    walk(document, value, [...path, name], depth + 1, seen);
  }

  function image(document: Document, node: Node, found: string, isCertain: boolean): void {
    const text = found.trim();
    if (text === '') return;
    const origin = originOf(document, node);
    if (isTemplate(text)) {
      unresolved.push({ text, reason: 'a template that is not filled in', origin });
      return;
    }
    try {
      const reference = formatReference(parseReference(text));
      images.push({ reference, origins: [origin] });
    } catch (error) {
      if (!(error instanceof OciError)) throw error;
      if (isCertain) unresolved.push({ text, reason: error.message, origin });
      else suspects.push({ text, reason: 'not an image reference', origins: [origin] });
    }
  }

  function suspect(document: Document, node: Scalar, path: readonly string[]): void {
    if (typeof node.value !== 'string') return;
    const text = visible(node, hidden);
    const key = path.at(-1) ?? '';
    for (const { reference, reason } of imageLike(text, key)) {
      suspects.push({ text: reference, reason, origins: [originOf(document, node)] });
    }
  }
}

function isPodSpec(path: readonly string[]): boolean {
  return ['containers', 'initContainers', 'ephemeralContainers'].includes(path.at(-1) ?? '');
}

/** A scalar as it is written: a tag like 1.10 is not a number. */
function visible(node: Scalar, hidden: HiddenTemplates | undefined): string {
  const text = typeof node.value === 'string' ? node.value : (node.source ?? '');
  return node.value === null ? '' : (hidden?.restore(text) ?? text);
}

/** `{ registry, repository, tag, digest }`, as charts write images; undefined for any other mapping. */
function compose(map: YAMLMap, hidden: HiddenTemplates | undefined): string | undefined {
  const field = (name: string): string => {
    const value = map.get(name, true);
    return isScalar(value) ? visible(value, hidden) : '';
  };
  const repository = field('repository') || field('name');
  const [registry, tag, digest] = [field('registry'), field('tag'), field('digest')];
  if (repository === '' || (field('repository') === '' && tag === '')) return undefined;
  const name = registry === '' ? repository : `${registry}/${repository}`;
  return `${name}${tag && `:${tag}`}${digest && `@${digest}`}`;
}

function firstLine(text: string): string {
  return text.split('\n')[0] ?? '';
}
