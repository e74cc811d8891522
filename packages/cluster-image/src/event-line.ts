import type { Event } from '@cluster-image/oci';
import { formatSize } from './sizes.ts';

/** The line that an event is worth, for people; undefined for those that only a moving display shows. */
export function eventLine(event: Event): string | undefined {
  switch (event.type) {
    case 'image': {
      const { reference, state, bytes = 0, message = '' } = event;
      if (state === 'start' || (state === 'done' && bytes === 0)) return undefined;
      if (state === 'failed') return `  failed   ${reference}: ${message}`;
      return `  ${formatSize(bytes).padEnd(8)} ${reference}`;
    }
    case 'retry':
      return `  waiting ${(event.wait / 1000).toFixed(1)} s for ${event.host}: ${event.reason}`;
    case 'warning':
      return `warning: ${event.message}${event.hint ? `. ${event.hint}` : ''}`;
    case 'listening':
      return `serving on ${event.url}`;
    case 'authority':
      return `answering for ${event.hosts.join(', ')} with certificates of ${event.path}`;
    case 'request':
      return `${event.status} ${event.method} ${event.target} ${event.bytes}`;
    default:
      return undefined;
  }
}
