import { posix } from 'node:path';
import { compareBytes, isHost, isRepository, OciError } from '@cluster-image/oci';
import { configurationName } from '../configuration-file.ts';
import type { DiscoverSettings } from '../discover/settings.ts';
import { isRange } from './versions.ts';

/** A chart that a context has from a chart repository. */
export interface RemoteChart {
  /** Where its archive appears in the context. */
  readonly path: string;
  /** URL of the repository, without a slash at its end: `oci://…`, `https://…` or `http://…`. */
  readonly repository: string;
  readonly name: string;
  /** Version, or range of versions; the newest stable one by default. */
  readonly version?: string;
}

/** The charts of a configuration that are in repositories, sorted by path. Throws INPUT_INVALID. */
export function remoteCharts({ charts = {} }: DiscoverSettings): readonly RemoteChart[] {
  return Object.entries(charts)
    .flatMap(([path, { repository, name, version }]) => {
      if (repository !== undefined) return [remoteChart({ path, repository, name, version })];
      if (name === undefined && version === undefined) return [];
      throw invalid(path, 'name and version are those in a repository, and it has none');
    })
    .sort((a, b) => compareBytes(a.path, b.path));
}

function invalid(path: string, why: string, hint?: string): OciError {
  const where = `${configurationName}: charts ${JSON.stringify(path)}`;
  return new OciError('INPUT_INVALID', `${where}: ${why}`, { hint });
}

interface Written {
  readonly path: string;
  readonly repository: string;
  readonly name: string | undefined;
  readonly version: string | undefined;
}

function remoteChart({ path, version, ...written }: Written): RemoteChart {
  if (!isChartPath(path)) {
    throw invalid(
      path,
      'not the path of a file NAME.tgz in the context',
      'A chart from a repository is packed; its path is where it is to appear, as charts/NAME.tgz.',
    );
  }
  const name = written.name ?? posix.basename(path, '.tgz');
  if (!isChartName(name)) throw invalid(path, `${JSON.stringify(name)} is not a chart name`);
  const repository = written.repository.replace(/\/+$/, '');
  if (!isChartRepository(repository)) {
    throw invalid(
      path,
      'its repository is not a plain URL oci://HOST/PATH or https://HOST/PATH',
      'It holds no credentials and no query; those come from docker login.',
    );
  }
  if (isOci(repository) && !isRepository(nameIn(repository, name).replace(/^[^/]*\//, ''))) {
    throw invalid(path, `${nameIn(repository, name)} is not a name that registries have`);
  }
  if (version !== undefined && !isRange(version)) {
    throw invalid(
      path,
      `${JSON.stringify(version)} is no version, nor a range of them`,
      'Write it as 1.2.3, ^1.2, 1.2.x or ">=1.2 <2".',
    );
  }
  return { path, repository, name, ...(version !== undefined && { version }) };
}

/** Whether helm takes a text for the name of a chart; it is never a path. */
export function isChartName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(text);
}

/** Whether a path is one in the context, in its one spelling, and of a packed chart. */
export function isChartPath(path: string): boolean {
  const parts = path.split('/');
  const isPlain = !parts.some((part) => /^\.{0,2}$/.test(part)) && !/[\p{Cc}\\]/u.test(path);
  return isPlain && /[^/]\.tgz$/.test(path);
}

/** Whether a text is the URL of a chart repository that may be written down: without secrets. */
export function isChartRepository(text: string): boolean {
  const url = /^(?:oci|https?):\/\/[^/]/.test(text) ? URL.parse(webUrl(text)) : undefined;
  return (
    url !== undefined &&
    url !== null &&
    isHost(text.replace(/^\w+:\/\//, '').replace(/\/.*$/s, '')) &&
    url.username + url.password + url.search + url.hash === '' &&
    !/[?#\s\p{Cc}]/u.test(text)
  );
}

export function isOci(repository: string): boolean {
  return repository.startsWith('oci://');
}

/** `host/path/name` of a chart in an `oci://` repository. */
export function nameIn(repository: string, name: string): string {
  return `${repository.slice('oci://'.length)}/${name}`;
}

/** The library knows no host in a URL of a scheme that it does not know. */
function webUrl(repository: string): string {
  return repository.replace(/^oci:/, 'https:');
}
