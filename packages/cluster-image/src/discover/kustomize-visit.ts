import { posix } from 'node:path';
import type { Tree } from '@cluster-image/oci';
import { type FileEntry, reached } from '../follow.ts';
import type { Unresolved } from './discovery.ts';
import { textOf } from './find-files.ts';
import {
  type Kustomization,
  kustomizationNames,
  type Reference,
  readKustomization,
  readPlugin,
} from './kustomization.ts';

/** A directory with a kustomization. */
export interface VisitedDirectory {
  /** Relative to the context; empty for the context itself. */
  readonly directory: string;
  /** More than one where kustomize would refuse it. */
  readonly kustomizations: readonly Kustomization[];
  /** The directories that it refers to. */
  readonly below: readonly Visit[];
  /** What it refers to, as far as that is a file of the context. */
  readonly files: readonly string[];
  /** Why it must not be built. */
  readonly refused: readonly Unresolved[];
}

/** A directory may be visited for its resources, and for plugins that it configures. */
export interface Visit {
  readonly directory: string;
  readonly kind: 'resource' | 'plugin';
}

const outward = 'leads out of the context; keep a copy in it';
const remote =
  'is fetched from elsewhere; keep a copy in the context, or allow it with kustomize.remote in cluster-image.json';

/** What a directory's kustomization refers to. Whatever must not be read is refused, nothing is fetched. */
export async function visitKustomization(
  tree: Tree,
  { directory, kind }: Visit,
  isRemoteAllowed: boolean,
): Promise<VisitedDirectory> {
  const kustomizations: Kustomization[] = [];
  const below: Visit[] = [];
  const files: string[] = [];
  const refused: Unresolved[] = [];
  for (const name of kustomizationNames) await visitFile(posix.join(directory, name));
  return { directory, kustomizations, below, files, refused };

  async function visitFile(file: string): Promise<void> {
    const entry = await reached(tree, file);
    if (entry === 'outside') refuse(file, 1, outward);
    if (entry === 'outside' || entry?.type !== 'file') return;
    const text = await textOf(entry);
    if (text === undefined) {
      refuse(file, 1, 'neither UTF-8 nor UTF-16');
      return;
    }
    const found = readKustomization(text, file);
    if (found.isForeign) return;
    kustomizations.push(found);
    for (const { line, reason } of found.faults) refuse(file, line, reason);
    for (const reference of found.references) await visitReference(reference, file);
  }

  async function visitReference(reference: Reference, file: string): Promise<void> {
    const { text, line } = reference;
    const isFile = reference.kind === 'file';
    // Files of generators may have a key in front.
    const path = isFile ? text.slice(text.indexOf('=') + 1) : text;
    if (isFile ? isUrl(path) || isUrl(text) : isUrl(text) || isRepository(text)) {
      if (!isRemoteAllowed) refuse(file, line, `${quoted(text)} ${remote}`);
      return;
    }
    if (text.includes('\n')) return;
    const entry = await reached(tree, posix.isAbsolute(path) ? path : posix.join(directory, path));
    if (entry === 'outside') {
      // Kustomize itself reads no other files than those below its kustomization.
      if (!isFile) refuse(file, line, `${quoted(text)} ${outward}`);
    } else if (entry?.type === 'directory') {
      const inner = kind === 'plugin' || reference.kind === 'plugin' ? 'plugin' : 'resource';
      if (!isFile) below.push({ directory: entry.path, kind: inner });
    } else if (entry?.type === 'file') {
      files.push(entry.path, posix.join(directory, path));
      const isPlugin = reference.kind === 'plugin' || (kind === 'plugin' && !isFile);
      if (isPlugin) await visitPlugin(entry);
    }
  }

  async function visitPlugin(entry: FileEntry): Promise<void> {
    const text = await textOf(entry);
    // What is no text is no plugin either.
    if (text === undefined) return;
    const { references, faults } = readPlugin(text);
    for (const { line, reason } of faults) refuse(entry.path, line, reason);
    for (const reference of references) await visitReference(reference, entry.path);
  }

  function refuse(file: string, line: number, reason: string): void {
    refused.push({ text: '', reason, origin: { file, line } });
  }
}

/** Any file of a kustomization may be one that is fetched. */
function isUrl(text: string): boolean {
  return /^\s*https?:/i.test(text);
}

/**
 * What any version of kustomize takes for a repository, were there even a directory of that name.
 *
 * @see https://github.com/kubernetes-sigs/kustomize/blob/master/examples/remoteBuild.md
 */
function isRepository(text: string): boolean {
  return /^\s*(?:git::|gh:|[a-z][a-z0-9+.-]*:\/\/|github\.com[/:]|[a-z][a-z0-9-]*@[^/:]*[/:])/i.test(
    text,
  );
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}
