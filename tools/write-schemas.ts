import { writeFileSync } from 'node:fs';
import { z } from 'zod';
import {
  continuousExecutors,
  executorOptions,
  executorSummaries,
} from '../packages/nx/dist/executors/options.js';
import { generatorOptions, generatorSummaries } from '../packages/nx/dist/generators/options.js';

// Nx wants the options of executors and generators as JSON files beside them. They are part of the
// build and made from what the code itself checks options with.

const dist = new URL('../packages/nx/dist/', import.meta.url);

function write(
  folder: string,
  options: Readonly<Record<string, z.ZodObject>>,
  summaries: Readonly<Record<string, string>>,
  extra: (name: string) => object,
): void {
  for (const [name, schema] of Object.entries(options)) {
    const { $schema: _, ...json } = z.toJSONSchema(schema, { io: 'input' });
    const text = JSON.stringify(
      {
        $schema: 'https://json-schema.org/schema',
        $id: `cluster-image-${name}`,
        title: name,
        description: summaries[name],
        ...extra(name),
        ...json,
      },
      undefined,
      2,
    );
    writeFileSync(new URL(`${folder}/${name}.schema.json`, dist), `${text}\n`);
  }
}

write('executors', executorOptions, executorSummaries, (name) => ({
  version: 2,
  ...(continuousExecutors.has(name) && { continuous: true }),
}));
write('generators', generatorOptions, generatorSummaries, () => ({}));
