import { type Context, jsonOf, OciError } from '@cluster-image/oci';
import { z } from 'zod';
import type { Exchange } from './exchange.ts';
import { isPassing, PassingError, type Patience } from './patience.ts';
import { type HttpResponse, readText } from './transport.ts';

/** A registry on the network, as everything that talks to it sees it. */
export interface Origin {
  /** The registry as references name it, for messages. */
  readonly host: string;
  /** Where its requests go, without a path. */
  readonly url: URL;
  /** What stands before every repository name there, as mirrors have it; empty, or without a slash at its end. */
  readonly prefix: string;
  readonly exchange: Exchange;
  readonly patience: Patience;
  /** Which credentials are used, for messages. */
  credentials(): Promise<string>;
  readonly context: Context;
}

/** What requests about one repository need to be allowed. */
export function scopesOf(repository: string, actions: 'pull' | 'pull,push'): readonly string[] {
  return [`repository:${repository}:${actions}`];
}

/** Throws UPSTREAM for a web page: a captive portal or proxy answers everything with one. */
export async function refuseHtml(response: HttpResponse, what: string): Promise<void> {
  const type = response.header('content-type') ?? '';
  if (!/^\s*text\/html/i.test(type)) return;
  await response.discard();
  throw new OciError('UPSTREAM', `${what}: the answer is a web page, not from a registry`, {
    hint: 'A proxy or a login page of the network stands in between.',
  });
}

const errorsSchema = z.looseObject({
  errors: z.array(z.looseObject({ code: z.string().nullish(), message: z.string().nullish() })),
});

/** What a registry's refusal means, in its own words as far as it has any. */
export async function responseError(
  origin: Origin,
  response: HttpResponse,
  what: string,
): Promise<OciError> {
  const text = await readText(response, 1024).catch(() => '');
  const parsed = errorsSchema.safeParse(jsonOf(text));
  const errors = parsed.success ? parsed.data.errors : [];
  const said = parsed.success
    ? errors.map(({ code, message }) => [code, message].filter(Boolean).join(' ')).join('; ')
    : text;
  const words = withoutSecrets(said.replace(/[\s\p{Cc}]+/gu, ' ')).slice(0, 300);
  const message = `${what}: ${origin.host} answered ${response.status}${words && ` (${words})`}`;
  const code = codeFor(
    response.status,
    errors.map((error) => error.code ?? ''),
  );
  const error = new OciError(code, message, { hint: await hintFor(code, origin) });
  return isPassing(response.status)
    ? new PassingError(error, origin.patience.asked(response))
    : error;
}

/** Some servers repeat what they were sent, and all of it. */
function withoutSecrets(text: string): string {
  return text.replace(/\b(basic|bearer)\s+[\w.~+/=-]+/gi, '$1 …');
}

function codeFor(status: number, said: readonly string[]): OciError['code'] {
  if (status === 401) return 'UNAUTHORIZED';
  if (status === 403) return 'DENIED';
  // ECR says 503 where others say 429.
  if (status === 429 || said.includes('TOOMANYREQUESTS')) return 'TOO_MANY_REQUESTS';
  // A manifest whose parts are missing is refused with 400.
  if (status === 404 || said.some((code) => code.endsWith('_UNKNOWN'))) return 'NOT_FOUND';
  return 'UPSTREAM';
}

async function hintFor(code: OciError['code'], origin: Origin): Promise<string | undefined> {
  switch (code) {
    case 'UNAUTHORIZED':
    case 'DENIED':
    case 'NOT_FOUND':
      return `There is no such thing, or no access to it; asked with ${await origin.credentials()}.`;
    case 'TOO_MANY_REQUESTS':
      return 'Wait, log in for a higher limit, or configure a mirror.';
    default:
      return undefined;
  }
}
