import { posix } from 'node:path';
import { type ImageConfig, OciError, type Platform } from '@cluster-image/oci';
import type { PlanEntry } from '@cluster-image/storage';
import { argumentOf, type Stage } from '../kubefile/bases.ts';
import { type Instruction, type Kubefile, scopeOf } from '../kubefile/kubefile.ts';
import { sealerKeywords } from '../kubefile/sealer.ts';
import { unsupported } from '../kubefile/supported.ts';
import { expand, jsonWords, type Lookup, type Scope, wordsOf } from '../kubefile/words.ts';
import { type CopyState, copyFiles, makeDirectory } from './copy-files.ts';
import type { SealerPart } from './sealer-image.ts';
import { sealerStage } from './sealer-stage.ts';
import type { Source } from './source.ts';

/** The part of an image config that says how to run it. */
export type RunConfig = NonNullable<ImageConfig['config']>;

/** What a stage begins with: its base's config, and its files where that is an earlier stage. */
export interface Start {
  readonly config: RunConfig;
  readonly files: ReadonlyMap<string, PlanEntry>;
  /** What the image below the files has at a path; absent where there is none. */
  readonly below?: CopyState['below'];
  readonly author?: string;
  /** What it is to sealer. */
  readonly sealer?: SealerPart;
}

/** What a stage comes to. */
export interface Evaluated extends Start {
  readonly sealer: SealerPart;
  /** A line for each instruction that made no file, as histories have it. */
  readonly history: readonly string[];
}

export interface EvaluateOptions {
  readonly kubefile: Kubefile;
  readonly platform: Platform;
  readonly buildArguments: Readonly<Record<string, string>>;
  /** The context, from which `COPY` takes without `--from`. */
  readonly source: Source;
  readonly keep: CopyState['keep'];
  /** Goes on after an instruction that cannot be followed, as if it were not there. */
  readonly isLenient?: boolean;
}

/** An earlier stage, which `COPY --from` can name. */
export interface EarlierStage {
  readonly name: string | undefined;
  readonly evaluated: Evaluated;
}

/**
 * Goes through the instructions of a stage without running anything: what they copy becomes entries,
 * what they set becomes config. What docker would not understand throws INPUT_INVALID, what is left
 * to docker UNSUPPORTED, both naming the line. https://docs.docker.com/reference/dockerfile/
 */
export async function evaluate(
  stage: Stage,
  start: Start,
  earlier: readonly EarlierStage[],
  options: EvaluateOptions,
): Promise<Evaluated> {
  const { kubefile, platform, buildArguments } = options;
  const files = new Map(start.files);
  const config: { -readonly [K in keyof RunConfig]: RunConfig[K] } = { ...start.config };
  const history: string[] = [];
  const environment = new Map((config.Env ?? []).map(splitPair));
  const declared = new Map<string, string>();
  const predefined = platformArguments(platform);
  const lookup: Lookup = (name) => environment.get(name) ?? declared.get(name);
  /** What `ENV` says here, and not in an image below. */
  const said = new Map(start.sealer?.environment);
  const sealer = sealerStage(start.sealer);
  let hasCommand = false;
  let { author } = start;

  for (const instruction of stage.instructions) await leniently(() => follow(instruction));
  if (environment.size > 0) {
    config.Env = [...environment].map(([name, value]) => `${name}=${value}`);
  }
  const { below } = start;
  return {
    files,
    config,
    history,
    sealer: sealer.finish(said, options.isLenient),
    ...(below && { below }),
    ...(author && { author }),
  };

  async function leniently(job: () => Promise<void>): Promise<void> {
    try {
      await job();
    } catch (error) {
      if (!options.isLenient || !(error instanceof OciError)) throw error;
    }
  }

  async function follow(instruction: Instruction): Promise<void> {
    const { keyword, text } = instruction;
    const scope = scopeOf(kubefile, instruction, lookup);
    if (text === '') throw scope.fault(`${keyword} says nothing`);
    if (keyword === 'COPY' || keyword === 'ADD') {
      await copy(instruction);
    } else if (sealerKeywords.has(keyword)) {
      history.push(`${keyword} ${text}`);
      await sealer.follow(instruction, {
        scope: scopeOf(kubefile, instruction, lookupForFiles),
        source: options.source,
        copy: (words) => copy({ ...instruction, flags: new Map(), text: JSON.stringify(words) }),
        label: (name, value) => {
          config.Labels = { ...config.Labels, [name]: value };
        },
        command: (lines) => {
          config.Cmd = [...lines];
        },
      });
    } else {
      history.push(`${keyword} ${text}`);
      configure(instruction, scope);
    }
  }

  function copy(instruction: Instruction): Promise<void> {
    const scope = scopeOf(kubefile, instruction, lookupForFiles);
    return copyFiles(instruction, copyState(instruction, scope));
  }

  /** sealer tells the architecture to what is copied, without being asked. */
  function lookupForFiles(name: string): string | undefined {
    return lookup(name) ?? (name === 'ARCH' ? platform.architecture : undefined);
  }

  function configure(instruction: Instruction, scope: Scope): void {
    const { keyword, text } = instruction;
    switch (keyword) {
      case 'ARG':
        declare(instruction, scope);
        return;
      case 'ENV':
        for (const [name, value] of pairsOf(instruction, scope)) {
          environment.set(name, value);
          said.set(name, value);
        }
        return;
      case 'LABEL':
        config.Labels = { ...config.Labels, ...Object.fromEntries(pairsOf(instruction, scope)) };
        return;
      case 'MAINTAINER':
        author = text;
        return;
      case 'CMD':
        config.Cmd = commandOf(text);
        hasCommand = true;
        sealer.tell(text);
        return;
      case 'ENTRYPOINT':
        config.Entrypoint = commandOf(text);
        // A base's command was meant for the base's entrypoint.
        if (!hasCommand) config.Cmd = undefined;
        return;
      case 'WORKDIR':
        config.WorkingDir = posix.resolve('/', config.WorkingDir ?? '/', expand(text, scope));
        // An image below may well have it, with a mode of its own.
        if (!start.below) makeDirectory(config.WorkingDir.slice(1), files);
        return;
      case 'USER':
        config.User = expand(text, scope);
        return;
      case 'STOPSIGNAL':
        config.StopSignal = expand(text, scope);
        return;
      case 'EXPOSE':
        config.ExposedPorts = {
          ...config.ExposedPorts,
          ...Object.fromEntries(wordsOf(text, scope).flatMap((word) => portsOf(word, scope))),
        };
        return;
      case 'VOLUME':
        for (const path of wordsOf(text, scope)) config.Volumes = { ...config.Volumes, [path]: {} };
        return;
      default: {
        const [why, hint] = unsupported.get(keyword) ?? [];
        if (why === undefined) throw scope.fault(`${keyword} is not an instruction`);
        throw scope.fault(why, hint, 'UNSUPPORTED');
      }
    }
  }

  function declare({ properties }: Instruction, scope: Scope): void {
    for (const [name, value] of properties) {
      const fallback =
        value === undefined
          ? (stage.globals.get(name) ?? predefined.get(name))
          : expand(value, scope);
      const given = argumentOf(buildArguments, name) ?? fallback;
      if (given !== undefined) declared.set(name, given);
    }
  }

  /** The pairs of `ENV` and `LABEL`; all of them see the variables as they were before. */
  function pairsOf(
    { properties }: Instruction,
    scope: Scope,
  ): readonly (readonly [string, string])[] {
    return properties.map(([name, value]) => {
      if (value === undefined) throw scope.fault(`${name} has no value`, 'Write NAME=VALUE.');
      const expanded = expand(name, scope);
      if (expanded === '') throw scope.fault('there is a value without a name');
      return [expanded, expand(value, scope)];
    });
  }

  function copyState(instruction: Instruction, scope: Scope): CopyState {
    const source = sourceOf(instruction, scope);
    const workingDirectory = config.WorkingDir ?? '/';
    const { below } = start;
    return { files, workingDirectory, scope, source, keep: options.keep, ...(below && { below }) };
  }

  function sourceOf({ flags }: Instruction, scope: Scope): Source {
    const from = flags.get('from');
    if (from === undefined) return options.source;
    const wanted = expand(from, scope);
    const named = earlier.find(({ name }) => name === wanted.toLowerCase());
    const found = named ?? (/^\d+$/.test(wanted) ? earlier[Number(wanted)] : undefined);
    if (found) return found.evaluated.files;
    throw scope.fault(
      `COPY --from=${wanted} takes files out of another image`,
      'Only stages of this file can be copied from; put the files into the context.',
      'UNSUPPORTED',
    );
  }
}

function splitPair(entry: string): readonly [string, string] {
  const at = entry.indexOf('=');
  return at < 0 ? [entry, ''] : [entry.slice(0, at), entry.slice(at + 1)];
}

/** A variable may bring several ports at once. */
function portsOf(
  text: string,
  { fault }: Scope,
): readonly (readonly [string, Record<string, never>])[] {
  return text.split(/\s+/).flatMap((port) => {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(port);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? first);
    if (!match || last < first || last > 65535) {
      throw fault(`${JSON.stringify(port)} is not a port`);
    }
    const protocol = (match[3] ?? 'tcp').toLowerCase();
    const range = Array.from({ length: last - first + 1 }, (_, at) => first + at);
    return range.map((number) => [`${number}/${protocol}`, {}] as const);
  });
}

/** `["a", "b"]` is run as it is, anything else by the shell; `[]` is no command. */
function commandOf(text: string): string[] | undefined {
  const words = jsonWords(text) ?? ['/bin/sh', '-c', text];
  return words.length > 0 ? [...words] : undefined;
}

/** https://docs.docker.com/reference/dockerfile/#automatic-platform-args-in-the-global-scope */
function platformArguments({ os, architecture, variant }: Platform): ReadonlyMap<string, string> {
  return new Map([
    ['TARGETPLATFORM', [os, architecture, ...(variant ? [variant] : [])].join('/')],
    ['TARGETOS', os],
    ['TARGETARCH', architecture],
    ['TARGETVARIANT', variant ?? ''],
  ]);
}
