import { availableParallelism } from 'node:os';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type Digest, OciError, parseDigest } from '@cluster-image/oci';
import type { Segment } from './digest-worker.ts';

export type { Segment } from './digest-worker.ts';

/** Hashes beside the main thread, on as many processors as there are. */
export interface DigestPool {
  /** The digest of bytes and files, one after another; undefined where a file could not be read. */
  digest(segments: readonly Segment[]): Promise<Digest | undefined>;
  /** Ends the threads; what is under way throws ABORTED. */
  close(): Promise<void>;
}

/** More threads than this only wait for the same disk. */
const mostThreads = 4;

interface Job {
  readonly segments: readonly Segment[];
  readonly resolve: (digest: Digest | undefined) => void;
  readonly reject: (error: unknown) => void;
}

export function digestPool(threads = Math.min(availableParallelism(), mostThreads)): DigestPool {
  const waiting: Job[] = [];
  const idle: Worker[] = [];
  const running = new Map<Worker, Job | undefined>();

  function next(): void {
    if (waiting.length === 0) return;
    const worker = idle.pop() ?? (running.size < threads ? start() : undefined);
    const job = worker && waiting.shift();
    if (!worker || !job) return;
    running.set(worker, job);
    worker.postMessage(job.segments);
  }

  function start(): Worker {
    // Beside this file as source, compiled, and in the bundled command.
    const name = `./digest-worker${extname(import.meta.url)}`;
    const worker = new Worker(new URL(name, import.meta.url));
    worker.on('message', (hex: string | undefined) => {
      running.get(worker)?.resolve(hex === undefined ? undefined : parseDigest(`sha256:${hex}`));
      running.set(worker, undefined);
      idle.push(worker);
      next();
    });
    // A thread that fails is like a file that cannot be read: the work is done elsewhere.
    worker.on('error', () => running.get(worker)?.resolve(undefined));
    worker.on('exit', () => {
      running.get(worker)?.reject(interrupted());
      running.delete(worker);
      next();
    });
    return worker;
  }

  return {
    digest: (segments) =>
      new Promise((resolve, reject) => {
        waiting.push({ segments, resolve, reject });
        next();
      }),
    async close() {
      for (const job of waiting.splice(0)) job.reject(interrupted());
      await Promise.all([...running.keys()].map((worker) => worker.terminate()));
    },
  };
}

function interrupted(): OciError {
  return new OciError('ABORTED', 'interrupted');
}
