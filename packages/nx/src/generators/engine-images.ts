import type { ProjectConfiguration, TargetConfiguration } from '@nx/devkit';
import { referenceFrom, shellCommands } from 'cluster-image';
import { z } from 'zod';

/** An image that a target builds, and leaves in a container engine of the machine. */
export interface EngineImage {
  /** As the engine has it: `docker-daemon:apps-web`. */
  readonly location: string;
  /** As the target names it, with or without a tag. */
  readonly name: string;
  readonly target: string;
}

const commandSchema = z.union([z.string(), z.object({ command: z.string() })]);
const wordsSchema = z.union([z.string().transform((text) => [text]), z.array(z.string())]);

/** What `nx:run-commands` runs. */
const runSchema = z.object({
  command: z.string().optional(),
  commands: z.array(commandSchema).default([]),
  args: wordsSchema.default([]),
});

/** What `@nx-tools/nx-container` builds. */
const containerSchema = z.object({
  engine: z.string().default('docker'),
  tags: wordsSchema.default([]),
  metadata: z.object({ images: wordsSchema.default([]) }).default({ images: [] }),
});

/**
 * The images that the targets of a project build with docker, podman or buildah: by commands, as those
 * of `@nx/docker` and people's own are, or by `@nx-tools/nx-container`. Names that are only known when
 * a task runs are left out.
 */
export async function engineImages({
  targets = {},
}: ProjectConfiguration): Promise<readonly EngineImage[]> {
  const found = await Promise.all(
    Object.entries(targets).map(async ([name, target]) => {
      const built = await builtBy(target);
      return built.flatMap(({ engine, tags }) =>
        [...new Set(tags)].flatMap((tag) => imageOf(engine, tag, name)),
      );
    }),
  );
  return found.flat();
}

interface EngineBuild {
  readonly engine: string;
  readonly tags: readonly string[];
}

async function builtBy({
  executor,
  command,
  options,
}: TargetConfiguration): Promise<readonly EngineBuild[]> {
  if (executor === '@nx-tools/nx-container:build') {
    const { data } = containerSchema.safeParse(options ?? {});
    return data ? [{ engine: data.engine, tags: [...data.tags, ...data.metadata.images] }] : [];
  }
  if (executor !== undefined && executor !== 'nx:run-commands') return [];
  const { data } = runSchema.safeParse({ ...(command !== undefined && { command }), ...options });
  if (!data) return [];
  const texts = [...(data.command === undefined ? [] : [data.command]), ...data.commands].map(
    (said) => (typeof said === 'string' ? said : said.command),
  );
  const builds = texts.map((text) => buildsIn([text, ...data.args].join(' ')));
  return (await Promise.all(builds)).flat();
}

/** There is nothing that a command of a task could be a script of. */
const nowhere = { entry: async () => undefined, async *entries() {} };

async function buildsIn(text: string): Promise<readonly EngineBuild[]> {
  if (!/\b(?:docker|podman|buildah)\b/.test(text)) return [];
  const shell = [{ text, file: 'command', line: 1 }];
  const found = ['docker', 'podman', 'buildah'].map(async (engine) => {
    const commands = await shellCommands(nowhere, engine, shell, new Map());
    return commands.flatMap(({ words }) => {
      const plain = words.map(({ text, isTold }) => (isTold ? text : ''));
      return isBuild(plain) && isKept(plain) ? [{ engine, tags: tagsIn(plain) }] : [];
    });
  });
  return (await Promise.all(found)).flat();
}

/** `docker build`, `docker buildx build`, `docker image build`, `buildah bud` and the like. */
function isBuild(words: readonly string[]): boolean {
  const [first, second] = words.slice(1).filter((word) => !word.startsWith('-'));
  const verb = first === 'buildx' || first === 'image' ? second : first;
  return verb === 'build' || verb === 'bud' || verb === 'build-using-dockerfile';
}

/** Whether what is built stays in the engine, and is the image that the build file is about. */
function isKept(words: readonly string[]): boolean {
  const elsewhere = /^(?:--push|--output|-o|--manifest|--target)(?:=|$)/;
  const isLoaded = words.some((word) => /^--load(?:=true)?$/.test(word));
  return !words.some((word) => elsewhere.test(word)) && (!words.includes('buildx') || isLoaded);
}

function tagsIn(words: readonly string[]): readonly string[] {
  return words.flatMap((word, at) => {
    if (word === '-t' || word === '--tag') return words.slice(at + 1, at + 2);
    const [, joined] = /^(?:--tag=|-t=?)(.+)$/.exec(word) ?? [];
    return joined === undefined ? [] : [joined];
  });
}

function imageOf(engine: string, tag: string, target: string): readonly EngineImage[] {
  if (!referenceFrom(tag)) return [];
  // Podman and buildah keep what has no host as an image of this machine.
  const hasHost = /^(?:[^/]*[.:][^/]*|localhost)\//.test(tag);
  const location =
    engine === 'podman' || engine === 'buildah'
      ? `containers-storage:${hasHost ? '' : 'localhost/'}${tag}`
      : `docker-daemon:${tag}`;
  return [{ location, name: tag, target }];
}
