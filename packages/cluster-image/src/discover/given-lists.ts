import type { Context, Tree } from '@cluster-image/oci';
import { type FileEntry, followed } from '../follow.ts';
import { inContext, misconfigured } from './chart-renderings.ts';
import { type Findings, merge } from './discovery.ts';
import { findInFiles, textOf } from './find-files.ts';
import { findInSections, imageSections } from './image-sections.ts';
import { manifestList } from './in-image.ts';
import { findInList, linesOf } from './lists.ts';
import type { DiscoverSettings } from './settings.ts';

/**
 * The images of sealer's lists, at the places where it has them, and of those that the configuration
 * names. Throws INPUT_INVALID for one that is not there.
 */
export async function findInGivenLists(
  tree: Tree,
  { lists = [] }: DiscoverSettings,
): Promise<Findings> {
  const given = await Promise.all(lists.map((path) => configured(tree, path, 'lists')));
  const paths = [...given.map(({ path }) => path), imageSections];
  return merge([
    await findInFiles(tree, [...paths.filter(isLined), manifestList], findInList),
    await findInFiles(tree, paths.filter(isSectioned), findInSections),
  ]);
}

/** Lists that may have credentials in them, which are no part of any image. */
export function listsWithCredentials({ lists = [] }: DiscoverSettings): readonly string[] {
  return [imageSections, ...lists.flatMap((path) => inContext(path) ?? []).filter(isSectioned)];
}

/** Says that credentials in a list are no credentials of ours. */
export async function tellCredentials(
  tree: Tree,
  settings: DiscoverSettings,
  { report }: Pick<Context, 'report'>,
): Promise<void> {
  for (const path of listsWithCredentials(settings)) {
    if (!(await followed(tree, path))) continue;
    report({
      type: 'warning',
      message: `${path}: its credentials are not used, and it is no part of the image`,
      hint: 'Log in to its registries with `docker login`, whose credentials are.',
    });
  }
}

/**
 * The lines of `.sealignore`, and of the lists of what to leave out that the configuration names. Throws
 * INPUT_INVALID for one that is not there.
 */
export async function ignoredTexts(
  tree: Tree,
  { ignoredLists = [] }: DiscoverSettings,
): Promise<readonly string[]> {
  const own = await followed(tree, '.sealignore');
  const given = ignoredLists.map((path) => configured(tree, path, 'ignoredLists'));
  const files = [...(own ? [own] : []), ...(await Promise.all(given))];
  const texts = await Promise.all(files.map((file) => textOf(file)));
  return texts.flatMap((text = '') => linesOf(text)).map(({ text }) => text);
}

async function configured(tree: Tree, given: string, option: string): Promise<FileEntry> {
  const path = inContext(given);
  const file = path === undefined ? undefined : await followed(tree, path);
  if (file) return file;
  throw misconfigured(option, `there is no file ${given} in the context`);
}

function isSectioned(path: string): boolean {
  return /\.ya?ml$/i.test(path);
}

function isLined(path: string): boolean {
  return !isSectioned(path);
}
