import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createContext, type Digest, type Manifest } from '@cluster-image/oci';
import { layoutPaths, openStore, verifyLayout } from '@cluster-image/storage';
import {
  type ImageFixture,
  imageFixture,
  indexFixture,
  noise,
  putFixture,
} from '@cluster-image/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { aged, day } from './aged.ts';
import { unsynced } from './unsynced.ts';
import { pathsBelow } from './wreck.ts';

/** In milliseconds. */
const timeout = 120_000;

const shared = [0, 1, 2].map((at) => noise(`shared ${at}`, 100 + at));

/** Images that have layers in common, two of them for two platforms. */
const images: readonly ImageFixture[] = [
  imageFixture({ seed: 'a', layers: [shared[0] ?? 1, 40] }),
  imageFixture({ seed: 'b', layers: [shared[0] ?? 1, shared[1] ?? 1] }),
  imageFixture({ seed: 'c', layers: [shared[2] ?? 1] }),
  indexFixture(['linux/amd64', 'linux/arm64'], { seed: 'd', layers: [shared[1] ?? 1, 50] }),
  indexFixture(['linux/amd64', 'linux/arm64'], { seed: 'e', layers: [60] }),
];

const repositories = ['x.io/a', 'x.io/a/b', 'y.io/c'] as const;

/** What is done to a store before it is pruned. */
interface Step {
  readonly image: number;
  readonly repository: (typeof repositories)[number];
  readonly root: 'tag' | 'lockfile' | 'lost lockfile' | 'first child' | 'none';
  readonly isOld: boolean;
}

const steps = fc.array(
  fc.record<Step>({
    image: fc.nat(images.length - 1),
    repository: fc.constantFrom(...repositories),
    root: fc.constantFrom('tag', 'lockfile', 'lost lockfile', 'first child', 'none'),
    isOld: fc.boolean(),
  }),
  { maxLength: 7 },
);

test('what is reachable from a root or young is whole, and everything else is gone', {
  timeout,
}, async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (given) => {
      const base = mkdtempSync(join(tmpdir(), 'cluster-image-'));
      try {
        await check(join(base, 'store'), join(base, 'lock.json'), given);
      } finally {
        rmSync(base, { recursive: true });
      }
    }),
    { numRuns: 60 },
  );
});

async function check(root: string, lockfile: string, given: readonly Step[]): Promise<void> {
  const store = openStore(root, unsynced);
  writeFileSync(lockfile, '');
  const young = new Set<string>();
  const pins = [];
  for (const { image, repository, root: kind, isOld } of given) {
    const fixture = fixtureAt(image);
    await putFixture(store.registry, repository, fixture, kind === 'tag' ? 'latest' : undefined);
    const links = fixture.manifests.map(({ digest }) => layoutPaths.revision(repository, digest));
    if (!isOld) for (const link of links) young.add(join(root, link));
    const children = kind === 'first child' ? childrenOf(fixture.root).slice(0, 1) : undefined;
    const pin = { repository, digest: fixture.root.digest, children };
    if (kind === 'lockfile' || kind === 'first child') pins.push(pin);
    if (kind === 'lost lockfile') await store.remember({ path: '/lost/lock.json', pins: [pin] });
  }
  await store.remember({ path: lockfile, pins });
  // What lockfiles are used by is told by them, so the grace period cannot be longer than they are old.
  const fs = aged((path) => (young.has(path) ? -day : day), unsynced);
  const isDry = { grace: 0, isDry: true };
  const told = await openStore(root, fs).prune(isDry, createContext());
  const done = await openStore(root, fs).prune({ grace: 0 }, createContext());
  expect(done).toEqual(told);
  expect(await blobsIn(root)).toEqual(expectedOf(given));
  const report = await verifyLayout(store.registry, { sparse: true });
  expect(report.problems).toEqual([]);
  const again = await openStore(root, fs).prune({ grace: 0 }, createContext());
  expect([again.blobs, again.freed]).toEqual([0, 0]);
}

/** What has to be left, worked out in another way: all that each step holds on to, by itself. */
function expectedOf(given: readonly Step[]): readonly string[] {
  const kept = new Set<string>();
  const tags = new Map(
    given.filter(({ root }) => root === 'tag').map((step) => [step.repository, step]),
  );
  for (const step of given) {
    const { image, repository, root, isOld } = step;
    const isTagged = root === 'tag' && tags.get(repository)?.image === image;
    const isWhole = isTagged || root === 'lockfile' || !isOld;
    const fixture = fixtureAt(image);
    if (isWhole) for (const { digest } of fixture.manifests) keep(fixture, digest, kept);
    else if (root === 'first child') {
      for (const digest of [fixture.root.digest, ...childrenOf(fixture.root).slice(0, 1)]) {
        keep(fixture, digest, kept);
      }
    }
  }
  return [...kept].sort();
}

function keep(fixture: ImageFixture, digest: Digest, kept: Set<string>): void {
  kept.add(digest);
  const manifest = fixture.manifests.find((known) => known.digest === digest);
  if (manifest?.kind !== 'image') return;
  for (const part of [manifest.config, ...manifest.layers]) kept.add(part.digest);
}

function childrenOf(manifest: Manifest): readonly Digest[] {
  return manifest.kind === 'index' ? manifest.manifests.map(({ digest }) => digest) : [];
}

function fixtureAt(at: number): ImageFixture {
  const found = images[at];
  if (!found) throw new Error('no image');
  return found;
}

async function blobsIn(root: string): Promise<readonly string[]> {
  const paths = await pathsBelow(join(root, layoutPaths.blobs));
  return paths
    .filter((path) => path.endsWith('/data'))
    .map((path) => path.split('/'))
    .map(([algorithm, , hex]) => `${algorithm}:${hex}`)
    .sort();
}
