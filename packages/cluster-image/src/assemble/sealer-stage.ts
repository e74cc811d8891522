import type { Instruction } from '../kubefile/kubefile.ts';
import {
  readApp,
  readAppCommands,
  readAppEnvironment,
  readCommands,
  readLaunch,
} from '../kubefile/sealer.ts';
import { jsonWords, type Scope, wordsOf } from '../kubefile/words.ts';
import {
  type Application,
  applicationOf,
  applicationsDirectory,
  launchLine,
} from './applications.ts';
import type { SealerPart } from './sealer-image.ts';
import type { Source } from './source.ts';

/** What sealer's instructions work on, beside each other. */
export interface SealerWorkbench {
  readonly scope: Scope;
  /** The context. */
  readonly source: Source;
  /** Copies as `COPY` with these words does. */
  copy(words: readonly string[]): Promise<void>;
  label(name: string, value: string): void;
  /** Sets the lines for the shell that the image is launched with. */
  command(lines: readonly string[]): void;
}

/** Goes through sealer's instructions of a stage. */
export interface SealerStage {
  follow(instruction: Instruction, bench: SealerWorkbench): Promise<void>;
  /** A `CMD`, which sealer runs as well. */
  tell(command: string): void;
  /**
   * @param environment what `ENV` has said in this build file
   * @param isLenient lets applications pass of which nothing says how they are launched, which
   *   throw INPUT_INVALID otherwise
   */
  finish(environment: ReadonlyMap<string, string>, isLenient?: boolean): SealerPart;
}

/** What the labels of networks and storages begin with. */
const labelPrefixes = {
  CNI: 'cluster.alpha.sealer.io/kube-cni-',
  CSI: 'cluster.alpha.sealer.io/kube-csi-',
} as const;

const kubeVersionLabel = 'app.alpha.sealer.io/supported-kube-version';

/** By the rules of sealer's own builder, version 0.11. */
export function sealerStage(start: SealerPart | undefined): SealerStage {
  const applications = new Map(start?.applications);
  /** The scopes of the instructions that declare those of this stage. */
  const declared = new Map<string, Scope>();
  const environments = new Map<string, Record<string, string>>();
  const commands = new Map<string, readonly string[]>();
  const commandLines = [...(start?.commands ?? [])];
  /** Where it is said how an application is launched. */
  const launches = new Map<string, number>();
  const lines = [...(start?.lines ?? [])];
  let launched: readonly string[] = start?.launched ?? [];
  let isMeant = start?.isMeant ?? false;
  return { follow, tell, finish };

  async function follow(instruction: Instruction, bench: SealerWorkbench): Promise<void> {
    const { keyword, text, line } = instruction;
    const { scope } = bench;
    isMeant = true;
    switch (keyword) {
      case 'CNI':
      case 'CSI':
        bench.label(`${labelPrefixes[keyword]}${await declare(instruction, bench)}`, 'true');
        return;
      case 'APPENV': {
        const { name, pairs } = readAppEnvironment(text, scope);
        requireKnown(name, scope);
        environments.set(name, { ...environments.get(name), ...Object.fromEntries(pairs) });
        return;
      }
      case 'APPCMDS': {
        const said = readAppCommands(text, scope);
        requireKnown(said.name, scope);
        commands.set(said.name, said.commands);
        launches.set(said.name, line);
        return;
      }
      case 'LAUNCH':
        launched = readLaunch(text, scope);
        for (const name of launched) requireKnown(name, scope);
        bench.command(launched.flatMap((name) => lineOf(name) ?? []));
        return;
      case 'CMDS': {
        const said = readCommands(text, scope);
        commandLines.push(...said);
        lines.push(...said.map((command) => ({ text: command, line })));
        bench.command(commandLines);
        return;
      }
      case 'KUBEVERSION':
        bench.label(kubeVersionLabel, text.replace(/^(["'])(.*)\1$/, '$2'));
        return;
      default:
        await declare(instruction, bench);
    }
  }

  async function declare(
    { text, line }: Instruction,
    { scope, source, copy }: SealerWorkbench,
  ): Promise<string> {
    const { name, sources } = readApp(text, scope);
    if (declared.has(name)) {
      throw scope.fault(
        `there is an application ${name} already`,
        'Name all of its files at once.',
      );
    }
    await copy([...sources, `/${applicationsDirectory}/${name}/`]);
    const paths = wordsOf(JSON.stringify(sources), scope);
    applications.set(name, applicationOf(name, paths, source, scope));
    declared.set(name, scope);
    launches.set(name, line);
    return name;
  }

  function requireKnown(name: string, { fault }: Scope): void {
    if (applications.has(name)) return;
    const known = [...applications.keys()].join(', ');
    throw fault(
      `there is no application ${JSON.stringify(name)}`,
      known ? `There are ${known}.` : 'Declare it before, with APP.',
    );
  }

  function lineOf(name: string): string | undefined {
    const application = finished(applications.get(name));
    return application && launchLine(application);
  }

  function finished(application: Application | undefined): Application | undefined {
    if (!application) return undefined;
    const { name } = application;
    const env = environments.get(name) ?? application.env;
    return { ...application, env, cmds: commands.get(name) ?? application.cmds };
  }

  function tell(command: string): void {
    commandLines.push(...(jsonWords(command) ?? [command]));
  }

  function finish(environment: ReadonlyMap<string, string>, isLenient = false): SealerPart {
    for (const [name, scope] of isLenient ? [] : declared) {
      if (applications.get(name)?.type || commands.has(name)) continue;
      throw scope.fault(
        `nothing says how application ${name} is launched`,
        `It is no chart, and not all of it is YAML or shell scripts. Add APPCMDS ${name} ["command"].`,
      );
    }
    return {
      isMeant,
      applications: new Map(
        [...applications].flatMap(([name, known]) => {
          const application = finished(known);
          return application ? [[name, application] as const] : [];
        }),
      ),
      environment,
      launched,
      commands: commandLines,
      lines: [
        ...[...launches].flatMap(([name, line]) => {
          const text = lineOf(name);
          return text === undefined ? [] : [{ text, line }];
        }),
        ...lines,
      ],
      images: start?.images ?? [],
    };
  }
}
