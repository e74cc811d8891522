import { LineCounter } from 'yaml';
import { boundedDocuments } from '../../src/discover/documents.ts';
import { nodesOf, type YamlNode } from '../../src/discover/yaml-nodes.ts';

/** What the library has to say of a text, in as many words as there are documents and errors. */
export function byLibrary(text: string): readonly unknown[] {
  const lines = new LineCounter();
  const documents = [...boundedDocuments(text, lines, () => 1)];
  const lineAt = (offset: number): number => lines.linePos(offset).line - 1;
  return documents.flatMap((document) => [
    ...document.errors.map(({ message }) => message),
    comparable(nodesOf(document), lineAt),
  ]);
}

/** Nodes at lines. A number is as good as a text, and nothing is nowhere. */
export function comparable(
  node: YamlNode | undefined,
  lineAt = (line: number): number => line,
): unknown {
  if (node?.kind === 'seq') return node.items.map((each) => comparable(each, lineAt));
  if (node?.kind === 'map') {
    return {
      ...node,
      at: lineAt(node.at),
      entries: node.entries.map(({ key, value }) => [key, comparable(value, lineAt)]),
    };
  }
  if (node?.kind !== 'scalar') return node;
  if (node.text === '' && node.type === 'other') return null;
  return { ...node, at: lineAt(node.at), type: node.type === 'other' ? 'text' : node.type };
}
