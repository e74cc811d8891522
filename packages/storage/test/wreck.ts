import { dirname } from 'node:path';
import {
  blobsOf,
  type Digest,
  digestContent,
  digestOf,
  isDigest,
  type Manifest,
  type RegistryReader,
  readAll,
} from '@cluster-image/oci';
import { file, nodeFileSystem } from '@cluster-image/storage';
import { expect } from 'vitest';
import { type FileSystem, list } from '../src/file-system.ts';

/** Every path below a directory, directories with a slash at the end. */
export async function pathsBelow(root: string, fs: FileSystem = nodeFileSystem): Promise<string[]> {
  const paths: string[] = [];
  for (const name of await list(fs, root)) {
    const isDirectory = (await fs.lstat(`${root}/${name}`)).isDirectory();
    if (!isDirectory) paths.push(name);
    else {
      const below = await pathsBelow(`${root}/${name}`, fs);
      paths.push(`${name}/`, ...below.map((path) => `${name}/${path}`));
    }
  }
  return paths;
}

/** Every file below a directory with the digest of its bytes. */
export async function digestsBelow(
  root: string,
  fs: FileSystem = nodeFileSystem,
): Promise<Record<string, Digest>> {
  const digests: Record<string, Digest> = {};
  for (const path of await pathsBelow(root, fs)) {
    if (!path.endsWith('/')) digests[path] = digestOf(await bytesOf(`${root}/${path}`, fs));
  }
  return digests;
}

/** What writing left behind: staged files and turns. */
export async function leftBelow(root: string, fs: FileSystem = nodeFileSystem): Promise<string[]> {
  return (await pathsBelow(root, fs)).filter((path) => /(\.staging\/.|\.part~)/.test(path));
}

/** Makes what this process left behind that of one that is gone, and whose pid is in use again. */
export async function bury(root: string, fs: FileSystem = nodeFileSystem): Promise<void> {
  for (const path of await leftBelow(root, fs)) {
    const absolute = `${root}/${path}`;
    if (path.endsWith('.turn')) {
      const holder = await fs.readlink(absolute);
      await fs.rm(absolute, { force: true });
      await fs.symlink(holder.replace(/~\d+$/, '~1'), absolute);
    } else {
      await fs.rename(absolute, absolute.replace(/~(\d+)~\d+~([^~/]+)$/, '~$1~1~$2'));
    }
  }
}

/**
 * Asserts that everything in a registry directory is whole: blobs are their names, links name what is
 * there (or may name what is not, with `mayDangle`).
 */
export async function expectSound(
  root: string,
  fs: FileSystem = nodeFileSystem,
  { mayDangle = false }: { readonly mayDangle?: boolean } = {},
): Promise<void> {
  const registry = `${root}/docker/registry/v2`;
  const paths = await pathsBelow(registry, fs);
  const blobs = new Set<string>();
  const wrong = paths.filter((path) => !/\/(data|link|)$/.test(path));
  for (const path of paths.filter((path) => path.endsWith('/data'))) {
    const digest = digestOf(await bytesOf(`${registry}/${path}`, fs));
    const hex = digest.slice(7);
    const isClosed = ((await fs.lstat(`${registry}/${path}`)).mode & 0o777) === 0o444;
    const isNamed = path === `blobs/sha256/${hex.slice(0, 2)}/${hex}/data`;
    if (!isClosed || !isNamed) wrong.push(path);
    blobs.add(digest);
  }
  for (const path of paths.filter((path) => path.endsWith('/link'))) {
    const link = await fs.readFile(`${registry}/${path}`, 'utf8');
    const isNamed = path.endsWith('/current/link') || `sha256:${dirname(path).slice(-64)}` === link;
    if (!isDigest(link) || !isNamed || !(mayDangle || blobs.has(link))) wrong.push(path);
  }
  expect(wrong).toEqual([]);
}

/** The digest that a tag stands for, once all that belongs to it was read and hashed; undefined for no tag. */
export async function wholeTag(
  registry: RegistryReader,
  repository: string,
  tag: string,
): Promise<Digest | undefined> {
  const found = await registry.resolve(repository, tag);
  if (!found) return undefined;
  await expectWhole(registry, repository, found.digest);
  return found.digest;
}

async function expectWhole(
  registry: RegistryReader,
  repository: string,
  digest: Digest,
): Promise<Manifest> {
  const manifest = await registry.manifest(repository, digest);
  if (!manifest) throw new Error(`no manifest ${digest}`);
  if (manifest.kind === 'index') {
    for (const child of manifest.manifests) await expectWhole(registry, repository, child.digest);
    return manifest;
  }
  for (const { digest, size } of blobsOf(manifest)) {
    const blob = await registry.blob(repository, digest, size);
    if (!blob) throw new Error(`no blob ${digest}`);
    const actual = { size: blob.size, digest: await digestContent(blob) };
    if (actual.size !== size || actual.digest !== digest) expect(actual).toEqual({ size, digest });
  }
  return manifest;
}

async function bytesOf(path: string, fs: FileSystem): Promise<Uint8Array> {
  const content = await file(path, fs);
  if (!content) throw new Error(`no file ${path}`);
  return readAll(content, Number.POSITIVE_INFINITY);
}
