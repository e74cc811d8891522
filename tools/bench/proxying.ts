import { join } from 'node:path';
import { dockerRegistry, serveCommand } from '../../e2e/support/servers.ts';
import { pushImages } from './images.ts';
import { pullAll } from './serving.ts';
import { type Finding, stopwatch } from './stopwatch.ts';

/** How fast images come out of a cache that pulls through from one upstream, when they are in it and before. */
export async function proxying(rounds: number, work: string): Promise<readonly Finding[]> {
  const watch = stopwatch();
  const upstream = await dockerRegistry(join(work, 'upstream'), work);
  try {
    await pushImages(upstream.host);
    for (let round = 1; round <= rounds; round++) await measure(round);
  } finally {
    await upstream.stop();
  }
  for (const line of watch.lines()) console.log(line);
  const ratio = (what: string): string =>
    (watch.median(`docker-registry, ${what}`) / watch.median(`serve --proxy, ${what}`)).toFixed(2);
  return [
    {
      what: 'pull-through throughput against docker-registry, warm, 1 and 8 clients',
      expected: '≥ 1 ×',
      measured: `${ratio('warm, 1 client')} × and ${ratio('warm, 8 clients')} ×`,
    },
    { what: 'the same, cold, 8 clients', expected: '', measured: `${ratio('cold, 8 clients')} ×` },
  ];

  async function measure(round: number): Promise<void> {
    const host = upstream.host;
    const theirs = await dockerRegistry(join(work, `theirs-${round}`), work, {
      upstream: `http://${host}`,
    });
    const env = { CLUSTER_IMAGE_STORE: join(work, `ours-${round}`) };
    const options = ['--proxy', '--default-upstream', host, '--plain-http', host];
    const ours = await serveCommand([], work, options, { cwd: work, env });
    for (const [who, server] of [
      ['docker-registry', theirs],
      ['serve --proxy', ours],
    ] as const) {
      await watch.time(`${who}, cold, 8 clients`, () => pullAll(server.host, 8));
      // What docker-registry keeps it keeps in the background.
      await pullAll(server.host, 8);
      await watch.time(`${who}, warm, 1 client`, () => pullAll(server.host, 1));
      await watch.time(`${who}, warm, 8 clients`, () => pullAll(server.host, 8));
    }
    await theirs.stop();
    await ours.stop();
  }
}
