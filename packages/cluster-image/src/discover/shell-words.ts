import type { Word, WordPart } from 'unbash';

/** The variables of a shell; undefined stands for one whose value cannot be told. */
export type Variables = ReadonlyMap<string, string | undefined>;

/** A word as a command gets it, after everything in it was filled in. */
export interface Field {
  /** As it is written where it cannot be told. */
  readonly text: string;
  readonly isTold: boolean;
  /** Nobody can tell whether it is one word, several or none. */
  readonly isOpen: boolean;
}

/** What may come of the words of a shell, as far as that can be told without running anything. */
export interface WordReader {
  /** What a command gets for a word: one field, several, or none. */
  fields(word: Word): readonly Field[];
  /** What a variable gets for a word; undefined where that cannot be told. */
  value(word: Word): string | undefined;
}

/** The longest text that a word may come to, in characters. */
export const longestText = 16 * 1024;

/** The longest text that is taken apart, and into how many. */
const longestSplit = 4096;
const mostFields = 500;

/**
 * Fills in the variables of words. Patterns are left as they are, as a shell leaves those that match
 * nothing.
 *
 * @param substituted what `$(NAME)` stands for where that is no command
 */
export function wordReader(
  variables: Variables,
  substituted: (name: string) => string | undefined = () => undefined,
): WordReader {
  return { fields: fieldsOf, value: textOf };

  function fieldsOf(word: Word): readonly Field[] {
    const fields: Field[] = [];
    let current: (Field & { readonly parts: number }) | undefined;
    const add = (text: string, isTold = true, isOpen = false): void => {
      current = {
        text: (current?.text ?? '') + text,
        isTold: isTold && current?.isTold !== false,
        isOpen,
        parts: (current?.parts ?? 0) + 1,
      };
    };
    const end = (): void => {
      if (current) fields.push({ ...current, isOpen: current.isOpen && current.parts === 1 });
      current = undefined;
    };
    let length = 0;
    for (const part of word.parts ?? [word]) {
      const isQuoted = part.type === 'DoubleQuoted' || part.type === 'LocaleString';
      const text = textOf(part);
      // What comes of an expansion without quotes is taken apart.
      const isSplit = text !== undefined && isExpansion(part);
      length += text?.length ?? 0;
      if (length > (isSplit ? longestSplit : longestText)) return tooMuch(word);
      const [first = '', ...others] = isSplit ? text.split(/\s+/) : [text];
      if (fields.length + others.length > mostFields) return tooMuch(word);
      if (text === undefined) add(part.text, false, !isQuoted || isList(part.text));
      else if (first !== '' || !isSplit) add(first);
      for (const other of others) {
        end();
        if (other !== '') add(other ?? '');
      }
    }
    end();
    return fields;
  }

  function textOf(part: WordPart | Word): string | undefined {
    switch (part.type) {
      case 'Word':
        return part.parts ? joined(part.parts) : part.value;
      case 'DoubleQuoted':
      case 'LocaleString':
        return joined(part.parts);
      case 'Literal':
      case 'SingleQuoted':
      case 'AnsiCQuoted':
      case 'Glob':
        return part.value;
      case 'ExtendedGlob':
      case 'BraceExpansion':
        return part.text;
      case 'SimpleExpansion':
        return variables.get(part.text.slice(1));
      case 'ParameterExpansion':
        return expanded(part);
      case 'CommandExpansion':
        return substituted(/^\$\((\w+)\)$/.exec(part.text)?.[1] ?? '');
      case 'ArithmeticExpansion':
      case 'ProcessSubstitution':
        return undefined;
    }
  }

  function joined(parts: readonly WordPart[]): string | undefined {
    let all = '';
    for (const part of parts) {
      const text = textOf(part);
      if (text === undefined || all.length + text.length > longestText) return undefined;
      all += text;
    }
    return all;
  }

  function expanded({
    parameter,
    prefix,
    index,
    operation,
  }: Extract<WordPart, { type: 'ParameterExpansion' }>): string | undefined {
    if (prefix !== undefined || index) return undefined;
    const value = variables.get(parameter);
    if (!operation) return value;
    // Whether a variable that is not known is set cannot be told.
    const isUnknown = variables.has(parameter) && value === undefined;
    if (operation.type !== 'Default' || isUnknown) return undefined;
    const { operator, operand } = operation;
    const isSet = value !== undefined && (value !== '' || !operator.startsWith(':'));
    if (operator.endsWith('+')) return isSet ? textOf(operand) : '';
    if (isSet) return value;
    return operator.endsWith('?') ? undefined : textOf(operand);
  }
}

/** What is several words even in quotes: `"$@"` and `"${list[@]}"`. */
function isList(quoted: string): boolean {
  return /^"\$(?:@|\{\w+\[@\]\}|\{@\})"$/.test(quoted);
}

function tooMuch({ text }: Word): readonly Field[] {
  return [{ text, isTold: false, isOpen: true }];
}

function isExpansion({ type }: WordPart | Word): boolean {
  return type === 'SimpleExpansion' || type === 'ParameterExpansion' || type === 'CommandExpansion';
}
