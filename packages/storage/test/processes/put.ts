import { distributionLayout, ociLayout, openStore } from '@cluster-image/storage';
import { overlapping, putSlowly } from './images.ts';

// put.ts KIND ROOT LOG REPOSITORY TAG NUMBER…: puts images one after another, all with one tag or each with its own.
const [kind, root = '', log = '', repository = '', tag = '', ...numbers] = process.argv.slice(2);
const registry =
  kind === 'store'
    ? openStore(root).registry
    : kind === 'layout'
      ? ociLayout(root)
      : distributionLayout(root);
process.stdout.write('ready\n');
for (const number of numbers) {
  await putSlowly(registry, repository, overlapping(Number(number)), tag || `v${number}`, log);
}
