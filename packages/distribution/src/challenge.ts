/**
 * One way to authenticate that a server offers.
 * https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1
 */
export interface Challenge {
  /** Lower-case, for instance `bearer`. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: Readonly<Record<string, string>>;
}

const token = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const parameterAhead = /(?=[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*=[ \t]*["!#$%&'*+.^_`|~0-9A-Za-z-])/y;
const token68 = /[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$))/y;
const quoted = /"((?:[^"\\]|\\.)*)"/y;
const space = /[ \t]*/y;

/** Reads `WWW-Authenticate` headers, of which each may hold several challenges; what cannot be read ends the list. */
export function parseChallenges(headers: readonly string[]): readonly Challenge[] {
  return headers.flatMap(parseHeader);
}

function parseHeader(header: string): Challenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at;
    const match = pattern.exec(header) ?? undefined;
    if (match) at = pattern.lastIndex;
    return match;
  };
  while (at < header.length) {
    take(space);
    if (header[at] === ',') {
      at += 1;
      continue;
    }
    const word = take(token)?.[0];
    if (word === undefined) break;
    take(space);
    const current = challenges.at(-1);
    if (header[at] === '=' && current) {
      at += 1;
      take(space);
      const value = take(quoted)?.[1]?.replace(/\\(.)/g, '$1') ?? take(token)?.[0];
      if (value === undefined) break;
      current.parameters[word.toLowerCase()] = value;
    } else {
      challenges.push({ scheme: word.toLowerCase(), parameters: Object.create(null) });
      // Some schemes carry one opaque word instead of parameters.
      if (!take(parameterAhead)) take(token68);
    }
  }
  return challenges;
}
