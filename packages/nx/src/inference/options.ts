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
  readonly engine?: 'docker' | 'buildx' | 'podman' | 'buildah' | 'sealos';
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

/** The options with what they are where nothing is said. */
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

export function withDefaults(options: PluginOptions | undefined): TargetNames {
  return { ...defaults, ...options };
}
