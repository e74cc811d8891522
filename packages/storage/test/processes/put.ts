import { once } from 'node:events';
import { distributionLayout, ociLayout, openStore } from '@cluster-image/storage';
import { overlapping, putSlowly } from './images.ts';
import type { Task } from './task.ts';

// put.ts LOG TASK…: once it is told to by a line, does one task after another, each in JSON.
const [log = '', ...tasks] = process.argv.slice(2);
process.stdout.write('ready\n');
await once(process.stdin, 'data');
process.stdin.unref();
for (const text of tasks) {
  const { kind, root, repository, tag, numbers }: Task = JSON.parse(text);
  const registry =
    kind === 'store'
      ? openStore(root).registry
      : kind === 'layout'
        ? ociLayout(root)
        : distributionLayout(root);
  for (const number of numbers) {
    await putSlowly(registry, repository, overlapping(number), tag ?? `v${number}`, log, root);
  }
}
