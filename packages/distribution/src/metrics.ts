import { type ServerResponse, text } from './answers.ts';

/** An answered request. */
export interface Answered {
  readonly method: string;
  readonly status: number;
  /** How many bytes of a body were sent. */
  readonly bytes: number;
}

export interface Metrics {
  count(answered: Answered): void;
  /** Counts what was fetched from upstreams, in bytes. */
  fetched(bytes: number): void;
  /** Everything counted so far. https://prometheus.io/docs/instrumenting/exposition_formats/ */
  answer(): ServerResponse;
}

const methods = ['GET', 'HEAD', 'POST', 'PATCH', 'PUT', 'DELETE'];

/** Counts what a server does, for Prometheus. */
export function metrics(
  now: () => number = Date.now,
  memory: () => number = process.memoryUsage.rss,
): Metrics {
  const started = now() / 1000;
  const requests = new Map<string, number>();
  let sent = 0;
  let fetches = 0;
  let fetchedBytes = 0;
  return {
    count({ method, status, bytes }) {
      // Who asks does not choose how many series there are.
      const known = methods.includes(method) ? method : 'other';
      const labels = `{method="${known}",status="${status}"}`;
      requests.set(labels, (requests.get(labels) ?? 0) + 1);
      sent += bytes;
    },
    fetched(bytes) {
      fetches += 1;
      fetchedBytes += bytes;
    },
    answer() {
      const lines = [
        ...family('requests_total', 'counter', 'Requests answered.', [...requests].sort()),
        ...family('sent_bytes_total', 'counter', 'Bytes of bodies sent.', [['', sent]]),
        ...family('upstream_blobs_total', 'counter', 'Blobs fetched from upstreams.', [
          ['', fetches],
        ]),
        ...family('upstream_bytes_total', 'counter', 'Bytes of those blobs.', [['', fetchedBytes]]),
        ...family('start_time_seconds', 'gauge', 'When the server began.', [['', started]]),
        ...family('resident_memory_bytes', 'gauge', 'Memory in use.', [['', memory()]]),
      ];
      return text(`${lines.join('\n')}\n`, 'text/plain; version=0.0.4; charset=utf-8');
    },
  };
}

function family(
  name: string,
  type: 'counter' | 'gauge',
  help: string,
  values: readonly (readonly [labels: string, value: number])[],
): readonly string[] {
  const whole = `cluster_image_${name}`;
  return [
    `# HELP ${whole} ${help}`,
    `# TYPE ${whole} ${type}`,
    ...values.map(([labels, value]) => `${whole}${labels} ${value}`),
  ];
}
