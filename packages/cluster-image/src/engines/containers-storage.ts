import { basename, dirname } from 'node:path';
import { type Context, codeOf, OciError, parseManifest } from '@cluster-image/oci';
import type { Scratch } from '@cluster-image/storage';
import type { Environment } from '../environment.ts';
import type { Engine } from './engine.ts';
import { printed, type Surroundings } from './program.ts';

/** How long a tool may print nothing, in milliseconds: it tells of each layer, and those can be large. */
const patience = 600_000;

/** What tools of this storage look at: where it lies, how it is kept, and in whose name. */
const itsVariables =
  /^(?:PATH|HOME|USER|TMPDIR|XDG_\w+|STORAGE_\w+|_?CONTAINERS_\w+|CONTAINER_\w+|BUILDAH_\w+)$/;

type Kind = 'docker-archive' | 'oci-archive';

/** A program that knows the storage. Files that it is told of are in the current directory. */
interface Tool {
  readonly program: string;
  /** Prints an image's manifest, or its media type; undefined where it could not be kept. */
  manifest?(name: string): readonly string[];
  /** Writes an image with its layers as they were before any compression. */
  save(name: string, kind: Kind, file: string): readonly string[];
  /** Takes in an OCI archive; undefined where it cannot do that safely. */
  load?(file: string, name: string): readonly string[];
}

const tools: readonly Tool[] = [
  {
    program: 'skopeo',
    manifest: (name) => ['inspect', '--raw', `containers-storage:${name}`],
    save: (name, kind, file) => [
      'copy',
      ...(kind === 'oci-archive' ? ['--dest-oci-accept-uncompressed-layers'] : []),
      `containers-storage:${name}`,
      `${kind}:${file}`,
    ],
    load: (file, name) => ['copy', `oci-archive:${file}`, `containers-storage:${name}`],
  },
  {
    program: 'podman',
    manifest: (name) => ['image', 'inspect', '--format', '{{.ManifestType}}', name],
    save: (name, kind, file) => [
      'save',
      ...(kind === 'oci-archive' ? ['--uncompressed'] : []),
      ...['--format', kind, '-o', file, name],
    ],
    // The archive says what the image is called.
    load: (file) => ['load', '-i', file],
  },
  {
    // Its OCI archives are compressed, and its pull takes an image's other names away.
    program: 'buildah',
    save: (name, kind, file) => ['push', name, `${kind}:${file}`],
  },
];

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

  /** What keeps the manifest: archives for docker cannot, others would turn a config of docker's into another. */
  async function faithfulKind({ program, manifest }: Tool, name: string): Promise<Kind> {
    if (!manifest) return 'docker-archive';
    const text = (await printed(program, manifest(name), surroundings)).trim();
    const type = text.startsWith('{') ? parseManifest(Buffer.from(text), name).mediaType : text;
    return type.startsWith('application/vnd.oci.') ? 'oci-archive' : 'docker-archive';
  }

  return {
    async save(name, form, { path }) {
      const tool = await toolThat(() => true);
      const cwd = dirname(path);
      try {
        const kind = form === 'plain' ? 'docker-archive' : await faithfulKind(tool, name);
        const args = tool.save(name, kind, local(path));
        await printed(tool.program, args, { ...surroundings, cwd });
      } catch (error) {
        throw explained(error, name);
      }
    },
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
