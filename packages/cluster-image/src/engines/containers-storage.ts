import { basename, dirname } from 'node:path';
import {
  type Context,
  codeOf,
  isDigest,
  jsonOf,
  OciError,
  parseManifest,
} from '@cluster-image/oci';
import type { Scratch } from '@cluster-image/storage';
import { z } from 'zod';
import type { Environment } from '../environment.ts';
import type { Engine, KnownManifest } from './engine.ts';
import { printed, type Surroundings } from './program.ts';

/** How long a tool may print nothing, in milliseconds: it tells of each layer, and those can be large. */
const patience = 600_000;

/** What tools of this storage look at: where it lies, how it is kept, and in whose name. */
const itsVariables =
  /^(?:PATH|HOME|USER|TMPDIR|XDG_\w+|STORAGE_\w+|_?CONTAINERS_\w+|CONTAINER_\w+|BUILDAH_\w+)$/;

/** A program that knows the storage. Files that it is told of are in the current directory. */
interface Tool {
  readonly program: string;
  /** Prints what it knows of an image's manifest. */
  inspect(name: string): readonly string[];
  known(printed: string, name: string): KnownManifest;
  /** Writes an archive for docker. */
  save(name: string, file: string): readonly string[];
  /** Takes in an OCI archive; undefined where it cannot do that safely. */
  load?(file: string, name: string): readonly string[];
}

const tools: readonly Tool[] = [
  {
    program: 'skopeo',
    inspect: (name) => ['inspect', '--raw', inStorage(name)],
    known: (printed, name) => ({ manifest: parseManifest(Buffer.from(printed), name) }),
    save: (name, file) => ['copy', inStorage(name), `docker-archive:${file}`],
    load: (file, name) => ['copy', `oci-archive:${file}`, inStorage(name)],
  },
  {
    program: 'podman',
    inspect: (name) => ['image', 'inspect', '--format', '{{json .Annotations}}', plain(name)],
    known: (printed) => ({ annotations: annotationsSchema.safeParse(jsonOf(printed)).data ?? {} }),
    save: (name, file) => ['save', '--format', 'docker-archive', '-o', file, plain(name)],
    // The archive says what the image is called.
    load: (file) => ['load', '-i', file],
  },
  {
    // Its pull takes an image's other names away.
    program: 'buildah',
    inspect: (name) => ['inspect', '--type', 'image', plain(name)],
    known(printed, name) {
      const { Manifest } = inspectedSchema.safeParse(jsonOf(printed)).data ?? {};
      return Manifest === undefined ? {} : { manifest: parseManifest(Buffer.from(Manifest), name) };
    },
    save: (name, file) => ['push', plain(name), `docker-archive:${file}`],
  },
];

/** An id without what it is a digest by, as these tools have it; or a name. */
function plain(name: string): string {
  return name.replace(/^sha256:/, '');
}

/** As skopeo has it. */
function inStorage(name: string): string {
  return `containers-storage:${isDigest(name) ? `@${plain(name)}` : name}`;
}

const annotationsSchema = z.record(z.string(), z.string());
const inspectedSchema = z.looseObject({ Manifest: z.string() });

/**
 * The images that podman, buildah, skopeo and CRI-O share on a machine, by whichever of the first three
 * is on the PATH: how they lie on the disk is theirs to know. It is the storage of the user who runs
 * this, or of the environment: CONTAINERS_STORAGE_CONF, STORAGE_DRIVER and their like.
 *
 * Throws TOOL where no program is there or one fails, and NOT_FOUND for an image that is not there.
 *
 * @param scratch where archives lie on their way in
 */
export function containersStorage(
  environment: Environment,
  scratch: () => Promise<Scratch>,
  { signal }: Context,
  silence = patience,
): Engine {
  const variables = Object.fromEntries(
    Object.entries(environment.variables).filter(([name]) => itsVariables.test(name)),
  );
  const surroundings: Surroundings = { cwd: environment.cwd, variables, silence, signal };
  let found: Promise<readonly Tool[]> | undefined;

  async function toolThat(canDo: (tool: Tool) => boolean): Promise<Tool> {
    found ??= toolsThere(surroundings);
    const chosen = (await found).find(canDo);
    if (chosen) return chosen;
    const known = tools.filter(canDo).map(({ program }) => program);
    throw new OciError('TOOL', `containers-storage: takes ${known.join(' or ')}, not on the PATH`, {
      hint: `Install ${known[0]}, or save the image as an archive where there is one of them.`,
    });
  }

  /** Has the first tool that is there do something with an image. */
  async function withTool<T>(name: string, job: (tool: Tool) => Promise<T>): Promise<T> {
    const tool = await toolThat(() => true);
    try {
      return await job(tool);
    } catch (error) {
      throw explained(error, name);
    }
  }

  return {
    manifestOf: (name) =>
      withTool(name, async ({ program, inspect, known }) =>
        known(await printed(program, inspect(name), surroundings), name),
      ),
    save: (name, { path }) =>
      withTool(name, async ({ program, save }) => {
        const cwd = dirname(path);
        await printed(program, save(name, local(path)), { ...surroundings, cwd });
      }),
    async load(archive, name) {
      const { program, load = () => [] } = await toolThat((tool) => tool.load !== undefined);
      const file = await scratch();
      try {
        await file.append(archive.open());
        const cwd = dirname(file.path);
        await printed(program, load(local(file.path), name), { ...surroundings, cwd });
      } finally {
        await file.end();
      }
    },
    close: async () => {},
  };
}

/** A file in the directory that a tool runs in, for tools end a path at its first colon. */
function local(path: string): string {
  return `./${basename(path)}`;
}

async function toolsThere(surroundings: Surroundings): Promise<readonly Tool[]> {
  const there: Tool[] = [];
  for (const tool of tools) {
    try {
      await printed(tool.program, ['--version'], surroundings);
      there.push(tool);
    } catch (error) {
      if (codeOf(error) !== 'TOOL') throw error;
    }
  }
  return there;
}

/** What a tool says where an image is not there; none has an exit code for it. */
const absent = /image not known|does not resolve to an image|not an image/;

function explained(error: unknown, name: string): unknown {
  if (!(error instanceof OciError) || !absent.test(error.message)) return error;
  return new OciError('NOT_FOUND', `containers-storage: there is no image ${name}`, {
    cause: error,
    hint: 'Each user has a storage of their own, and what podman builds is called localhost/NAME. Build or pull it on this machine. What other machines are to find as well belongs into a registry or an archive.',
  });
}
