import { OciError } from '@cluster-image/oci';
import { Composer, type Document, Lexer, LineCounter, Parser } from 'yaml';
import { type Findings, nothing, type Origin, together } from './discovery.ts';
import { jsonNodes } from './plain-json.ts';
import { plainNodes } from './plain-yaml.ts';
import { type Reading, readImages } from './read-images.ts';
import { type SearchRules, searchRules } from './search-rules.ts';
import { hideTemplates } from './templates.ts';
import { withIndent } from './yaml-indent.ts';
import { nodesOf, type YamlNode } from './yaml-nodes.ts';

/** How deep a file may be nested, and of how many words, signs and breaks it may consist. */
const depthLimit = 100;
const partLimit = 2_000_000;

/** Up to what length, in characters, and how often a document is read once more with its texts indented. */
const indentedLimit = 200_000;
const indentedTimes = 20;

/** How often a text in a document may be a document itself. */
const embeddedLimit = 3;

export interface DocumentsOptions {
  /** The file has `{{ }}` in it that is rendered later, on the cluster. */
  readonly template?: boolean;
  /** Where images are in objects; by default what is known of objects. */
  readonly rules?: SearchRules;
  /**
   * Where a line of a document was seen; by default at that line of the file.
   *
   * @param head the lines above the contents of the document, such as the comment that helm puts there
   */
  readonly origin?: (line: number, head: string) => Origin;
}

/**
 * The images that YAML or JSON documents refer to, as far as `readImages` knows. Documents that cannot
 * be read are unresolved; the others still count.
 */
export function findInDocuments(
  text: string,
  file: string,
  options: DocumentsOptions = {},
): Findings {
  const { rules = searchRules(), template, origin } = options;
  let parts = partLimit;
  const hidden = template ? hideTemplates(text) : undefined;
  const restore = hidden?.restore ?? ((part: string): string => part);
  return search(hidden?.text ?? text, origin ?? ((line) => ({ file, line })), 0);

  function search(
    text: string,
    originOf: NonNullable<DocumentsOptions['origin']>,
    depth: number,
  ): Findings {
    const found: Findings[] = [];
    for (const part of splitDocuments(text)) {
      if (!rules.mayMention(part.text)) continue;
      const head = headOf(part.text);
      const plain = plainNodes(part.text) ?? jsonNodes(part.text);
      if (plain) {
        found.push(read(plain, (at, further) => originOf(part.line + at + further, head), depth));
      } else if (!readWhole(part, head, originOf, depth, found)) break;
    }
    return together(found);
  }

  /** Reads what may be any YAML; false where that was too much. */
  function readWhole(
    part: TextPart,
    head: string,
    originOf: NonNullable<DocumentsOptions['origin']>,
    depth: number,
    into: Findings[],
  ): boolean {
    const { lines, documents } = parsed(part.text, () => --parts);
    try {
      for (const document of documents) {
        const originAt = (offset: number, further = 0): Origin =>
          originOf(part.line + lines.linePos(offset).line - 1 + further, head);
        const [error] = document.errors;
        if (error) into.push(unreadable(`not YAML: ${error.message}`, originAt(error.pos[0])));
        else into.push(read(nodesOf(document), originAt, depth));
      }
    } catch (error) {
      if (!(error instanceof OciError)) throw error;
      const line = part.line + lines.lineStarts.length - 1;
      into.push(unreadable(error.message, originOf(line, head)));
      return parts > 0;
    }
    return true;
  }

  function read(
    contents: YamlNode | undefined,
    originAt: (at: number, further: number) => Origin,
    depth: number,
  ): Findings {
    if (depth > 0 && contents?.kind === 'scalar' && contents.text !== '') {
      return unreadable('neither a mapping nor a sequence', originAt(contents.at, 0));
    }
    const embedded: Reading['embedded'] = (text, lineAt) =>
      depth < embeddedLimit
        ? search(text, lineAt, depth + 1)
        : unreadable(`texts in texts, deeper than ${embeddedLimit}`, lineAt(0));
    return readImages(contents, { rules, originAt, restore, embedded });
  }
}

/** Documents as they are asked for, which throws where they go too far. */
function parsed(
  text: string,
  left: () => number,
): { readonly lines: LineCounter; readonly documents: Iterable<Document> } {
  const lines = new LineCounter();
  const documents = boundedDocuments(text, lines, left);
  return text.length > indentedLimit ? { lines, documents } : { lines, documents: indented() };

  function* indented(): Iterable<Document> {
    let current = text;
    for (let tries = 0; ; tries++) {
      // It gets no more than its own lines, as often as it is read.
      lines.lineStarts.length = 0;
      const all = [...boundedDocuments(current, lines, left)];
      const faults = all.flatMap(({ errors }) => errors);
      const better = tries < indentedTimes ? withIndent(current, faults) : undefined;
      if (better === undefined) {
        yield* all;
        return;
      }
      current = better;
    }
  }
}

/** The lines of a document that come before what is in it. */
function headOf(text: string): string {
  return /^(?:---(?:[ \t].*)?\n|[ \t]*\n|#.*\n)*/.exec(text)?.[0] ?? '';
}

function unreadable(reason: string, origin: Origin): Findings {
  return { ...nothing, unresolved: [{ text: '', reason, origin }] };
}

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
    if (/^(?:[ \t]*(?:[#%].*)?\r?\n)*$/.test(part)) continue;
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
export function* boundedDocuments(
  text: string,
  lines: LineCounter,
  left: () => number,
): Iterable<Document> {
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
