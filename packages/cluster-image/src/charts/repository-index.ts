import { OciError } from '@cluster-image/oci';
import { LineCounter } from 'yaml';
import { boundedDocuments } from '../discover/documents.ts';
import { plainNodes } from '../discover/plain-yaml.ts';
import { entryOf, followed, nodesOf, type YamlNode } from '../discover/yaml-nodes.ts';

/** What an index says of one version of a chart. */
export interface IndexedChart {
  readonly version: string;
  /** Where its archive is, relative to the index; the first URL that is named. */
  readonly url: string;
  /** SHA-256 of the archive in hexadecimal digits, as it is written; undefined where it is not. */
  readonly digest: string | undefined;
}

/** Of how many words, signs and breaks what is read of an index may consist. */
const partLimit = 500_000;

/**
 * The versions of one chart that the `index.yaml` of a chart repository lists; none of a chart that it
 * does not have. Entries that lack a version or a URL are passed over. Throws UPSTREAM for what is no
 * index. https://helm.sh/docs/topics/chart_repository/#the-index-file
 *
 * @param what how errors name the index
 */
export function chartsInIndex(text: string, name: string, what: string): readonly IndexedChart[] {
  const part = linesOf(text, name);
  const entries = valueAt(nodesIn(part ?? text, what), 'entries');
  if (entries?.kind !== 'map') {
    throw new OciError('UPSTREAM', `${what} is not the index of a chart repository`);
  }
  const charts = valueAt(entries, name);
  if (charts?.kind !== 'seq') return [];
  return charts.items.flatMap((chart) => {
    const version = textOf(valueAt(chart, 'version'));
    const urls = valueAt(chart, 'urls');
    const url = urls?.kind === 'seq' ? textOf(urls.items[0]) : undefined;
    const digest = textOf(valueAt(chart, 'digest'));
    return version && url ? [{ version, url, digest: digest || undefined }] : [];
  });
}

function nodesIn(text: string, what: string): YamlNode | undefined {
  const plain = plainNodes(text);
  if (plain) return plain;
  const refused = (why: string, cause: unknown): OciError =>
    new OciError('UPSTREAM', `${what}: ${why}`, { cause });
  let parts = partLimit;
  try {
    for (const document of boundedDocuments(text, new LineCounter(), () => --parts)) {
      const [error] = document.errors;
      if (error) throw refused(`not YAML: ${error.message}`, error);
      return nodesOf(document);
    }
  } catch (error) {
    if (error instanceof OciError && error.code === 'INPUT_INVALID') {
      throw refused(parts < 0 ? `over ${partLimit} words and signs` : error.message, error);
    }
    throw error;
  }
  return undefined;
}

/**
 * The lines of an index that are about one chart, as a small index; undefined where it is not written
 * as helm writes it. Indexes have megabytes, of which one chart is a small part.
 */
function linesOf(text: string, name: string): string | undefined {
  // A chart that is no key of anything is not in it.
  const key = new RegExp(`(?<![\\w.-])${name.replaceAll('.', '\\.')}["']? *:`);
  if (!key.test(text)) return /^entries:/m.test(text) ? 'entries: {}' : undefined;
  const lines = text.split('\n');
  const top = lines.findIndex((line) => line.trimEnd() === 'entries:');
  const depth = depthOf(lines[top + 1] ?? '');
  if (top < 0 || depth === 0) return undefined;
  const end = endOf(lines, top + 1, 0);
  const start = lines.indexOf(`${' '.repeat(depth)}${name}:`, top);
  if (start < 0 || start > end) return undefined;
  return ['entries:', ...lines.slice(start, endOf(lines, start + 1, depth))].join('\n');
}

/** The first line from one on that is no deeper and no item of a sequence. */
function endOf(lines: readonly string[], from: number, depth: number): number {
  for (let at = from; at < lines.length; at++) {
    const line = lines[at] ?? '';
    const own = depthOf(line);
    if (own <= depth && own < line.trimEnd().length && !/^ *(?:#|- |-$)/.test(line)) return at;
  }
  return lines.length;
}

function depthOf(line: string): number {
  return line.length - line.trimStart().length;
}

function valueAt(node: YamlNode | undefined, key: string): YamlNode | undefined {
  const map = followed(node);
  return map?.kind === 'map' ? followed(entryOf(map, key)?.value) : undefined;
}

function textOf(node: YamlNode | undefined): string | undefined {
  const scalar = followed(node);
  return scalar?.kind === 'scalar' ? scalar.text : undefined;
}
