import { type Handler, refusal } from './answers.ts';

/**
 * Refuses what was asked in the name of this very server: one that is among its own upstreams or
 * mirrors would wait for itself. https://www.rfc-editor.org/rfc/rfc9110#section-7.6.3
 *
 * @param name what the server calls itself in `Via` when it asks others
 */
export function refuseLoops(handler: Handler, name: string): Handler {
  return async (request) => {
    const hops = (request.headers.via ?? '').split(',').map((hop) => hop.trim().split(/\s+/)[1]);
    if (!hops.includes(name)) return handler(request);
    // Not a status that says it may be over in a moment.
    return refusal(403, 'DENIED', 'this registry would ask itself: it is among its own mirrors');
  };
}
