import type { ExecutorContext } from '@nx/devkit';
import {
  buildVerb,
  type Context,
  commonOptions,
  type Environment,
  indexVerb,
  isDeliverable,
  printable,
} from 'cluster-image';
import { z } from 'zod';
import { withName } from './image-name.ts';
import { environmentOf, parsed, runContext, type Task } from './run.ts';

/** A task whose target builds an image, or may. */
interface ImageTask extends Task {
  readonly configuration?: string | undefined;
}

const thinSchema = commonOptions.partial().extend({
  thin: z.string(),
  engine: z.string().default('native'),
});

/** The id of a task; in Nx 24 it is in an object. */
const dependencySchema = z.union([
  z.string(),
  z.object({ id: z.string() }).transform(({ id }) => id),
]);

/** What makes a thin image again, from the options of its target. */
type Rebuild = (
  options: object,
  task: Task,
  environment: Environment,
  context: Context,
) => Promise<unknown>;

const rebuild: Rebuild = (options, task, environment, context) =>
  buildVerb.run(parsed(buildVerb, options, task), environment, context);

/** The executors that leave thin images. */
const imageExecutors: ReadonlyMap<string, Rebuild> = new Map([
  ['@cluster-image/nx:build-image', rebuild],
  ['@cluster-image/nx:image', (options, ...rest) => rebuild({ bare: true, ...options }, ...rest)],
  [
    '@cluster-image/nx:image-index',
    (options, task, environment, context) =>
      indexVerb.run(parsed(indexVerb, options, task), environment, context),
  ],
]);

/**
 * Makes sure of the images that the tasks before this one have built. Where those came from a task
 * cache, their parts may not be in this machine's store, or not be what they were; then they are built
 * again, which gives the same digest, and before them what is in them.
 */
export async function restoreImages(context: ExecutorContext): Promise<void> {
  const { projectName = '', targetName = '', configurationName } = context;
  await restoreBefore(
    { project: projectName, target: targetName, configuration: configurationName },
    context,
    new Set(),
  );
}

async function restoreBefore(
  task: ImageTask,
  context: ExecutorContext,
  seen: Set<string>,
): Promise<void> {
  for (const earlier of tasksBefore(task, context)) {
    const key = JSON.stringify(earlier);
    if (seen.has(key)) continue;
    seen.add(key);
    await restoreImage(earlier, context, seen);
  }
}

/** Makes sure of the image of one task, and of what is in it. */
export async function restoreImage(
  task: ImageTask,
  context: ExecutorContext,
  seen: Set<string> = new Set(),
): Promise<void> {
  const { executor = '', options } = targetOf(task, context);
  if (executor === '@cluster-image/nx:cache-images') return restoreBefore(task, context, seen);
  const again = imageExecutors.get(executor);
  const thin = thinSchema.safeParse(options);
  if (!again || !thin.success || thin.data.engine !== 'native') return;
  const environment = environmentOf(context);
  const fault = await faultOf(thin.data, context);
  if (fault === undefined) return;
  await restoreBefore(task, context, seen);
  console.log(printable(`${task.project}:${task.target}: ${fault}; building it again`));
  await again(withName(options, { projectName: task.project }), task, environment, runContext());
}

/** Why an image cannot be delivered; undefined where it can. */
async function faultOf(
  { thin, ...common }: z.infer<typeof thinSchema>,
  context: ExecutorContext,
): Promise<string | undefined> {
  try {
    const options = commonOptions.parse(common);
    const isWhole = await isDeliverable(thin, options, environmentOf(context));
    return isWhole ? undefined : 'parts of the image are not in the store';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function tasksBefore(
  { project, target, configuration }: ImageTask,
  { taskGraph }: ExecutorContext,
): readonly ImageTask[] {
  const { tasks = {}, dependencies = {} } = taskGraph ?? {};
  const own = Object.values(tasks).filter(
    (task) =>
      task.target.project === project &&
      task.target.target === target &&
      [undefined, configuration ?? task.target.configuration].includes(task.target.configuration),
  );
  return own
    .flatMap(({ id }) => dependencies[id] ?? [])
    .map((earlier) => dependencySchema.parse(earlier))
    .flatMap((id) => (tasks[id] === undefined ? [] : [tasks[id].target]));
}

/** What a target runs, with the options of its configuration. */
export function targetOf(
  { project, target, configuration }: ImageTask,
  { projectsConfigurations }: ExecutorContext,
): { readonly executor?: string; readonly options: object } {
  const found = projectsConfigurations.projects[project]?.targets?.[target];
  const { executor, options, configurations = {} } = found ?? {};
  const special = configuration === undefined ? {} : configurations[configuration];
  return { ...(executor !== undefined && { executor }), options: { ...options, ...special } };
}
