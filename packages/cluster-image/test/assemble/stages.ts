import { type Content, digestContent, parsePlatform } from '@cluster-image/oci';
import { directory, type PlanEntry } from '@cluster-image/storage';
import {
  type EarlierStage,
  type Evaluated,
  type EvaluateOptions,
  evaluate,
  type Start,
} from '../../src/assemble/evaluate.ts';
import { contextSource, type Source } from '../../src/assemble/source.ts';
import { stagesOf } from '../../src/kubefile/bases.ts';
import { parseKubefile } from '../../src/kubefile/kubefile.ts';

export interface Given {
  readonly source?: Source;
  readonly buildArguments?: Readonly<Record<string, string>>;
  readonly platform?: string;
  /** What the first stage begins with. */
  readonly start?: Start;
  readonly keep?: EvaluateOptions['keep'];
  readonly isLenient?: boolean;
}

/** What the last stage of a build file comes to. */
export async function evaluated(text: string, given: Given = {}): Promise<Evaluated> {
  const {
    source = new Map(),
    buildArguments = {},
    platform = 'linux/amd64',
    keep = keepNothing,
    isLenient = false,
  } = given;
  const kubefile = parseKubefile('Kubefile', text);
  const empty: Start = { config: {}, files: new Map() };
  const done: EarlierStage[] = [];
  for (const stage of stagesOf(kubefile, buildArguments)) {
    const { base, name } = stage;
    const earlier = base.kind === 'stage' ? done[base.index]?.evaluated : undefined;
    const start = earlier ?? (done.length === 0 ? given.start : undefined) ?? empty;
    const options = {
      kubefile,
      platform: parsePlatform(platform),
      buildArguments,
      source,
      keep,
      isLenient,
    };
    done.push({ name, evaluated: await evaluate(stage, start, done, options) });
  }
  const last = done.at(-1);
  if (!last) throw new Error('no stage');
  return last.evaluated;
}

async function keepNothing(content: Content) {
  return { digest: await digestContent(content), size: content.size };
}

/** A directory as what `COPY` copies from. */
export function sourceOf(root: string, ignoreText = ''): Promise<Source> {
  return contextSource((skip) => directory(root, skip), ignoreText, []);
}

/** A line for each entry, sorted: type, mode, owner, path, and where a link leads. */
export function listing(files: ReadonlyMap<string, PlanEntry>): readonly string[] {
  return [...files.values()]
    .sort((a, b) => (a.path < b.path ? -1 : 1))
    .map((entry) => {
      const mode = entry.type === 'symlink' ? '' : entry.mode.toString(8);
      const owner = 'owner' in entry && entry.owner ? `${entry.owner.uid}:${entry.owner.gid}` : '';
      const target = entry.type === 'symlink' ? `-> ${entry.target}` : '';
      return [entry.type[0], mode, owner, `/${entry.path}`, target].filter(Boolean).join(' ');
    });
}
