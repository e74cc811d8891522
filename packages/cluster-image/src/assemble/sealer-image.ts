import { compareBytes, jsonOf, OciError, type Platform } from '@cluster-image/oci';
import { z } from 'zod';
import type { Application } from './applications.ts';

/** What kind of image sealer takes it for: one that installs Kubernetes, or applications only. */
export const sealerImageTypes = ['kube-installer', 'app-installer'] as const;

export type SealerImageType = (typeof sealerImageTypes)[number];

/** Annotations of an image's manifest by which sealer knows what is in it. */
export const extensionAnnotation = 'sealer.image.extension';
export const imagesAnnotation = 'sealer.image.container.images';

/** An image inside, and the application that it is for, if it is for one. */
export interface ImageOfApplication {
  readonly image: string;
  readonly application?: string | undefined;
}

/** What an image is to sealer. */
export interface SealerPart {
  /** Whether the build file, or what it builds upon, has anything that only sealer knows. */
  readonly isMeant: boolean;
  readonly applications: ReadonlyMap<string, Application>;
  /** Of `ENV`. */
  readonly environment: ReadonlyMap<string, string>;
  /** Names of the applications that are launched. */
  readonly launched: readonly string[];
  /** Lines for the shell that are run when the cluster is up. */
  readonly commands: readonly string[];
  /** What launches the applications and is run, as the build file says it; lines counted from 1. */
  readonly lines: readonly { readonly text: string; readonly line: number }[];
  /** What lies in the images below. */
  readonly images: readonly ImageOfApplication[];
}

/** What may be left out may be null as well, to the JSON of Go. */
const strings = z.array(z.string()).nullish();

const extensionSchema = z.object({
  applications: z
    .array(
      z.object({
        name: z.string(),
        type: z.enum(['helm', 'kube', 'shell', '']).nullish(),
        files: strings,
        version: z.string().nullish(),
        env: z.record(z.string(), z.string()).nullish(),
        cmds: strings,
      }),
    )
    .nullish(),
});

const imagesSchema = z.array(z.object({ image: z.string(), appName: z.string().nullish() }));

/**
 * What one builds upon when the base is an image of sealer's: its applications and images. What is
 * launched, and the variables, are each build file's own. Undefined for another image.
 *
 * @throws MANIFEST_INVALID for annotations that sealer could not read
 */
export function sealerBase(
  annotations: Readonly<Record<string, string>>,
  what: string,
): SealerPart | undefined {
  const extension = read(annotations, extensionAnnotation, extensionSchema, what);
  if (!extension) return undefined;
  const applications = (extension.applications ?? []).map(
    ({ name, type, files, version, env, cmds }): Application => ({
      name,
      version: version ?? 'v1',
      ...(type && { type }),
      ...(files && { files }),
      ...(env && { env }),
      ...(cmds && { cmds }),
    }),
  );
  const images = read(annotations, imagesAnnotation, imagesSchema, what) ?? [];
  return {
    isMeant: true,
    applications: new Map(applications.map((application) => [application.name, application])),
    environment: new Map(),
    launched: [],
    commands: [],
    lines: [],
    images: images.map(({ image, appName }) => ({ image, application: appName || undefined })),
  };
}

function read<T>(
  annotations: Readonly<Record<string, string>>,
  name: string,
  schema: z.ZodType<T>,
  what: string,
): T | undefined {
  const text = Object.hasOwn(annotations, name) ? annotations[name] : undefined;
  if (!text) return undefined;
  const parsed = schema.safeParse(jsonOf(text));
  if (parsed.success) return parsed.data;
  throw new OciError('MANIFEST_INVALID', `${what}: its annotation ${name} cannot be read`, {
    cause: parsed.error,
  });
}

/**
 * The annotations of an image that sealer is to know, with the fields that its `inspect` and `run`
 * read, in their order there. The same for the same input.
 * https://github.com/sealerio/sealer/blob/main/pkg/define/image/v1/sealer_image.go
 *
 * @param images what is inside, beside what the images below have
 */
export function sealerAnnotations(
  part: SealerPart,
  type: SealerImageType,
  images: readonly ImageOfApplication[],
  platform: Platform,
): Readonly<Record<string, string>> {
  const { applications, environment, launched, commands } = part;
  const extension = {
    // Who built it is told, but nobody reads it; a version would change all images with each release.
    buildClient: { sealerVersion: 'cluster-image', buildahVersion: '' },
    schemaVersion: 'v1alpha1',
    type,
    applications: filled([...applications.values()].map(described)),
    env: filledRecord(Object.fromEntries(environment)),
    launch: { cmds: filled(commands), app_names: filled(launched) },
  };
  const listed = imageList([...part.images, ...images], platform);
  return {
    [extensionAnnotation]: JSON.stringify(extension),
    ...(listed.length > 0 && { [imagesAnnotation]: JSON.stringify(listed) }),
  };
}

function described({ name, type, files, version, env, cmds }: Application): Application {
  return {
    name,
    type,
    files: files && filled(files),
    version,
    env: env && filledRecord(env),
    cmds: cmds && filled(cmds),
  };
}

/** One entry for an image and an application, sorted by both. */
function imageList(images: readonly ImageOfApplication[], platform: Platform) {
  const { os, architecture, variant } = platform;
  const keys = new Map(
    images.map((entry) => [`${entry.image}\n${entry.application ?? ''}`, entry] as const),
  );
  return [...keys]
    .sort(([a], [b]) => compareBytes(a, b))
    .map(([, { image, application }]) => ({
      image,
      appName: application,
      platform: { architecture, os, variant },
    }));
}

function filled<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length > 0 ? list : undefined;
}

function filledRecord(
  record: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> | undefined {
  const entries = Object.entries(record).sort(([a], [b]) => compareBytes(a, b));
  return entries.length > 0 ? Object.fromEntries(entries) : undefined;
}
