import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { handler, type Listening, listen } from '@cluster-image/distribution';
import type { Digest } from '@cluster-image/oci';
import { type DistributionLayout, distributionLayout, verifyLayout } from '@cluster-image/storage';
import { temporaryDirectory, unsynced } from '@cluster-image/testing';
import { expect, onTestFinished } from 'vitest';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
  /** The codes of a refusal; none in any other answer. */
  readonly codes: readonly string[];
}

export interface Request {
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface RegistryServer {
  readonly layout: DistributionLayout;
  readonly listening: Listening;
  /** A request for a target below `/v2/`, or for what the server itself named before. */
  ask(method: string, target: string, request?: Request): Promise<Answer>;
  /** Asserts that nothing of a blob is on the disk. */
  expectNoTrace(digest: Digest): Promise<void>;
}

/**
 * The whole registry over a new directory, at a port. When the test is over the directory must be
 * sound and no upload left in it, whatever the test did; unless it says that some are still under way.
 */
export async function registryServer({ mayLeaveUploads = false } = {}): Promise<RegistryServer> {
  const root = await temporaryDirectory();
  const layout = distributionLayout(root, { fs: unsynced });
  const listening = await listen(
    handler(layout, { pushes: layout, deletes: layout, referring: layout }),
  );
  onTestFinished(async () => {
    await listening.close(0);
    expect((await verifyLayout(layout, { sparse: false })).problems).toEqual([]);
    const staged = await readdir(join(root, '.staging')).catch(() => []);
    if (!mayLeaveUploads) expect(staged).toEqual([]);
  });
  return {
    layout,
    listening,
    async ask(method, target, { body, headers = {} } = {}) {
      const path = target.startsWith('/') ? target : `/v2/${target}`;
      const response = await fetch(new URL(path, listening.url), {
        method,
        headers,
        ...(body && { body: body instanceof Uint8Array ? Buffer.from(body) : streamOf(body) }),
        ...(body && { duplex: 'half' }),
      });
      const received = Buffer.from(await response.arrayBuffer());
      const { status } = response;
      return { status, headers: response.headers, body: received, codes: codesIn(received) };
    },
    async expectNoTrace(digest) {
      expect(await layout.content(digest)).toBeUndefined();
      expect(await readdir(join(root, '.staging')).catch(() => [])).toEqual([]);
    },
  };
}

function streamOf(chunks: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  });
}

function codesIn(body: Buffer): readonly string[] {
  if (!body.toString('latin1', 0, 10).startsWith('{"errors"')) return [];
  return JSON.parse(body.toString()).errors.map(({ code }: { code: string }) => code);
}
