export interface HiddenTemplates {
  /** The same lines, with words of letters where templates were. */
  readonly text: string;
  /** Puts the templates back into a part of the text. */
  restore(part: string): string;
}

/**
 * Makes a file that a template engine will fill in readable as YAML: a line of nothing but template
 * actions becomes empty, any other action becomes a word that stands for it. Lines keep their numbers.
 */
export function hideTemplates(text: string): HiddenTemplates {
  const hidden: string[] = [];
  const lines = text.split('\n').map((line) => {
    if (/^\s*(?:\{\{[^}]*\}\}\s*)+$/.test(line)) return '';
    return line.replace(/\{\{.*?\}\}/g, (action) => {
      hidden.push(action);
      return `xTEMPLATE${hidden.length - 1}x`;
    });
  });
  return {
    text: lines.join('\n'),
    restore: (part) => part.replace(/xTEMPLATE(\d+)x/g, (word, at) => hidden[Number(at)] ?? word),
  };
}
