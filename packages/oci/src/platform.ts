import { z } from 'zod';
import { OciError } from './error.ts';

/**
 * Operating system and processor, as descriptors and image configs name them.
 * https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md#image-index-property-descriptions
 */
export const platformSchema = z.looseObject({
  os: z.string(),
  architecture: z.string(),
  variant: z.string().optional(),
  'os.version': z.string().optional(),
});

export type Platform = Readonly<z.infer<typeof platformSchema>>;

const synonyms: ReadonlyMap<string, string> = new Map([
  ['x86_64', 'amd64'],
  ['x86-64', 'amd64'],
  ['aarch64', 'arm64'],
  ['armhf', 'arm/v7'],
  ['armel', 'arm/v6'],
  ['i386', '386'],
]);

/** The variants that go without saying. */
const implied: ReadonlyMap<string, string> = new Map([
  ['amd64', 'v1'],
  ['arm', 'v7'],
  ['arm64', 'v8'],
]);

const word = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/** Reads `os/architecture[/variant]`. Throws PLATFORM_INVALID. */
export function parsePlatform(text: string): Platform {
  const parts = text.toLowerCase().split('/');
  const [os = '', given = ''] = parts;
  const [architecture = '', meant] = (synonyms.get(given) ?? given).split('/');
  const variant = parts[2] ?? meant;
  const bad =
    parts.length < 2 ||
    parts.length > 3 ||
    [os, architecture, ...(variant === undefined ? [] : [variant])].some(
      (part) => !word.test(part),
    );
  if (bad) {
    throw new OciError('PLATFORM_INVALID', `${JSON.stringify(text)} is not a platform`, {
      hint: 'A platform is os/architecture[/variant], for instance linux/amd64 or linux/arm/v7.',
    });
  }
  return normalizePlatform({ os, architecture, ...(variant && { variant }) });
}

/** `os/architecture[/variant]` in the spelling that `parsePlatform` gives back. */
export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant } = normalizePlatform(platform);
  return [os, architecture, ...(variant ? [variant] : [])].join('/');
}

function normalizePlatform(platform: Platform): Platform {
  const { variant, ...rest } = platform;
  return !variant || implied.get(platform.architecture) === variant ? rest : platform;
}

/** Whether an image made for `actual` is the one to take for `wanted`. */
export function matchesPlatform(wanted: Platform, actual: Platform | undefined): boolean {
  return actual !== undefined && formatPlatform(wanted) === formatPlatform(actual);
}
