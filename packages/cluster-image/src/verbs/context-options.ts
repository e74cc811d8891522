import { OciError } from '@cluster-image/oci';
import { z } from 'zod';
import type { Configuration } from '../configuration.ts';

/** The options of verbs that read a context. */
export const contextOptions = z.object({
  context: z.string().default('.').describe('Directory with the Kubefile, charts and manifests'),
  file: z
    .string()
    .optional()
    .describe('Build file in the context; else Sealfile, Kubefile, Dockerfile or Containerfile'),
  buildArg: z.array(z.string()).default([]).describe('Value for an ARG, NAME=VALUE'),
  bare: z
    .boolean()
    .default(false)
    .describe('Only what the build file says: not the images of charts, manifests and lists'),
});

export const platformOption = z.object({
  platform: z
    .array(z.string())
    .default([])
    .describe('Platforms, os/arch[/variant]; else those of cluster-image.json, else linux/amd64'),
});

/** Throws USAGE for what is not NAME=VALUE. */
export function buildArgumentsOf(
  given: readonly string[],
  { buildArguments = {} }: Configuration,
): Readonly<Record<string, string>> {
  const pairs = given.map((text) => {
    const at = text.indexOf('=');
    if (at > 0) return [text.slice(0, at), text.slice(at + 1)] as const;
    throw new OciError('USAGE', `--build-arg ${JSON.stringify(text)} is not NAME=VALUE`);
  });
  return { ...buildArguments, ...Object.fromEntries(pairs) };
}
