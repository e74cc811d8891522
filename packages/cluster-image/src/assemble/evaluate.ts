import { posix } from 'node:path';
import type { ImageConfig, OciError, Platform } from '@cluster-image/oci';
import type { PlanEntry } from '@cluster-image/storage';
import type { Stage } from '../kubefile/bases.ts';
import { type Instruction, type Kubefile, kubefileError } from '../kubefile/kubefile.ts';
import { expand, jsonWords, type Lookup, wordsOf } from '../kubefile/words.ts';
import { type CopyState, copyFiles } from './copy-files.ts';
import type { Source } from './source.ts';

/** The part of an image config that says how to run it. */
export type RunConfig = NonNullable<ImageConfig['config']>;

/** What a stage begins with: its base's config, and its files where that is an earlier stage. */
export interface Start {
  readonly config: RunConfig;
  readonly files: ReadonlyMap<string, PlanEntry>;
}

/** What a stage comes to. */
export interface Evaluated extends Start {
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
}

/** An earlier stage, which `COPY --from` can name. */
export interface EarlierStage {
  readonly name: string | undefined;
  readonly evaluated: Evaluated;
}

const runHint =
  'Do it before the build and COPY the result; or materialise registry/ (cluster-image sync CONTEXT registry:CONTEXT/registry) and build with docker or buildah.';

/**
 * Goes through the instructions of a stage without running anything: what they copy becomes entries,
 * what they set becomes config. What would need a container throws UNSUPPORTED, what docker would
 * not understand either INPUT_INVALID, both naming the line.
 * https://docs.docker.com/reference/dockerfile/
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
  let hasCommand = false;

  for (const instruction of stage.instructions) {
    const isCopy = instruction.keyword === 'COPY' || instruction.keyword === 'ADD';
    if (isCopy) await copyFiles(instruction, copyState(instruction));
    else {
      history.push(`${instruction.keyword} ${instruction.text}`);
      configure(instruction);
    }
  }
  if (environment.size > 0) {
    config.Env = [...environment].map(([name, value]) => `${name}=${value}`);
  }
  return { files, config, history };

  function configure(instruction: Instruction): void {
    const { keyword, text } = instruction;
    switch (keyword) {
      case 'ARG':
        declare(instruction);
        return;
      case 'ENV':
        for (const [name, value] of pairsOf(instruction)) environment.set(name, value);
        return;
      case 'LABEL':
        config.Labels = { ...config.Labels, ...Object.fromEntries(pairsOf(instruction)) };
        return;
      case 'MAINTAINER':
        config.Labels = { ...config.Labels, maintainer: text };
        return;
      case 'CMD':
        config.Cmd = [...commandOf(text)];
        hasCommand = true;
        return;
      case 'ENTRYPOINT':
        config.Entrypoint = [...commandOf(text)];
        // A base's command was meant for the base's entrypoint.
        if (!hasCommand) config.Cmd = undefined;
        return;
      case 'WORKDIR':
        config.WorkingDir = posix.resolve('/', config.WorkingDir ?? '/', expand(text, lookup));
        return;
      case 'USER':
        config.User = expand(text, lookup);
        return;
      case 'STOPSIGNAL':
        config.StopSignal = expand(text, lookup);
        return;
      case 'EXPOSE':
        for (const port of wordsOf(text, lookup)) expose(instruction, port);
        return;
      case 'VOLUME':
        for (const path of wordsOf(text, lookup))
          config.Volumes = { ...config.Volumes, [path]: {} };
        return;
      case 'RUN':
        throw failure(
          instruction,
          'UNSUPPORTED',
          'RUN needs a container, and this build runs none',
          runHint,
        );
      case 'SHELL':
      case 'HEALTHCHECK':
      case 'ONBUILD':
        throw failure(instruction, 'UNSUPPORTED', `${keyword} means nothing to a cluster image`);
      default:
        throw failure(instruction, 'INPUT_INVALID', `${keyword} is not an instruction`);
    }
  }

  function declare(instruction: Instruction): void {
    for (const [name, value] of instruction.properties) {
      const given =
        buildArguments[name] ??
        predefined.get(name) ??
        (value === undefined ? stage.globals.get(name) : expand(value, lookup));
      if (given !== undefined) declared.set(name, given);
    }
  }

  /** The pairs of `ENV` and `LABEL`; all of them see the variables as they were before. */
  function pairsOf(instruction: Instruction): readonly (readonly [string, string])[] {
    const { properties } = instruction;
    if (properties.length === 0) throw failure(instruction, 'INPUT_INVALID', 'not NAME=VALUE');
    return properties.map(([name, value]) => {
      if (value !== undefined) return [expand(name, lookup), expand(value, lookup)];
      throw failure(instruction, 'INPUT_INVALID', `${name} has no value`);
    });
  }

  function expose(instruction: Instruction, port: string): void {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(port);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? first);
    if (!match || last < first || last > 65535) {
      throw failure(instruction, 'INPUT_INVALID', `${JSON.stringify(port)} is not a port`);
    }
    const protocol = (match[3] ?? 'tcp').toLowerCase();
    for (let at = first; at <= last; at++) {
      config.ExposedPorts = { ...config.ExposedPorts, [`${at}/${protocol}`]: {} };
    }
  }

  function copyState(instruction: Instruction): CopyState {
    const source = sourceOf(instruction);
    const workingDirectory = config.WorkingDir ?? '/';
    return { kubefile, files, workingDirectory, lookup, source, keep: options.keep };
  }

  function sourceOf(instruction: Instruction): Source {
    const wanted = instruction.flags.get('from');
    if (wanted === undefined) return options.source;
    const named = earlier.find(({ name }) => name === wanted.toLowerCase());
    const found = named ?? (/^\d+$/.test(wanted) ? earlier[Number(wanted)] : undefined);
    if (found) return found.evaluated.files;
    throw failure(
      instruction,
      'UNSUPPORTED',
      `COPY --from=${wanted} takes files out of another image`,
      'Only stages of this file can be copied from; put the files into the context.',
    );
  }

  function failure(
    { line }: Instruction,
    code: 'INPUT_INVALID' | 'UNSUPPORTED',
    why: string,
    hint?: string,
  ): OciError {
    return kubefileError(kubefile, line, code, why, hint);
  }
}

function splitPair(entry: string): readonly [string, string] {
  const at = entry.indexOf('=');
  return at < 0 ? [entry, ''] : [entry.slice(0, at), entry.slice(at + 1)];
}

/** `["a", "b"]` is run as it is, anything else by the shell. */
function commandOf(text: string): readonly string[] {
  return jsonWords(text) ?? ['/bin/sh', '-c', text];
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
