import { OciError, referenceFrom, type Tree } from '@cluster-image/oci';
import { z } from 'zod';
import { configurationName, readConfigurationFile } from '../configuration-file.ts';
import { followed } from '../follow.ts';
import { lineOf } from '../json-text.ts';
import type { Instruction, Kubefile } from './kubefile.ts';

const word = z.string().min(1);

const copied = z.union([
  word,
  z.strictObject({
    to: word.describe('Where it goes; as a directory with a / at the end'),
    chown: word.optional().describe('Whose it is there, USER[:GROUP]'),
    chmod: word.optional().describe('Its mode there, in octal'),
  }),
]);

const noPort = 'not a port, as 8080 or "53/udp"';

const port = z.union(
  [
    z.int().min(1).max(65535),
    z.string().regex(/^\d{1,5}(?:-\d{1,5})?(?:\/(?:tcp|udp|sctp))?$/, noPort),
  ],
  { error: noPort },
);

/** A name that `ENV` and `LABEL` can set. */
const named = z.record(
  z.string().regex(/^[^\s="'\\$]+$/, 'not a name that can be set'),
  z.string(),
);

/**
 * An image that is said in `cluster-image.json` and not in a build file. Each entry means what the
 * instruction of that name does there.
 */
export const imageOptions = z.strictObject({
  from: word
    .refine(
      (text) => text === 'scratch' || text.includes('$') || referenceFrom(text) !== undefined,
      {
        error: 'not the name of an image',
      },
    )
    .default('scratch')
    .describe('The image it is built upon; the lockfile pins it'),
  files: z
    .record(word, copied)
    .default({})
    .describe('Files and directories of the project, and where in the image they go'),
  workdir: word
    .optional()
    .describe('The directory it runs in, and that other paths are relative to'),
  env: named.default({}).describe('Environment variables'),
  labels: named.default({}).describe('Labels'),
  user: word.optional().describe('Whom it runs as, USER[:GROUP]'),
  ports: z.array(port).default([]).describe('Ports it listens on'),
  volumes: z.array(word).default([]).describe('Directories that are mounted'),
  entrypoint: z.array(z.string()).optional().describe('What it runs, a word at a time'),
  cmd: z.array(z.string()).optional().describe('Arguments unless it is given others'),
  stopSignal: word.optional().describe('The signal that ends it'),
});

type ImageOptions = z.infer<typeof imageOptions>;

const configuration = z.looseObject({ image: imageOptions.optional() });

/**
 * What the configuration of a context says of its image, as a build file. Undefined where it says nothing
 * of one. Throws INPUT_INVALID, with the line.
 */
export async function findImageOptions(tree: Tree): Promise<Kubefile | undefined> {
  const file = await followed(tree, configurationName);
  if (!file) return undefined;
  const read = await readConfigurationFile(file.content, configuration, configurationName);
  const { image } = read.value;
  if (!image) return undefined;
  const lineAt = (...path: readonly string[]): number => lineOf(read.text, ['image', ...path]) ?? 1;
  return {
    path: configurationName,
    escapeSign: '\\',
    instructions: instructionsOf(image, lineAt),
  };
}

/** Which of an image's entries a line is about. */
type LineAt = (...path: readonly string[]) => number;

function instructionsOf(image: ImageOptions, lineAt: LineAt): readonly Instruction[] {
  const { from, files, workdir, env, labels, user, ports, volumes, stopSignal } = image;
  const said = (keyword: string, text: string | undefined, key: string): readonly Instruction[] =>
    text === undefined ? [] : [instruction(keyword, text, lineAt(key))];
  const words = (keyword: string, list: readonly string[] | undefined, key: string) =>
    said(keyword, list && JSON.stringify(list), key);
  const argumentsOf = argumentInstruction(image, lineAt());
  return [
    ...argumentsOf,
    instruction('FROM', from, lineAt('from')),
    ...argumentsOf,
    ...said('WORKDIR', workdir && quoted(workdir), 'workdir'),
    ...pairs('ENV', env, (name) => lineAt('env', name)),
    ...pairs('LABEL', labels, (name) => lineAt('labels', name)),
    ...Object.entries(files).map(([source, target]) =>
      copyInstruction(source, target, lineAt('files', source)),
    ),
    ...said('USER', user && quoted(user), 'user'),
    ...(ports.length > 0 ? said('EXPOSE', ports.join(' '), 'ports') : []),
    ...(volumes.length > 0 ? words('VOLUME', volumes, 'volumes') : []),
    ...said('STOPSIGNAL', stopSignal && quoted(stopSignal), 'stopSignal'),
    ...words('ENTRYPOINT', image.entrypoint, 'entrypoint'),
    ...words('CMD', image.cmd, 'cmd'),
  ];
}

function instruction(
  keyword: string,
  text: string,
  line: number,
  rest: Partial<Pick<Instruction, 'flags' | 'properties'>> = {},
): Instruction {
  return { keyword, line, text, flags: new Map(), properties: [], heredocs: new Map(), ...rest };
}

/** Variables of the platform and build arguments, as far as they are mentioned, need no declaration here. */
function argumentInstruction(image: ImageOptions, line: number): readonly Instruction[] {
  const { entrypoint: _, cmd: __, ...expanded } = image;
  const mentioned = JSON.stringify(expanded).matchAll(/\$\{?([A-Za-z_]\w*)/g);
  const names = [...new Set([...mentioned].map(([, name = '']) => name))].sort();
  const properties = names.map((name) => [name, undefined] as const);
  return names.length > 0 ? [instruction('ARG', names.join(' '), line, { properties })] : [];
}

function pairs(
  keyword: string,
  values: Readonly<Record<string, string>>,
  lineOf: (name: string) => number,
): readonly Instruction[] {
  return Object.entries(values).map(([name, value]) => {
    const text = quoted(value);
    return instruction(keyword, `${name}=${text}`, lineOf(name), { properties: [[name, text]] });
  });
}

function copyInstruction(
  source: string,
  target: z.infer<typeof copied>,
  line: number,
): Instruction {
  const { to, ...flags } = typeof target === 'string' ? { to: target } : target;
  const given = Object.entries(flags).filter(([, value]) => value !== undefined);
  return instruction('COPY', JSON.stringify([source, to]), line, { flags: new Map(given) });
}

/** A text as one word in which only variables mean something; `\$` is a dollar. */
function quoted(text: string): string {
  return `"${text.replace(/"|\\(?!\$)/g, '\\$&')}"`;
}

/** An image is said in one place. */
export function saidTwice(file: string, { instructions }: Kubefile): OciError {
  const line = instructions[0]?.line ?? 1;
  return new OciError(
    'INPUT_INVALID',
    `${configurationName}:${line}: image: there is a ${file} as well`,
    { hint: 'An image is said in one of them; remove the other.' },
  );
}
