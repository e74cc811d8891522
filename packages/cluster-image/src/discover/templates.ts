export interface HiddenTemplates {
  /** The same lines, with words of letters where templates were. */
  readonly text: string;
  /** Puts the templates back into a part of the text. */
  restore(part: string): string;
}

const onlyActions = /^\s*(?:\{\{(?:(?!\}\}).)*\}\}\s*)+$/;
/** `{{ if … }}` and its like, with nothing but an end of its own after the rest of the line. */
const wrapped =
  /^(\s*)\{\{-?\s*(?:if|with|range)\b[^}]*\}\}((?:(?!\{\{).)*)\{\{-?\s*end\s*-?\}\}\s*$/;

/**
 * Makes a file that a template engine will fill in readable as YAML: a line of nothing but template
 * actions becomes empty, any other action becomes a word that stands for it. Lines keep their numbers.
 */
export function hideTemplates(text: string): HiddenTemplates {
  const hidden: string[] = [];
  const hide = (found: string): string => {
    hidden.push(found);
    return `xTEMPLATE${hidden.length - 1}x`;
  };
  const flat = replaceActions(text, (found, at) => {
    const breaks = found.split('\n').length - 1;
    if (breaks === 0) return found;
    const isAlone = text.slice(text.lastIndexOf('\n', at - 1) + 1, at).trim() === '';
    return `${isAlone ? '' : hide(found)}${'\n'.repeat(breaks)}`;
  });
  const lines = flat.split('\n').map((line) => {
    if (onlyActions.test(line)) return '';
    return replaceActions(line.replace(wrapped, '$1$2'), hide);
  });
  return {
    text: lines.join('\n'),
    restore: (part) => part.replace(/xTEMPLATE(\d+)x/g, (word, at) => hidden[Number(at)] ?? word),
  };
}

/** Goes once through the text, however many actions are begun and never ended. */
function replaceActions(text: string, by: (action: string, at: number) => string): string {
  let result = '';
  let done = 0;
  for (let at = text.indexOf('{{'); at >= 0; at = text.indexOf('{{', done)) {
    const end = text.indexOf('}}', at);
    if (end < 0) break;
    result += text.slice(done, at) + by(text.slice(at, end + 2), at);
    done = end + 2;
  }
  return result + text.slice(done);
}
