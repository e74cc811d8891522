import { createHash, timingSafeEqual } from 'node:crypto';
import { jsonOf, OciError, readText } from '@cluster-image/oci';
import { file } from '@cluster-image/storage';
import { z } from 'zod';
import { isScope, trustedScope } from './keys.ts';

/** What somebody may do. */
export interface Access {
  /** How they are called. */
  readonly name: string;
  /** The scopes that they read, those first that are trusted more. */
  readonly reads: readonly string[];
  /** The one scope that they write; absent for who only reads. */
  readonly writes?: string;
}

/** What a header allows; a text says why it allows nothing. */
export type AccessOf = (authorization: string | undefined) => Access | string;

/** Everybody, where nobody is asked who they are. */
export const anyone: AccessOf = () => ({
  name: 'anyone',
  reads: [trustedScope],
  writes: trustedScope,
});

/** The most that a file of tokens may hold, in bytes. */
const fileLimit = 1024 * 1024;

const scopePattern = z.string().refine((text) => isScope(text.replace(/\*$/, '0')), {
  error: 'not a scope: lower-case letters, digits, dots and hyphens, and a * at the end',
});

/** See docs/cache-server.md#tokens. */
const schema = z.strictObject({
  tokens: z
    .array(
      z.strictObject({
        name: z.string().min(1).max(100),
        sha256: z.string().regex(/^[0-9a-f]{64}$/, 'not a SHA-256 in hexadecimal digits'),
        rights: z.array(z.enum(['read', 'write'])).min(1),
        scope: scopePattern.default(trustedScope),
      }),
    )
    .min(1),
});

type Token = z.infer<typeof schema>['tokens'][number];

/**
 * Who may do what, by a file that has nothing but digests of tokens. Throws USAGE where there is no such
 * file, INPUT_INVALID for what is none.
 */
export async function readTokens(path: string): Promise<AccessOf> {
  const content = await file(path);
  if (!content) throw new OciError('USAGE', `there is no file ${path}`);
  const text = await readText(content, fileLimit);
  const parsed = schema.safeParse(jsonOf(text));
  if (!parsed.success) throw invalid(path, z.prettifyError(parsed.error), parsed.error);
  const { tokens } = parsed.data;
  for (const field of ['name', 'sha256'] as const) {
    const values = tokens.map((token) => token[field]);
    const twice = values.find((value, at) => values.indexOf(value) !== at);
    if (twice !== undefined) throw invalid(path, `two tokens have the ${field} ${twice}`);
  }
  return (authorization) => accessWith(authorization, tokens);
}

function invalid(path: string, why: string, cause?: unknown): OciError {
  return new OciError('INPUT_INVALID', `${path}: ${why}`, {
    cause,
    hint: 'docs/cache-server.md shows what it looks like.',
  });
}

function accessWith(authorization: string | undefined, tokens: readonly Token[]): Access | string {
  const [, given = ''] = /^bearer +(\S{1,1000})$/i.exec(authorization ?? '') ?? [];
  if (given === '') return 'a token is needed';
  const whole = tokenOf(given, tokens);
  const at = given.lastIndexOf('@');
  const token = whole ?? (at < 0 ? undefined : tokenOf(given.slice(0, at), tokens));
  if (!token) return 'unknown token';
  return accessOf(token, whole ? undefined : given.slice(at + 1));
}

/** Looks at all of them, so that time does not tell which. */
function tokenOf(secret: string, tokens: readonly Token[]): Token | undefined {
  const digest = createHash('sha256').update(secret).digest();
  let found: Token | undefined;
  for (const token of tokens) {
    if (timingSafeEqual(digest, Buffer.from(token.sha256, 'hex'))) found = token;
  }
  return found;
}

function accessOf({ name, rights, scope }: Token, said: string | undefined): Access | string {
  const own = said ?? scope;
  if (!isScope(own)) return `the scope has to be said: TOKEN@SCOPE, as ${scope} has it`;
  if (!isWithin(own, scope)) return `this token is for ${scope}, not for ${own}`;
  return {
    name,
    // What is trusted comes first, and who writes what is trusted reads nothing else.
    reads: rights.includes('read') ? [...new Set([trustedScope, own])] : [],
    ...(rights.includes('write') && { writes: own }),
  };
}

/** No pattern stands for the scope that everybody trusts. */
function isWithin(scope: string, pattern: string): boolean {
  if (!pattern.endsWith('*')) return scope === pattern;
  return scope !== trustedScope && scope.startsWith(pattern.slice(0, -1));
}
