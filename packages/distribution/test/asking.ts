import type { Handler, ServerRequest, ServerResponse } from '@cluster-image/distribution';

export interface Answered {
  readonly status: number;
  readonly headers: ServerResponse['headers'];
  readonly text: string;
  /** The codes of a refusal; none in any other answer. */
  readonly codes: readonly string[];
}

/** Asks a handler as a server would, without a port. Throws what the handler throws. */
export async function ask(
  handler: Handler,
  method: string,
  target: string,
  { body, headers = {} }: { body?: ServerRequest['body']; headers?: ServerRequest['headers'] } = {},
): Promise<Answered> {
  const answer = await handler({ method, target, headers, ...(body && { body }) });
  const { content, range } = answer.body ?? {};
  const chunks = content ? await Array.fromAsync(content.open(range)) : [];
  const text = Buffer.concat(chunks).toString('latin1');
  return { status: answer.status, headers: answer.headers, text, codes: codesIn(text) };
}

function codesIn(text: string): readonly string[] {
  if (!text.startsWith('{"errors":')) return [];
  return JSON.parse(text).errors.map(({ code }: { code: string }) => code);
}

/** A body that comes in two pieces. */
export async function* sent(data: Uint8Array): AsyncIterable<Uint8Array> {
  const half = Math.ceil(data.length / 2);
  yield data.subarray(0, half);
  yield data.subarray(half);
}
