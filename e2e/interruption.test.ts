import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ClusterContext, clusterContext } from './support/cluster.ts';
import { clusterImage, command, result, run } from './support/run.ts';

let work: string;
let cluster: ClusterContext;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'cluster-image-e2e-'));
  cluster = await clusterContext(work);
  await result(['lock', cluster.path], { env: cluster.env });
});

afterAll(async () => {
  await cluster?.upstream.stop();
  await rm(work, { recursive: true, force: true });
});

describe('a cache that is killed', () => {
  // Each a moment in the life of a store: the n-th time the process asks for this.
  const moments = [
    ...[1, 2, 3, 5, 8, 13, 21, 34].map((n) => ['fsync', n] as const),
    ...[1, 2, 3, 5, 8, 13, 21, 34].map((n) => ['rename', n] as const),
    ...[1, 4, 9].map((n) => ['mkdir', n] as const),
  ];

  test.each(moments)(
    'at its %s number %i leaves a sound store, and the next run completes it',
    async (call, n) => {
      const store = join(work, `killed-${call}-${n}`);
      // One thread, so that the n-th call of the process is the n-th call of a thread, which strace counts.
      const env = {
        CLUSTER_IMAGE_STORE: store,
        UV_USE_IO_URING: '0',
        UV_THREADPOOL_SIZE: '1',
      };
      const killed = await run(
        'strace',
        [
          ...['-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`],
          ...['-e', `inject=${call}:signal=KILL:when=${n}`],
          ...[process.execPath, command, 'cache', cluster.path],
        ],
        { env },
      );
      expect(killed.signal ?? killed.code).toBe('SIGKILL');
      const left = await result(['verify'], { env });
      expect(left.problems).toEqual([]);
      const cached = await result(['cache', cluster.path], { env });
      expect(cached.images).toHaveLength(cluster.images.length);
      const whole = await result(['verify'], { env });
      expect(whole.problems).toEqual([]);
      expect(whole.blobs).toBeGreaterThan(left.blobs);
      expect(await staged(store)).toEqual([]);
    },
  );

  test('goes on in the middle of a blob', async () => {
    const env = { CLUSTER_IMAGE_STORE: join(work, 'resumed') };
    let half = 0;
    const interrupted = await clusterImage(['cache', cluster.path, '--jobs', '1'], {
      env,
      started(child) {
        const watch = setInterval(async () => {
          for (const name of await staged(env.CLUSTER_IMAGE_STORE)) {
            const path = join(env.CLUSTER_IMAGE_STORE, '.staging', name);
            const found = await stat(path).catch(() => undefined);
            if (found && found.size >= 1_000_000) {
              half = found.size;
              child.kill('SIGKILL');
            }
          }
        }, 1);
        child.once('close', () => clearInterval(watch));
      },
    });
    expect(interrupted.signal).toBe('SIGKILL');
    const empty = { CLUSTER_IMAGE_STORE: join(work, 'whole') };
    const whole = await result(['cache', cluster.path], { env: empty });
    const rest = await result(['cache', cluster.path], { env });
    expect(half).toBeGreaterThanOrEqual(1_000_000);
    expect(rest.fetched).toBeLessThanOrEqual(whole.fetched - half);
    expect((await result(['verify'], { env })).problems).toEqual([]);
  });

  test.each(['SIGINT', 'SIGTERM'] as const)(
    'by %s ends with 130 within two seconds',
    async (signal) => {
      const env = { CLUSTER_IMAGE_STORE: join(work, signal) };
      let asked = 0;
      const ended = await clusterImage(['cache', cluster.path, '--jobs', '1'], {
        env,
        started(child) {
          const watch = setInterval(async () => {
            if (asked === 0 && (await staged(env.CLUSTER_IMAGE_STORE)).length > 0) {
              asked = performance.now();
              child.kill(signal);
            }
          }, 1);
          child.once('close', () => clearInterval(watch));
        },
      });
      expect(ended.code).toBe(130);
      expect(performance.now() - asked).toBeLessThan(2_500);
      expect((await result(['verify'], { env })).problems).toEqual([]);
      const cached = await result(['cache', cluster.path], { env });
      expect(cached.images).toHaveLength(cluster.images.length);
    },
  );
});

async function staged(store: string): Promise<readonly string[]> {
  return readdir(join(store, '.staging')).catch(() => []);
}
