import { bytes, readAll } from '@cluster-image/oci';
import {
  type BlobSource,
  soleRepository,
  type TarEntry,
  tarball,
  virtualRegistry,
} from '@cluster-image/storage';
import { type ImageFixture, imageFixture, noise } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { openIndex } from '../../src/cluster-index.ts';
import { type Cluster, clusterOf } from '../cluster.ts';
import { contextDirectory } from '../context.ts';
import { assembled, configIn, manifestIn, unpacked } from './assembly.ts';

const app = 'docker.io/acme/app:1';
const base = 'docker.io/acme/base:1';
const made = 'localhost/cluster-image/docker.io/acme/cluster:1';

const file = (path: string): TarEntry => ({
  type: 'file',
  path,
  mode: 0o600,
  content: bytes(noise(path, 100)),
});

const directory = (path: string): TarEntry => ({ type: 'directory', path, mode: 0o755 });

/** What an engine would have made, with that in its layer. */
async function madeOf(entries: readonly TarEntry[]): Promise<ImageFixture> {
  const tar = tarball(entries);
  return imageFixture({
    seed: 'made',
    layers: [await readAll(tar, tar.size)],
    config: { config: { WorkingDir: '/srv', Cmd: ['run'], Healthcheck: { Test: ['CMD', 'a'] } } },
  });
}

/** A cluster whose build file an engine has followed. */
async function clusterFor(
  kubefile: string,
  entries: readonly TarEntry[] = [file('notes')],
): Promise<Cluster> {
  const root = await contextDirectory({ Kubefile: kubefile, 'charts/a': 'a' });
  const images = {
    [app]: imageFixture({ seed: 'app', layers: [500] }),
    [base]: imageFixture({ seed: 'base', config: { config: { WorkingDir: '/opt' } } }),
    [made]: await madeOf(entries),
  };
  const cluster = await clusterOf(images, { root, bases: [base, made] });
  await cluster.fill();
  return cluster;
}

/** Where the tag of the image inside is. */
async function tagsIn(cluster: Cluster): Promise<readonly string[]> {
  const tree = await unpacked(await assembled(cluster, { made }), cluster);
  const paths: string[] = [];
  for await (const { path } of tree.entries()) {
    if (path.endsWith('/_manifests/tags/1/current/link')) paths.push(path);
  }
  return paths;
}

const inRegistry = 'docker/registry/v2/repositories/acme/app/_manifests/tags/1/current/link';

describe('upon what an engine has made of a build file', () => {
  test.each([
    ['at /registry, where it does not copy them', 'FROM scratch\nRUN a', 'registry'],
    ['where it copies them', 'FROM scratch\nRUN a\nCOPY registry /srv/images', 'srv/images'],
    ['below what it copies whole', 'FROM scratch\nRUN a\nCOPY . /all/', 'all/registry'],
    ['below where it is', 'FROM scratch\nWORKDIR /w\nRUN a\nCOPY registry r', 'w/r'],
    ['below where its base is', `FROM ${base}\nRUN a\nCOPY registry r`, 'opt/r'],
    [
      'that it copies from an earlier stage',
      'FROM scratch AS one\nCOPY registry /r\nRUN a\nFROM scratch\nCOPY --from=one /r /two',
      'two',
    ],
    ['of a stage that it goes on with', `FROM ${base} AS one\nCOPY registry /r\nFROM one`, 'r'],
  ])('there are the images %s', async (_, kubefile, where) => {
    expect(await tagsIn(await clusterFor(kubefile))).toEqual([`${where}/${inRegistry}`]);
  });

  test('is nothing but the images', async () => {
    const written = 'COPY <<EOF /notes\nother\nEOF';
    const kubefile = `FROM ${base}\nWORKDIR /srv\n${written}\nCOPY charts /charts\nENV A=b\nRUN a`;
    const cluster = await clusterFor(kubefile);
    const image = await assembled(cluster, { made });
    const tree = await unpacked(image, cluster);
    const top = new Set<string>();
    for await (const { path } of tree.entries()) top.add(path.split('/')[0] ?? '');
    expect([...top].sort()).toEqual(['.cluster-image', 'notes', 'registry']);
    expect(await tree.entry('notes')).toMatchObject({ mode: 0o600, content: { size: 100 } });
    expect(configIn(image).config).toEqual({
      WorkingDir: '/srv',
      Cmd: ['run'],
      Healthcheck: { Test: ['CMD', 'a'] },
    });
  });

  test.each([
    ['all', true, [file('notes')]],
    [
      'not all, where the engine has some too',
      false,
      ['registry', 'registry/docker'].map(directory),
    ],
  ])('the index tells of %s', async (_, isComplete, entries) => {
    const cluster = await clusterFor('FROM scratch\nRUN a', entries);
    const image = await assembled(cluster, { made });
    const layers = virtualRegistry(image, cluster.store.blobs);
    const blobs: BlobSource = (digest, size) => layers.blob(soleRepository, digest, size);
    expect((await openIndex(manifestIn(image), blobs, 'it'))?.isComplete).toBe(isComplete);
  });

  test('the images of a build file without any are none', async () => {
    const root = await contextDirectory({ Kubefile: 'FROM scratch\nRUN a' });
    const cluster = await clusterOf(
      { [made]: await madeOf([file('notes')]) },
      { root, bases: [made] },
    );
    await cluster.fill();
    const image = await assembled(cluster, { made });
    expect(manifestIn(image).layers).toHaveLength(1);
  });
});
