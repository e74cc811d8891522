const engines = ['docker', 'buildx', 'podman', 'buildah', 'sealos'] as const;

/** What can be said of the plugin in nx.json. */
export interface PluginOptions {
  readonly lockTargetName?: string;
  readonly cacheTargetName?: string;
  readonly syncTargetName?: string;
  readonly buildTargetName?: string;
  readonly pushTargetName?: string;
  readonly saveTargetName?: string;
  readonly serveTargetName?: string;
  /** The target of projects with a Dockerfile; false for none. */
  readonly imageTargetName?: string | false;
  /** Whether each platform is built in a task of its own; with an engine it is anyway. */
  readonly platformTargets?: boolean;
  /** What builds from build files that have RUN; without it Dockerfiles with it have no target. */
  readonly engine?: (typeof engines)[number];
  /** Arguments that are passed on to it. */
  readonly engineArg?: readonly string[];
}

const defaults = {
  lockTargetName: 'lock-images',
  cacheTargetName: 'cache-images',
  syncTargetName: 'sync-registry',
  buildTargetName: 'build-image',
  pushTargetName: 'push-image',
  saveTargetName: 'save-image',
  serveTargetName: 'serve-image',
  imageTargetName: 'image',
  platformTargets: false,
} as const;

/** The options, and the defaults of those that are not given. */
export type TargetNames = Required<Omit<PluginOptions, keyof EngineOptions>> & EngineOptions;

/** What builds images that need an engine. */
export type EngineOptions = Pick<PluginOptions, 'engine' | 'engineArg'>;

/** The engine for a build file, if that needs one and there is one. */
export function engineFor(
  needsEngine: boolean,
  { engine, engineArg }: EngineOptions,
): EngineOptions | undefined {
  if (!needsEngine || engine === undefined) return undefined;
  return { engine, ...(engineArg && { engineArg }) };
}

/** What an option has to be, and how to say so. */
type Rule = readonly [isRight: (value: unknown) => boolean, rule: string];

const name: Rule = [
  (value) => typeof value === 'string' && /^[^\s:]+$/.test(value),
  'the name of a target, without spaces and colons',
];

const rules: Readonly<Record<keyof PluginOptions, Rule>> = {
  lockTargetName: name,
  cacheTargetName: name,
  syncTargetName: name,
  buildTargetName: name,
  pushTargetName: name,
  saveTargetName: name,
  serveTargetName: name,
  imageTargetName: [(value) => value === false || name[0](value), `${name[1]}, or false`],
  platformTargets: [(value) => typeof value === 'boolean', 'true or false'],
  engine: [(value) => engines.some((engine) => engine === value), `one of ${engines.join(', ')}`],
  engineArg: [
    (value) => Array.isArray(value) && value.every((each) => typeof each === 'string'),
    'a list of arguments',
  ],
};

/** The options with what they are where nothing is said. Throws for what is no option, or not as it should be. */
export function withDefaults(options: unknown): TargetNames {
  const given = options ?? {};
  requireOptions(given);
  return { ...defaults, ...given };
}

/** Nx says of them no more than that they are JSON; targets by other names than were meant would go unseen. */
export function requireOptions(options: unknown): asserts options is PluginOptions {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new Error('nx.json: the options of @cluster-image/nx are no object');
  }
  const known = new Map<string, Rule>(Object.entries(rules));
  for (const [option, value] of Object.entries(options)) {
    const rule = known.get(option);
    const where = `nx.json: the option ${JSON.stringify(option)} of @cluster-image/nx`;
    if (!rule) throw new Error(`${where} is none; there are ${[...known.keys()].join(', ')}`);
    const [isRight, words] = rule;
    if (!isRight(value)) throw new Error(`${where} is ${JSON.stringify(value)}, not ${words}`);
  }
}
