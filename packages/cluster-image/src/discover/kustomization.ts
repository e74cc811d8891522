import {
  type Fault,
  itemsOf,
  kustomizeDocuments,
  type Root,
  type Text,
  textsAt,
  textsUnder,
  valuesOf,
} from './kustomize-yaml.ts';
import { followed, type YamlNode, type YamlScalar } from './yaml-nodes.ts';

/** The names of a kustomization's file. */
export const kustomizationNames: readonly string[] = [
  'kustomization.yaml',
  'kustomization.yml',
  'Kustomization',
];

/**
 * What a kustomization says, as far as it matters before it is built.
 *
 * @see https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/
 */
export interface Kustomization {
  /** Its file in the context. */
  readonly file: string;
  /** It is an object of somebody else, in a file of that name. */
  readonly isForeign: boolean;
  readonly references: readonly Reference[];
  readonly overrides: readonly ImageOverride[];
  readonly faults: readonly Fault[];
}

/** What a kustomization names to be read: a path relative to its directory, or a place elsewhere. */
export interface Reference extends Text {
  /**
   * A resource is a file, a directory with a kustomization or a repository; a plugin is such a resource
   * that configures kustomize itself; all else is a file.
   */
  readonly kind: 'resource' | 'plugin' | 'file';
}

/** An entry of `images`. */
export interface ImageOverride {
  /** The name that images have after it. */
  readonly name: string;
  readonly tag?: string;
  readonly digest?: string;
  /** Of what decides most: tag, digest or name. */
  readonly line: number;
}

/** Where references are. */
const places: Readonly<Record<string, Reference['kind']>> = {
  resources: 'resource',
  bases: 'resource',
  components: 'resource',
  generators: 'plugin',
  transformers: 'plugin',
  validators: 'plugin',
  crds: 'file',
  configurations: 'file',
  'openapi.path': 'file',
  patches: 'file',
  'patches.path': 'file',
  patchesstrategicmerge: 'file',
  'patchesjson6902.path': 'file',
  'replacements.path': 'file',
  'configmapgenerator.files': 'file',
  'configmapgenerator.env': 'file',
  'configmapgenerator.envs': 'file',
  'secretgenerator.files': 'file',
  'secretgenerator.env': 'file',
  'secretgenerator.envs': 'file',
};

/** Keys under which kustomize's own plugins name files. */
const pluginKeys: ReadonlySet<string> = new Set([
  'path',
  'paths',
  'files',
  'env',
  'envs',
  'targetfilepath',
]);

/** Reads a kustomization; what kustomize could take for a reference is one, and rather more than less. */
export function readKustomization(text: string, file: string): Kustomization {
  const { roots, faults } = kustomizeDocuments(text);
  const at = (path: string): readonly Text[] =>
    roots.flatMap((root) => textsAt(root, path.split('.')));
  const references = Object.entries(places).flatMap(([path, kind]) =>
    at(path).flatMap((found): readonly Reference[] => {
      if (!found.text.includes('\n')) return [{ ...found, kind }];
      // What is written out needs no file, but a plugin may name some.
      return kind === 'plugin' ? [{ ...found, kind }, ...inPlugin(found)] : [];
    }),
  );
  const charts = ['helmcharts', 'helmchartinflationgenerator'].flatMap((key) =>
    roots.flatMap(({ node, lineOf }) => valuesOf(node, key).map(lineOf)),
  );
  const versions = at('apiversion');
  return {
    file,
    isForeign:
      versions.length > 0 &&
      !versions.some((version) => version.text.startsWith('kustomize.config.k8s.io/')),
    references,
    overrides: roots.flatMap(overridesIn),
    faults: [...faults, ...charts.map(chartFault)],
  };
}

/** Reads the configuration of plugins. */
export function readPlugin(text: string): Pick<Kustomization, 'references' | 'faults'> {
  const { roots, faults } = kustomizeDocuments(text);
  const charts = roots.flatMap((root) =>
    textsAt(root, ['kind']).filter((kind) => kind.text === 'HelmChartInflationGenerator'),
  );
  return {
    references: roots.flatMap((root) =>
      textsUnder(root, pluginKeys).map((found): Reference => ({ ...found, kind: 'file' })),
    ),
    faults: [...faults, ...charts.map(({ line }) => chartFault(line))],
  };
}

function inPlugin({ text, line }: Text): readonly Reference[] {
  return readPlugin(text).references.map((reference) => ({ ...reference, line }));
}

function chartFault(line: number): Fault {
  return { line, reason: 'a chart that kustomize would fetch and render; put it into charts/' };
}

function overridesIn({ node, lineOf }: Root): readonly ImageOverride[] {
  return ['images', 'imagetags']
    .flatMap((key) => valuesOf(node, key))
    .flatMap(itemsOf)
    .flatMap((entry) => overrideOf(entry, lineOf));
}

function overrideOf(entry: YamlNode, lineOf: Root['lineOf']): readonly ImageOverride[] {
  const field = (key: string): YamlScalar | undefined => {
    const [value] = valuesOf(entry, key).map(followed);
    return value?.kind === 'scalar' && value.text !== '' ? value : undefined;
  };
  const [newName, tag, digest] = [field('newname'), field('newtag'), field('digest')];
  const name = newName ?? field('name');
  const decisive = tag ?? digest ?? newName;
  if (!name || !decisive) return [];
  return [
    {
      name: name.text,
      ...(tag && { tag: tag.text }),
      ...(digest && { digest: digest.text }),
      line: lineOf(decisive),
    },
  ];
}
