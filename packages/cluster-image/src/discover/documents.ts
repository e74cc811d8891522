import { formatReference, OciError, parseReference } from '@cluster-image/oci';
import { Composer, type Document, Lexer, LineCounter, Parser } from 'yaml';
import type { Findings, Found, Origin, Suspect, Unresolved } from './discovery.ts';
import { imageLike, isTemplate } from './image-text.ts';
import { plainNodes } from './plain-yaml.ts';
import { hideTemplates } from './templates.ts';
import {
  entryOf,
  nodesOf,
  type YamlEntry,
  type YamlMap,
  type YamlNode,
  type YamlScalar,
} from './yaml-nodes.ts';

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
    // An origin of its own needs the document as the library has it.
    const plain = options.origin ? undefined : plainNodes(part.text);
    if (plain) read(plain, (at, further) => ({ file, line: part.line + at + further }));
    else if (!readWhole(part)) break;
  }
  return { images, suspects, unresolved };

  /** Reads what may be any YAML; false where that was too much. */
  function readWhole(part: TextPart): boolean {
    const lines = new LineCounter();
    try {
      for (const document of parsed(part.text, lines, () => --parts)) {
        const originAt = (offset: number, further = 0): Origin => {
          const line = part.line + lines.linePos(offset).line - 1 + further;
          return options.origin?.(line, document) ?? { file, line };
        };
        const [error] = document.errors;
        if (error) unreadable(`not YAML: ${error.message}`, originAt(error.pos[0]));
        else read(nodesOf(document), originAt);
      }
    } catch (error) {
      if (!(error instanceof OciError)) throw error;
      unreadable(error.message, { file, line: part.line + lines.lineStarts.length - 1 });
      return parts > 0;
    }
    return true;
  }

  function read(
    contents: YamlNode | undefined,
    originAt: (at: number, further: number) => Origin,
  ): void {
    // What is reached by an alias is read once however often that occurs, so that aliases of
    // aliases do not multiply.
    const seen = new Set<YamlNode>();
    const written = (node: YamlNode | undefined): string => {
      const target = followed(node);
      return target?.kind === 'scalar' ? restore(target.text) : '';
    };
    walk(contents, []);

    function walk(node: YamlNode | undefined, path: readonly string[]): void {
      const target = followed(node);
      if (node?.kind === 'alias') {
        if (!target) {
          unreadable(`not YAML: no anchor ${node.name}`, originOf(node));
          return;
        }
        if (seen.has(target)) return;
        seen.add(target);
      }
      if (target?.kind === 'map') {
        const named = written(entryOf(target, 'name')?.value);
        for (const entry of target.entries) walkEntry(entry, path, named);
      } else if (target?.kind === 'seq') {
        for (const item of target.items) walk(item, path);
      } else if (target?.kind === 'scalar') {
        suspect(target, path);
      }
    }

    /** @param named what the mapping that the entry is in has as its `name` */
    function walkEntry({ key, value }: YamlEntry, path: readonly string[], named: string): void {
      // A merge key adds the entries of another mapping to this one.
      if (key === '<<') {
        walk(value, path);
        return;
      }
      const target = followed(value);
      if (key === 'image' && target?.kind === 'scalar') {
        scalarImage(target, path);
        return;
      }
      const mapping = key === 'image' && target?.kind === 'map' ? target : undefined;
      const composed = mapping && compose(mapping, path);
      if (mapping && composed) image(mapping, composed.text, composed.isWhole, path);
      else walk(value, [...path, key === 'value' && named !== '' ? named : key]);
    }

    function scalarImage(node: YamlScalar, path: readonly string[]): void {
      const text = restore(node.text).trim();
      if (text === '' && isContainer(path)) {
        suspects.push({ text, reason: 'a container without image', origins: [originOf(node)] });
      }
      if (text !== '' && node.type !== 'boolean') image(node, text, true, path);
    }

    /** `{ registry, repository, tag, digest }`, as charts write images, and `{ reference }`, as volumes do. */
    function compose(
      map: YamlMap,
      path: readonly string[],
    ): { text: string; isWhole: boolean } | undefined {
      const field = (name: string): string => written(fieldOf(map, name)).trim();
      const reference = field('reference');
      if (path.at(-1) === 'volumes' && reference !== '') return { text: reference, isWhole: true };
      const [registry, tag, digest] = [field('registry'), field('tag'), field('digest')];
      const isWhole = tag !== '' || digest !== '';
      const repository = field('repository') || (isWhole ? field('name') : '');
      if (repository === '') return undefined;
      const name = registry === '' ? repository : `${registry}/${repository}`;
      return { text: `${name}${tag && `:${tag}`}${digest && `@${digest}`}`, isWhole };
    }

    function image(node: YamlNode, text: string, isWhole: boolean, path: readonly string[]): void {
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

    function suspect(node: YamlScalar, path: readonly string[]): void {
      const key = path.at(-1) ?? '';
      const isProse = key === 'description' && path.includes('openAPIV3Schema');
      const isLiteral = node.type === 'literal';
      if ((node.type !== 'text' && !isLiteral) || isProse) return;
      for (const { text, reason, line } of imageLike(restore(node.text), key)) {
        // The lines of a literal text are lines of the file, the first below its indicator.
        suspects.push({ text, reason, origins: [originOf(node, isLiteral ? line + 1 : 0)] });
      }
    }

    function originOf({ at }: YamlNode, further = 0): Origin {
      return originAt(at, further);
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

/** What an alias stands for; any other node itself. */
function followed(node: YamlNode | undefined): YamlNode | undefined {
  return node?.kind === 'alias' ? node.target : node;
}

/** What is in an entry of a mapping, its own or that of one that is merged into it. */
function fieldOf(map: YamlMap, name: string): YamlNode | undefined {
  const own = entryOf(map, name);
  if (own) return own.value;
  const merged = followed(entryOf(map, '<<')?.value);
  const sources = merged?.kind === 'seq' ? merged.items.map(followed) : [merged];
  return sources
    .flatMap((source) => (source?.kind === 'map' ? [entryOf(source, name)?.value] : []))
    .find((value) => value !== undefined);
}

function isContainer(path: readonly string[]): boolean {
  return ['containers', 'initContainers', 'ephemeralContainers', 'volumes'].includes(
    path.at(-1) ?? '',
  );
}
