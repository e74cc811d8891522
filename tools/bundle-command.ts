import { readdirSync, readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { rolldown } from 'rolldown';

// The command starts in half the time when it is a few files instead of some hundred. What other
// people wrote of it is in there too, so their licences go along.

const input = {
  run: 'packages/cluster-image/dist/command/run.js',
  'digest-worker': 'packages/storage/dist/digest-worker.js',
};
const dir = 'packages/cluster-image/dist/bin';

await rm(dir, { recursive: true, force: true });
const bundle = await rolldown({
  input,
  platform: 'node',
  // A package that has both is taken as modules: what finds its parts at run time cannot be bundled.
  resolve: { mainFields: ['module', 'main'] },
});
const { output } = await bundle.write({ dir, format: 'esm', chunkFileNames: '[name].js' });
await bundle.close();
const modules = output.flatMap((chunk) => (chunk.type === 'chunk' ? chunk.moduleIds : []));
await writeFile(`${dir}/licenses.txt`, licenses(modules));

/** The licences of the packages that these modules are of. */
function licenses(modules: readonly string[]): string {
  const roots = modules.flatMap((path) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path) ?? []);
  return [...new Set(roots)].sort().map(license).join('\n\n');
}

function license(root: string): string {
  const { name, version, license } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'));
  const file = readdirSync(root).find((path) => /^licen[cs]e/i.test(path));
  const text = file === undefined ? '' : `\n\n${readFileSync(`${root}/${file}`, 'utf8').trim()}`;
  return `${name} ${version} (${license})${text}\n`;
}
