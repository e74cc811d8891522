import { appendFileSync } from 'node:fs';
import { bytes, createContext, readAll } from '@cluster-image/oci';
import { openStore } from '@cluster-image/storage';
import { overlapping } from './images.ts';

// user.ts ROOT NAME ROUNDS: again and again puts an image of which others have parts, reads all of it
// as long as it uses the store, and lets go of it.
const [root = '', name = '', rounds = '1'] = process.argv.slice(2);
const repository = `team/${name}`;

for (let round = 0; round < Number(rounds); round++) {
  const store = openStore(root);
  const image = overlapping(round % 4);
  const use = await store.use(createContext());
  for (const [digest, body] of image.blobs)
    await store.registry.putBlob(repository, digest, bytes(body));
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
  await store.registry.putManifest(repository, image.root);
  for (const [digest, body] of image.blobs) {
    const blob = await store.registry.blob(repository, digest, body.length);
    const there = blob && (await readAll(blob, body.length));
    if (!there || Buffer.compare(there, body) !== 0) throw new Error(`lost ${digest}`);
  }
  if (!(await store.registry.manifest(repository, image.root.digest))) throw new Error('lost it');
  await use.end();
  appendFileSync(`${root}.log`, `${name} ${round}\n`);
}
