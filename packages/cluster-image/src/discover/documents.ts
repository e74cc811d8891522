import { formatReference, OciError, parseReference } from '@cluster-image/oci';
import {
  type Alias,
  Composer,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  type Pair,
  Parser,
  Scalar,
  visit,
  type YAMLMap,
} from 'yaml';
import type { Findings, Found, Origin, Suspect, Unresolved } from './discovery.ts';
import { imageLike, isTemplate } from './image-text.ts';
import { hideTemplates } from './templates.ts';

/** How deep a file may be nested, and of how many words, signs and breaks it may consist. */
const depthLimit = 100;
const partLimit = 2_000_000;

export interface DocumentsOptions {
  /** The file has `{{ }}` in it that is rendered later, on the cluster. */
  readonly template?: boolean;
  /** Where a line of a document was seen; by default at that line of the file. */
  readonly origin?: (line: number, document: Document) => Origin;
}

/**
 * The images that YAML or JSON documents refer to: every mapping entry `image`, whose value is a
 * reference or a mapping with `repository` and `tag` as charts have it, and every image volume. Other
 * texts that look like images are suspects. Documents that cannot be read are unresolved; the others
 * still count.
 */
export function findInDocuments(
  text: string,
  file: string,
  options: DocumentsOptions = {},
): Findings {
  const images: Found[] = [];
  const suspects: Suspect[] = [];
  const unresolved: Unresolved[] = [];
  const unreadable = (reason: string, origin: Origin = { file }): void =>
    void unresolved.push({ text: '', reason, origin });
  const hidden = options.template ? hideTemplates(text) : undefined;
  const restore = hidden?.restore ?? ((part: string): string => part);
  let parts = partLimit;
  for (const part of splitDocuments(hidden?.text ?? text)) {
    if (!mayMention.test(part.text)) continue;
    const lines = new LineCounter();
    try {
      for (const document of parsed(part.text, lines, () => --parts)) {
        const originAt = (offset: number, further = 0): Origin => {
          const line = part.line + lines.linePos(offset).line - 1 + further;
          return options.origin?.(line, document) ?? { file, line };
        };
        const [error] = document.errors;
        if (error) unreadable(`not YAML: ${error.message}`, originAt(error.pos[0]));
        else read(document, originAt);
      }
    } catch (error) {
      if (!(error instanceof OciError)) throw error;
      unreadable(error.message, { file, line: part.line + lines.lineStarts.length - 1 });
      if (parts <= 0) break;
    }
  }
  return { images, suspects, unresolved };

  function read(document: Document, originAt: (offset: number, further?: number) => Origin): void {
    const follow = aliases(document);
    // What is reached by an alias is read once however often that occurs, so that aliases of
    // aliases do not multiply.
    const seen = new Set<unknown>();
    const written = (node: unknown): string => restore(sourceOf(follow(node)));
    walk(document.contents, []);

    function walk(node: unknown, path: readonly string[]): void {
      const target = follow(node);
      if (isAlias(node)) {
        if (!target) unreadable(`not YAML: no anchor ${node.source}`, originOf(node));
        if (seen.has(target)) return;
        seen.add(target);
      }
      if (isMap(target)) {
        const named = written(target.get('name', true));
        for (const item of target.items) walkPair(item, path, named);
      } else if (isSeq(target)) {
        for (const item of target.items) walk(item, path);
      } else if (isScalar(target)) {
        suspect(target, path);
      }
    }

    /** @param named what the mapping that the entry is in has as its `name` */
    function walkPair({ key, value }: Pair, path: readonly string[], named: string): void {
      const name = isScalar(key) ? String(key.value) : '';
      // A merge key adds the entries of another mapping to this one.
      if (name === '<<') {
        walk(value, path);
        return;
      }
      const target = follow(value);
      if (name === 'image' && isScalar(target)) {
        scalarImage(target, path);
        return;
      }
      const mapping = name === 'image' && isMap(target) ? target : undefined;
      const composed = mapping && compose(mapping, path);
      if (mapping && composed) image(mapping, composed.text, composed.isWhole, path);
      else walk(value, [...path, name === 'value' && named !== '' ? named : name]);
    }

    function scalarImage(node: Scalar, path: readonly string[]): void {
      const text = written(node).trim();
      if (text === '' && isContainer(path)) {
        suspects.push({ text, reason: 'a container without image', origins: [originOf(node)] });
      }
      if (text !== '' && typeof node.value !== 'boolean') image(node, text, true, path);
    }

    /** `{ registry, repository, tag, digest }`, as charts write images, and `{ reference }`, as volumes do. */
    function compose(
      map: YAMLMap,
      path: readonly string[],
    ): { text: string; isWhole: boolean } | undefined {
      const field = (name: string): string => written(entryOf(map, name, follow)).trim();
      const reference = field('reference');
      if (path.at(-1) === 'volumes' && reference !== '') return { text: reference, isWhole: true };
      const [registry, tag, digest] = [field('registry'), field('tag'), field('digest')];
      const isWhole = tag !== '' || digest !== '';
      const repository = field('repository') || (isWhole ? field('name') : '');
      if (repository === '') return undefined;
      const name = registry === '' ? repository : `${registry}/${repository}`;
      return { text: `${name}${tag && `:${tag}`}${digest && `@${digest}`}`, isWhole };
    }

    function image(node: Node, text: string, isWhole: boolean, path: readonly string[]): void {
      const origin = originOf(node);
      if (isTemplate(text)) {
        unresolved.push({ text, reason: 'a template that is not filled in', origin });
        return;
      }
      try {
        const reference = formatReference(parseReference(text));
        // A chart would fill in a tag of its own, and not latest.
        if (isWhole) images.push({ reference, origins: [origin] });
        else suspects.push({ text, reason: 'neither tag nor digest', origins: [origin] });
      } catch (error) {
        if (!(error instanceof OciError)) throw error;
        if (isContainer(path)) unresolved.push({ text, reason: error.message, origin });
        else suspects.push({ text, reason: 'not an image reference', origins: [origin] });
      }
    }

    function suspect(node: Scalar, path: readonly string[]): void {
      const key = path.at(-1) ?? '';
      const isProse = key === 'description' && path.includes('openAPIV3Schema');
      if (typeof node.value !== 'string' || isProse) return;
      // The lines of a literal text are lines of the file, the first below its indicator.
      const isLiteral = node.type === Scalar.BLOCK_LITERAL;
      for (const { text, reason, line } of imageLike(written(node), key)) {
        suspects.push({ text, reason, origins: [originOf(node, isLiteral ? line + 1 : 0)] });
      }
    }

    function originOf(node: Node, further = 0): Origin {
      return originAt(node.range?.[0] ?? 0, further);
    }
  }
}

/** Without any of these a document names no image, nor anything that looks like one. */
const mayMention = /image|\/[\w.-]*[:@]|\\[xuU]/i;

interface TextPart {
  readonly text: string;
  /** Where it begins, counted from 1. */
  readonly line: number;
}

/**
 * Cuts a text into its documents, so that what is wrong with one concerns no other. At the beginning
 * of a line `---` always begins a document; directives and comments before it are part of it.
 */
function* splitDocuments(text: string): Iterable<TextPart> {
  let start = 0;
  let line = 1;
  for (const { index } of text.matchAll(/^---(?=\s)/gm)) {
    const part = text.slice(start, index);
    if (/^(?:\s*(?:[#%].*)?\n)*$/.test(part)) continue;
    yield { text: part, line };
    line += part.split('\n').length - 1;
    start = index;
  }
  yield { text: text.slice(start), line };
}

/**
 * Reads YAML. Every part of a text costs the parser about the same, so that counting them bounds the
 * time; left alone it would also go as deep as the stack does.
 *
 * Throws INPUT_INVALID where a text goes too far.
 *
 * @param left counts a part, and tells how many may follow
 */
function* parsed(text: string, lines: LineCounter, left: () => number): Iterable<Document> {
  const parser = new Parser(lines.addNewLine);
  const composer = new Composer({ uniqueKeys: false, logLevel: 'silent' });
  lines.addNewLine(0);
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) yield* composer.next(token);
    // The document and the scalar at its end are on the stack as well.
    if (parser.stack.length > depthLimit + 2) {
      throw new OciError('INPUT_INVALID', `nested deeper than ${depthLimit}`);
    }
    if (left() < 0) throw new OciError('INPUT_INVALID', `over ${partLimit} words and signs`);
  }
  for (const token of parser.end()) yield* composer.next(token);
  yield* composer.end();
}

/**
 * Finds what an alias stands for: the last node before it that has its anchor. The library would
 * search the document anew for each of them.
 */
function aliases(document: Document): (node: unknown) => unknown {
  let known: ReadonlyMap<Alias, Node | undefined> | undefined;
  return (node) => {
    if (!isAlias(node)) return node;
    known ??= targetsOf(document);
    return known.get(node);
  };
}

function targetsOf(document: Document): ReadonlyMap<Alias, Node | undefined> {
  const anchored = new Map<string, Node>();
  const targets = new Map<Alias, Node | undefined>();
  visit(document, {
    Value(_, node) {
      if (node.anchor) anchored.set(node.anchor, node);
    },
    Alias(_, node) {
      targets.set(node, anchored.get(node.source));
    },
  });
  return targets;
}

/** An entry of a mapping, its own or that of one that is merged into it. */
function entryOf(map: YAMLMap, name: string, follow: (node: unknown) => unknown): unknown {
  const own = map.get(name, true);
  if (own !== undefined) return own;
  const merged = follow(map.get('<<', true));
  const sources = isSeq(merged) ? merged.items.map(follow) : [merged];
  return sources.map((source) => isMap(source) && source.get(name, true)).find(Boolean);
}

function isContainer(path: readonly string[]): boolean {
  return ['containers', 'initContainers', 'ephemeralContainers', 'volumes'].includes(
    path.at(-1) ?? '',
  );
}

/** A scalar as it is written: a tag like 1.10 is not a number. */
function sourceOf(node: unknown): string {
  if (!isScalar(node) || node.value === null) return '';
  return typeof node.value === 'string' ? node.value : (node.source ?? '');
}
