import { z } from 'zod';
import type { Content } from './content.ts';
import { readVerified } from './content.ts';
import type { Digest } from './digest.ts';
import { OciError } from './error.ts';
import { jsonOf } from './json.ts';
import { configLimit, type Descriptor } from './manifest.ts';
import { platformSchema } from './platform.ts';

const words = z.array(z.string()).nullish();
const set = z.record(z.string(), z.looseObject({})).nullish();

/** Image config; docker writes null where OCI leaves a field out. */
export const imageConfigSchema = platformSchema.extend({
  created: z.string().nullish(),
  config: z
    .looseObject({
      User: z.string().nullish(),
      ExposedPorts: set,
      Env: words,
      Entrypoint: words,
      Cmd: words,
      Volumes: set,
      WorkingDir: z.string().nullish(),
      Labels: z.record(z.string(), z.string()).nullish(),
      StopSignal: z.string().nullish(),
    })
    .nullish(),
  rootfs: z.looseObject({ type: z.literal('layers'), diff_ids: z.array(z.string()).nullish() }),
  history: z
    .array(
      z.looseObject({
        created: z.string().nullish(),
        created_by: z.string().nullish(),
        comment: z.string().nullish(),
        empty_layer: z.boolean().nullish(),
      }),
    )
    .nullish(),
});

/** https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md */
export type ImageConfig = Readonly<z.infer<typeof imageConfigSchema>>;

/** Reads and checks the config that a manifest points at. Throws MANIFEST_INVALID, DIGEST_MISMATCH. */
export async function readConfig(
  content: Content,
  descriptor: Descriptor,
  what: string,
): Promise<ImageConfig> {
  const body = await readVerified(content, descriptor.digest, configLimit, `config of ${what}`);
  return parseConfig(body, descriptor.digest, what);
}

export function parseConfig(body: Uint8Array, digest: Digest, what: string): ImageConfig {
  const parsed = imageConfigSchema.safeParse(jsonOf(body));
  if (parsed.success) return parsed.data;
  throw new OciError(
    'MANIFEST_INVALID',
    `config ${digest} of ${what}: ${z.prettifyError(parsed.error)}`,
    { cause: parsed.error },
  );
}
