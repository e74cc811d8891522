import {
  codeOf,
  digestOf,
  OciError,
  type Registry,
  readAll,
  type Spool,
  type Spooled,
} from '@cluster-image/oci';
import { describe, expect, test } from 'vitest';
import { noise } from './fixtures.ts';
import { type OpenedAs, opening } from './opened.ts';

const one = 'team/app';

/** What everything promises that gathers bytes for a registry, run against one implementation. */
export function spoolContract(name: string, open: () => Promise<OpenedAs<Registry & Spool>>): void {
  const openOne = opening(open);

  describe(`the contract of spools: ${name}`, () => {
    test('what is added in parts is one blob', async () => {
      const registry = await openOne();
      const body = noise('parts', 1_200_000);
      const spooled = await registry.begin();
      expect(spooled.size).toBe(0);
      for (const [start, end] of [
        [0, 1],
        [1, 1],
        [1, 1_100_000],
        [1_100_000, 1_200_000],
      ] as const) {
        await spooled.append(pieces(body.subarray(start, end)));
        expect(spooled.size).toBe(end);
      }
      await registry.putBlob(one, digestOf(body), await spooled.content());
      await spooled.end();
      const stored = await registry.blob(one, digestOf(body));
      expect(stored && (await readAll(stored, body.length))).toEqual(body);
    });

    test('nothing added is the empty blob', async () => {
      const registry = await openOne();
      const spooled = await registry.begin();
      await registry.putBlob(one, digestOf(new Uint8Array()), await spooled.content());
      await spooled.end();
      expect((await registry.blob(one, digestOf(new Uint8Array())))?.size).toBe(0);
    });

    test('a blob may have a digest of another algorithm', async () => {
      const registry = await openOne();
      const body = noise('sha512', 1000);
      const digest = digestOf(body, 'sha512');
      const spooled = await filled(registry, body);
      await registry.putBlob(one, digest, await spooled.content());
      await spooled.end();
      const stored = await registry.blob(one, digest);
      expect(stored && (await readAll(stored, body.length))).toEqual(body);
    });

    test('what was added can be read, while more is on its way', async () => {
      const registry = await openOne();
      const body = noise('read', 5000);
      const spooled = await filled(registry, body.subarray(0, 2000));
      const [come, more] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const adding = spooled.append(
        (async function* () {
          yield body.subarray(2000, 3000);
          come.resolve();
          await more.promise;
          yield body.subarray(3000);
        })(),
      );
      await come.promise;
      for (const [start, end] of [
        [0, 2000],
        [500, 500],
        [1999, 2000],
        [0, spooled.size],
      ] as const) {
        expect(await read(spooled, start, end)).toEqual(Buffer.from(body.subarray(start, end)));
      }
      more.resolve();
      await adding;
      expect(await read(spooled, 0, 5000)).toEqual(Buffer.from(body));
      await spooled.end();
    });

    test('what came before a failure stays, and is gone on with', async () => {
      const registry = await openOne();
      const body = noise('broken', 300_000);
      const spooled = await registry.begin();
      const failure = await spooled.append(breaking(body.subarray(0, 100_000))).catch(codeOf);
      expect(failure).toBe('NETWORK');
      expect(spooled.size).toBe(100_000);
      await spooled.append(pieces(body.subarray(100_000)));
      await registry.putBlob(one, digestOf(body), await spooled.content());
      await spooled.end();
      const stored = await registry.blob(one, digestOf(body));
      expect(stored && (await readAll(stored, body.length))).toEqual(body);
    });

    test.each(['sha256', 'sha512'] as const)(
      'what is not its %s digest is refused, and can still be stored as what it is',
      async (algorithm) => {
        const registry = await openOne();
        const [body, wrong] = [noise('right', 1000), digestOf(noise('wrong', 1000), algorithm)];
        const spooled = await filled(registry, body);
        const content = await spooled.content();
        expect(await registry.putBlob(one, wrong, content).catch(codeOf)).toBe('DIGEST_MISMATCH');
        expect(await registry.blob(one, wrong)).toBeUndefined();
        await registry.putBlob(one, digestOf(body), content);
        await spooled.end();
        expect((await registry.blob(one, digestOf(body)))?.size).toBe(1000);
      },
    );

    test('the same bytes may be gathered many times at once', async () => {
      const registry = await openOne();
      const body = noise('twice', 200_000);
      await Promise.all(
        Array.from({ length: 8 }, async () => {
          const spooled = await filled(registry, body);
          await registry.putBlob(one, digestOf(body), await spooled.content());
          await spooled.end();
        }),
      );
      const stored = await registry.blob(one, digestOf(body));
      expect(stored && (await readAll(stored, body.length))).toEqual(body);
    });

    test('what is let go of twice, or half filled, is no trouble', async () => {
      const registry = await openOne();
      const spooled = await filled(registry, noise('given up', 1000));
      await spooled.end();
      await spooled.end();
      expect(await Array.fromAsync(registry.repositories())).toEqual([]);
    });
  });
}

async function filled(spool: Spool, body: Uint8Array): Promise<Spooled> {
  const spooled = await spool.begin();
  await spooled.append(pieces(body));
  return spooled;
}

async function read(spooled: Spooled, start: number, end: number): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(spooled.read({ start, end })));
}

/** Bytes as a connection brings them. */
async function* pieces(body: Uint8Array): AsyncIterable<Uint8Array> {
  for (let at = 0; at < body.length; at += 65_000) yield body.slice(at, at + 65_000);
}

async function* breaking(body: Uint8Array): AsyncIterable<Uint8Array> {
  yield* pieces(body);
  throw new OciError('NETWORK', 'the line went dead');
}
