import { appendFileSync } from 'node:fs';
import { createContext } from '@cluster-image/oci';
import { openStore } from '@cluster-image/storage';

// pruner.ts ROOT: removes all that nothing holds on to, again and again until it is killed.
const [root = ''] = process.argv.slice(2);
process.stdout.write('ready\n');
for (;;) {
  const { blobs } = await openStore(root).prune({ grace: 0 }, createContext());
  appendFileSync(`${root}.log`, `pruned ${blobs}\n`);
  await new Promise((resolve) => setTimeout(resolve, 5));
}
