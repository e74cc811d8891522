import { type Kubefile, kubefileError } from './kubefile.ts';
import { jsonWords, type Scope, splitWords } from './words.ts';

/**
 * The instructions that only sealer has.
 * https://github.com/sealerio/sealer/blob/main/docs/design/kubefile_alpha.md
 */
export const sealerKeywords: ReadonlySet<string> = new Set([
  'APP',
  'APPENV',
  'APPCMDS',
  'LAUNCH',
  'CMDS',
  'CNI',
  'CSI',
  'KUBEVERSION',
]);

/** `APP name source…`, and `CNI` and `CSI` alike. */
export interface AppInstruction {
  readonly name: string;
  /** Paths in the context, as they are written, without `local://`. */
  readonly sources: readonly string[];
}

/** Throws INPUT_INVALID for what sealer would not understand, UNSUPPORTED for what has to be fetched. */
export function readApp(text: string, scope: Scope): AppInstruction {
  const [name = '', ...words] = jsonWords(text) ?? splitWords(text, scope.escapeSign);
  // It becomes the name of a directory, and part of commands.
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) {
    throw scope.fault(
      `${JSON.stringify(name)} is not the name of an application`,
      'Letters, digits, dots, dashes and underscores make one.',
    );
  }
  if (words.length === 0) {
    throw scope.fault(`application ${name} has no files`, 'Give it some: local://PATH.');
  }
  return { name, sources: words.map((word) => localPath(word, scope)) };
}

function localPath(word: string, { fault }: Scope): string {
  if (/^https?:\/\//.test(word)) {
    throw fault(
      `${word} would have to be fetched during the build`,
      'Download it into the context and name it as local://PATH, so that the build depends on nothing but the repository.',
      'UNSUPPORTED',
    );
  }
  const [, path] = /^local:\/\/(.+)$/.exec(word) ?? [];
  if (path === undefined) throw fault(`${word} is not local://PATH`);
  if (/[*?[\\]/.test(path)) {
    throw fault(
      `${word} is a pattern`,
      'An application takes files and directories by their names.',
    );
  }
  return path;
}

/** `APPENV name K=V…`: pairs as they are written, as sealer has them. */
export function readAppEnvironment(
  text: string,
  scope: Scope,
): { readonly name: string; readonly pairs: readonly (readonly [string, string])[] } {
  const [name = '', ...words] = jsonWords(text) ?? text.split(/\s+/);
  if (words.length === 0) throw scope.fault('not APPENV name NAME=VALUE…');
  const pairs = words.map((word) => {
    const at = word.indexOf('=');
    if (at > 0) return [word.slice(0, at), word.slice(at + 1)] as const;
    throw scope.fault(
      `${JSON.stringify(word)} is not NAME=VALUE`,
      'A value with spaces needs the form APPENV ["name", "NAME=VALUE"].',
    );
  });
  return { name, pairs };
}

/** `APPCMDS name ["…"]`: what makes up one command. */
export function readAppCommands(
  text: string,
  scope: Scope,
): { readonly name: string; readonly commands: readonly string[] } {
  const [, name = '', list = ''] = /^(\S+)\s+([\s\S]+)$/.exec(text) ?? [];
  const commands = jsonWords(list);
  if (!commands || commands.length === 0) throw scope.fault('not APPCMDS name ["command", …]');
  return { name, commands };
}

/** `LAUNCH name…` or `LAUNCH ["name", …]`. */
export function readLaunch(text: string, scope: Scope): readonly string[] {
  const names = jsonWords(text) ?? (text.startsWith('[') ? [] : text.split(/\s+/));
  if (names.length === 0) throw scope.fault('not LAUNCH name… or LAUNCH ["name", …]');
  return names.map((name) => name.trim());
}

/** `CMDS ["…"]`: each a line for the shell. */
export function readCommands(text: string, scope: Scope): readonly string[] {
  const commands = jsonWords(text);
  if (!commands || commands.length === 0) throw scope.fault('not CMDS ["command", …]');
  return commands;
}

/** Throws INPUT_INVALID where `LAUNCH` or `CMDS` is not the last instruction, or stands beside `CMD`. */
export function requireLaunchAtEnd(kubefile: Kubefile): void {
  const last = kubefile.instructions.at(-1);
  for (const instruction of kubefile.instructions) {
    const { keyword, line } = instruction;
    const fault = (why: string, hint: string) =>
      kubefileError(kubefile, line, 'INPUT_INVALID', why, hint);
    if ((keyword === 'LAUNCH' || keyword === 'CMDS') && instruction !== last) {
      throw fault(
        `${keyword} is not the last instruction`,
        'A build file ends with one LAUNCH or one CMDS, and nothing comes after it.',
      );
    }
    if (keyword === 'CMD' && last?.keyword === 'LAUNCH') {
      throw fault(`CMD stands beside LAUNCH in line ${last.line}`, 'Remove one of them.');
    }
  }
}
