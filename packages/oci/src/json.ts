/** The value that a JSON text denotes; undefined where it is not JSON (which no JSON denotes). */
export function jsonOf(text: string | Uint8Array): unknown {
  try {
    const decoded =
      typeof text === 'string' ? text : new TextDecoder('utf-8', { fatal: true }).decode(text);
    return JSON.parse(decoded);
  } catch {
    return undefined;
  }
}
