import { posix } from 'node:path';
import { jsonIn, objectIn, stringIn } from './json.ts';

/** What a `cluster-image.json` says of an image that the workspace builds. */
export interface WorkspaceImage {
  /** What it is called, without a tag. */
  readonly name: string;
  /** Where it lies once it is built, relative to the workspace; absent for what is no file. */
  readonly path?: string;
  readonly transport: string;
  /** The project and target that build it, where they are named. */
  readonly project?: string;
  readonly target?: string;
}

/**
 * The images of the workspace that a configuration names. Whatever in it is not as it should be is
 * passed over: the tasks that read the file in earnest tell.
 *
 * @param root the directory of the file, which paths in it are relative to
 */
export function workspaceImages(text: string | undefined, root: string): readonly WorkspaceImage[] {
  const { workspaceImages: images } = objectIn(jsonIn(text));
  return Object.entries(objectIn(images)).flatMap(([name, said]) => {
    const { from, project, target } = typeof said === 'string' ? { from: said } : objectIn(said);
    const [, transport, rest = ''] = /^([a-z-]+):(.+)$/.exec(stringIn(from) ?? '') ?? [];
    if (transport === undefined) return [];
    const isFile = ['oci', 'oci-archive', 'docker-archive'].includes(transport);
    const path = posix.join(root, rest.replace(/:.*$/, ''));
    const names = { project: stringIn(project), target: stringIn(target) };
    return [
      {
        name,
        transport,
        ...(isFile && { path }),
        ...(names.project !== undefined && { project: names.project }),
        ...(names.target !== undefined && { target: names.target }),
      },
    ];
  });
}

/** All directories that a path of the workspace is in, the nearest first, up to the workspace's own. */
export function directoriesAbove(path: string): readonly string[] {
  const found: string[] = [];
  for (let at = path; !/^(?:\.$|\.\.|\/)/.test(at); found.push(at)) at = posix.dirname(at);
  return found;
}
