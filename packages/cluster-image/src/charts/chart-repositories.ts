import type { Network } from '@cluster-image/distribution';
import {
  bytes,
  type Context,
  digestOf,
  isTag,
  type Manifest,
  OciError,
  readText,
  throwIfAborted,
} from '@cluster-image/oci';
import { gunzip } from '@cluster-image/storage';
import type { LockedChart } from '../lock/lockfile.ts';
import { archiveIn, archiveLimit, artifactOf, type ChartArtifact } from './chart-artifact.ts';
import { isOci, nameIn, type RemoteChart } from './remote-chart.ts';
import { chartsInIndex, type IndexedChart } from './repository-index.ts';
import { isSameVersion, isVersion, newest } from './versions.ts';

/** The most that the index of a repository may have, in bytes; those of large ones have 30 MiB. */
const indexLimit = 64 * 1024 * 1024;

/** A version of a chart that a repository has. */
export interface FoundChart {
  /** As the repository writes it. */
  readonly version: string;
  readonly artifact: ChartArtifact;
}

/** All chart repositories, as one asks them. */
export interface ChartRepositories {
  /** The newest version that fits. Throws NOT_FOUND where there is none. */
  find(chart: RemoteChart): Promise<FoundChart>;
  /** What is pinned. Throws NOT_FOUND where it is gone, DIGEST_MISMATCH where it is another one by now. */
  fetch(pin: LockedChart): Promise<ChartArtifact>;
}

/**
 * Chart repositories in registries (`oci://`, through mirrors as images) and on web servers, whose
 * indexes are read once each. https://helm.sh/docs/topics/chart_repository/
 */
export function chartRepositories(
  { upstream, download }: Pick<Network, 'upstream' | 'download'>,
  context: Context,
): ChartRepositories {
  const indexes = new Map<string, Promise<string>>();

  return {
    find: (chart) =>
      asking(() => (isOci(chart.repository) ? findInRegistry(chart) : findOnServer(chart))),
    fetch: (pin) =>
      asking(() => (isOci(pin.repository) ? fetchFromRegistry(pin) : fetchFromServer(pin))),
  };

  function asking<T>(job: () => Promise<T>): Promise<T> {
    throwIfAborted(context.signal);
    return context.transfer(job);
  }

  async function findInRegistry({ repository, name, version }: RemoteChart): Promise<FoundChart> {
    const at = nameIn(repository, name);
    const exact = version !== undefined && isVersion(version) ? version : undefined;
    const asked = exact === undefined ? undefined : await tagged(at, exact);
    if (exact !== undefined && asked) return { version: exact, artifact: artifact(at, asked) };
    const tags = await Array.fromAsync(upstream.tags(at));
    // Tags have no plus sign.
    const versions = tags.map((tag) => tag.replaceAll('_', '+'));
    const found = newest(versions, version);
    const manifest = found === undefined ? undefined : await tagged(at, found);
    if (found === undefined || !manifest) throw noVersion(`oci://${at}`, version, versions);
    return { version: found, artifact: artifact(at, manifest) };
  }

  async function tagged(at: string, version: string): Promise<Manifest | undefined> {
    const tag = version.replaceAll('+', '_');
    const meant = isTag(tag) ? await upstream.resolve(at, tag) : undefined;
    return meant && (await upstream.manifest(at, meant.digest));
  }

  function artifact(repository: string, manifest: Manifest): ChartArtifact {
    const archive = archiveIn(manifest, `oci://${repository}`);
    return { registry: upstream, repository, manifest, archive };
  }

  async function fetchFromRegistry(pin: LockedChart): Promise<ChartArtifact> {
    const at = nameIn(pin.repository, pin.name);
    const manifest = pin.manifest && (await upstream.manifest(at, pin.manifest));
    if (!manifest) throw gone(pin);
    const found = artifact(at, manifest);
    if (found.archive.digest === pin.digest) return found;
    throw changed(pin, found.archive.digest);
  }

  async function findOnServer({ repository, name, version }: RemoteChart): Promise<FoundChart> {
    const charts = await indexed(repository, name);
    const versions = charts.map((chart) => chart.version);
    const found = newest(versions, version);
    const [chart] = charts.filter((chart) => chart.version === found);
    if (found === undefined || !chart) {
      throw noVersion(`${repository} ${name}`, version, versions);
    }
    const others = charts.filter((other) => isSameVersion(other.version, found));
    if (new Set(others.map(({ digest }) => digest)).size > 1) {
      const why = `lists ${name} ${found} twice, with different digests`;
      throw new OciError('UPSTREAM', `${repository} ${why}`, {
        hint: 'Choose another version, or ask whoever keeps the repository.',
      });
    }
    const archive = await archiveOf(repository, chart);
    return { version: found, artifact: await artifactOf(archive, { name, version: found }) };
  }

  async function fetchFromServer(pin: LockedChart): Promise<ChartArtifact> {
    const charts = await indexed(pin.repository, pin.name);
    const chart = charts.find(({ version }) => version === pin.version);
    if (!chart) throw gone(pin);
    const found = await artifactOf(await archiveOf(pin.repository, chart), pin);
    if (found.archive.digest === pin.digest) return found;
    throw changed(pin, found.archive.digest);
  }

  async function indexed(repository: string, name: string): Promise<readonly IndexedChart[]> {
    const text = indexes.get(repository) ?? readIndex(repository);
    indexes.set(repository, text);
    return chartsInIndex(await text, name, `${repository}/index.yaml`);
  }

  async function readIndex(repository: string): Promise<string> {
    const url = new URL(`${repository}/index.yaml`);
    const body = await download(url, { server: url, limit: indexLimit });
    if (!body) {
      throw new OciError('NOT_FOUND', `there is no chart repository ${repository}, or no access`, {
        hint: 'Check the URL: it is the one below which index.yaml is, without that name.',
      });
    }
    const isPacked = body[0] === 0x1f && body[1] === 0x8b;
    const plain = isPacked ? await gunzip(bytes(body), indexLimit, url.href) : bytes(body);
    return readText(plain, indexLimit);
  }

  async function archiveOf(repository: string, chart: IndexedChart): Promise<Uint8Array> {
    const url = URL.parse(chart.url, `${repository}/`);
    const what = `chart ${chart.version} of ${repository}`;
    if (!url) throw new OciError('UPSTREAM', `${what}: ${JSON.stringify(chart.url)} is no URL`);
    const archive = await download(url, { server: new URL(repository), limit: archiveLimit });
    if (!archive)
      throw new OciError('NOT_FOUND', `${what}: nothing is at ${url.host}${url.pathname}`);
    const digest = digestOf(archive);
    const said = chart.digest?.replace(/^sha256:/, '').toLowerCase();
    if (said === undefined || digest === `sha256:${said}`) return archive;
    const why = `the index says sha256:${said}, but what came is ${digest}`;
    throw new OciError('DIGEST_MISMATCH', `${what}: ${why}`);
  }
}

function noVersion(what: string, wanted: string | undefined, has: readonly string[]): OciError {
  if (has.length === 0) {
    return new OciError('NOT_FOUND', `there is no chart ${what}, or no access to it`, {
      hint: 'Check repository and name; for a private one log in to its host first (docker login).',
    });
  }
  const latest = newest(has) ?? newest(has, '>=0.0.0-0') ?? has.at(-1);
  return new OciError(
    'NOT_FOUND',
    `${what} has no ${wanted === undefined ? 'stable version' : `version ${wanted}`}`,
    { hint: `Its newest version is ${latest}.` },
  );
}

function gone({ repository, name, version, digest }: LockedChart): OciError {
  return new OciError(
    'NOT_FOUND',
    `${repository} has no chart ${name} ${version} (${digest}), which is pinned`,
    { hint: updateHint },
  );
}

function changed({ repository, name, version, digest }: LockedChart, now: string): OciError {
  return new OciError(
    'DIGEST_MISMATCH',
    `chart ${name} ${version} of ${repository} is ${now} now, and ${digest} is pinned`,
    { hint: updateHint },
  );
}

const updateHint =
  'It was replaced or removed. `cluster-image lock CONTEXT --update PATH` pins what is there now.';
