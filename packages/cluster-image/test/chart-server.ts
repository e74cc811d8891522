import {
  bytes,
  type Digest,
  digestOf,
  type Manifest,
  mediaTypes,
  parseManifest,
  type Registry,
} from '@cluster-image/oci';
import { type FaultRegistry, type FaultRule, faultRegistry } from '@cluster-image/testing';
import { packedChart, pod } from './chart-files.ts';

/** A packed chart with one pod of an image. */
export function chartOf(name: string, version: string, image = 'a.io/b:1'): Promise<Uint8Array> {
  return packedChart(name, {
    'Chart.yaml': `apiVersion: v2\nname: ${name}\nversion: ${version}\n`,
    'templates/pod.yaml': pod(image),
  });
}

/** A web server with files, closed when the test is over. */
export interface ChartServer extends FaultRegistry {
  /** The repository, which is not at the root. */
  readonly url: string;
  /** By path; what is put in or taken out counts from then on. */
  readonly files: Map<string, string | Uint8Array>;
  /** The paths that were asked for. */
  paths(): readonly string[];
}

export async function chartServer(
  files: Readonly<Record<string, string | Uint8Array>> = {},
  rules: readonly FaultRule[] = [],
): Promise<ChartServer> {
  const known = new Map(Object.entries(files));
  const answer: FaultRule = {
    match: { kind: 'elsewhere' },
    fault: {
      answer: (right, { target }) => {
        const body = known.get(target);
        return body === undefined
          ? right
          : {
              status: 200,
              headers: {},
              body: Buffer.from(typeof body === 'string' ? Buffer.from(body) : body),
            };
      },
    },
  };
  const server = await faultRegistry({ rules: [...rules, answer] });
  return {
    ...server,
    url: `http://${server.host}/stable`,
    files: known,
    paths: () => server.log.map(({ target }) => target),
  };
}

/** A version of a chart as an index has it. */
export interface Entry {
  readonly version: string;
  readonly url?: string;
  readonly digest?: string | undefined;
}

/** An index as helm writes it. */
export function indexOf(charts: Readonly<Record<string, readonly Entry[]>>): string {
  const lines = Object.entries(charts).flatMap(([name, entries]) => [
    `  ${name}:`,
    ...entries.flatMap(({ version, url = `charts/${name}-${version}.tgz`, digest }) => [
      '  - apiVersion: v2',
      '    created: "2026-01-31T12:00:00Z"',
      '    description: A chart that is described in more words than there is room',
      '      for on a line',
      ...(digest === undefined ? [] : [`    digest: ${digest}`]),
      `    name: ${name}`,
      '    urls:',
      `    - ${url}`,
      `    version: ${version}`,
    ]),
  ]);
  return ['apiVersion: v1', 'entries:', ...lines, 'generated: "2026-01-31T12:00:00Z"', ''].join(
    '\n',
  );
}

/** Puts versions of a chart onto a web server, with an index of them. */
export async function serveCharts(
  { files }: Pick<ChartServer, 'files'>,
  name: string,
  versions: readonly string[],
  image?: string,
): Promise<void> {
  const entries: Entry[] = [];
  for (const version of versions) {
    const body = await chartOf(name, version, image);
    files.set(`/stable/charts/${name}-${version}.tgz`, body);
    entries.push({ version, digest: hexOf(digestOf(body)) });
  }
  files.set('/stable/index.yaml', indexOf({ [name]: entries }));
}

export function hexOf(digest: Digest): string {
  return digest.replace(/^sha256:/, '');
}

export interface PushedChart {
  /** Its repository. */
  readonly repository: string;
  readonly tag: string;
  readonly archive: Uint8Array;
  /** Media types in place of helm's own. */
  readonly config?: string;
  readonly layer?: string;
  /** More layers than the chart. */
  readonly others?: readonly { readonly mediaType: string; readonly body: Uint8Array }[];
}

/** Puts a chart into a registry as `helm push` does. */
export async function pushChart(registry: Registry, chart: PushedChart): Promise<Manifest> {
  const { repository, tag, archive, others = [] } = chart;
  const config = Buffer.from('{"name":"chart","version":"1.0.0","apiVersion":"v2"}');
  const parts = [
    { mediaType: chart.config ?? 'application/vnd.cncf.helm.config.v1+json', body: config },
    {
      mediaType: chart.layer ?? 'application/vnd.cncf.helm.chart.content.v1.tar+gzip',
      body: archive,
    },
    ...others,
  ];
  const [descriptor, ...layers] = await Promise.all(
    parts.map(async ({ mediaType, body }) => {
      await registry.putBlob(repository, digestOf(body), bytes(body));
      return { mediaType, digest: digestOf(body), size: body.length };
    }),
  );
  const text = JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: descriptor,
    layers,
  });
  const manifest = parseManifest(Buffer.from(text), repository);
  await registry.putManifest(repository, manifest, tag);
  return manifest;
}
