import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { bytes, type Content, codeOf, digestOf, OciError, type Range } from '@cluster-image/oci';
import { type DistributionLayout, distributionLayout, layoutPaths } from '@cluster-image/storage';
import { noise, temporaryDirectory } from '@cluster-image/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatMark, ownMark, type ProcessMark } from '../src/process-mark.ts';
import { stageName } from '../src/stage-name.ts';
import { faulty } from './faulty.ts';
import { type SimulatedDisk, simulatedDisk } from './simulated-disk.ts';
import { bury, leftBelow } from './wreck.ts';

const size = 300_000;
const body = noise('body', size);
const digest = digestOf(body);
const kind = `sha256-${digest.slice(7)}`;

interface Source extends Content {
  /** The ranges that were asked for, and how many bytes were handed over. */
  readonly asked: Range[];
  readonly given: () => number;
}

/** Hands over bytes in uneven chunks, and breaks off after some of them. */
function source(data: Uint8Array = body, breaksAfter = Number.POSITIVE_INFINITY): Source {
  const asked: Range[] = [];
  let given = 0;
  return {
    size,
    asked,
    given: () => given,
    async *open(range = { start: 0, end: data.length }) {
      asked.push(range);
      for (let at = range.start; at < range.end; ) {
        const end = Math.min(at + 1 + ((at * 7919) % 50_000), range.end, breaksAfter);
        if (end <= at) throw new OciError('NETWORK', 'the line went dead');
        given += end - at;
        yield data.subarray(at, end);
        at = end;
      }
    },
  };
}

const open = (root: string): DistributionLayout => distributionLayout(root, { resumable: true });

async function stored(layout: DistributionLayout): Promise<Buffer | undefined> {
  const path = layout.disk.path(layoutPaths.blob(digest));
  return existsSync(path) ? readFileSync(path) : undefined;
}

describe('what broke off is gone on with', () => {
  test.each([0, 1, 30, 99, 100])(
    'P3: after %d of 100 parts, by the same and by another opening of the store',
    async (percent) => {
      for (const isSame of [true, false]) {
        const root = await temporaryDirectory();
        const first = open(root);
        const broken = source(body, Math.floor((size * percent) / 100));
        const failure = await first.putContent(digest, broken).catch((error) => error);
        expect(percent === 100 ? failure : codeOf(failure)).toBe(
          percent === 100 ? undefined : 'NETWORK',
        );
        const rest = source();
        const layout = isSame ? first : open(root);
        await layout.putContent(digest, rest);
        expect(rest.given()).toBe(size - broken.given());
        expect(rest.asked.length).toBe(percent === 100 ? 0 : 1);
        expect(await stored(layout)).toEqual(Buffer.from(body));
        expect(await leftBelow(root)).toEqual([]);
      }
    },
  );

  test('P3: over and over, every byte is asked for once', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(size), { maxLength: 6 }), async (stops) => {
        const { fs } = simulatedDisk();
        let given = 0;
        for (const stop of [...stops, Number.POSITIVE_INFINITY]) {
          const layout = distributionLayout('/disk', { fs, resumable: true });
          const next = source(body, stop);
          await layout.putContent(digest, next).catch((error) => {
            expect(codeOf(error)).toBe('NETWORK');
          });
          given += next.given();
        }
        expect(given).toBe(size);
      }),
      { numRuns: 30 },
    );
  });

  test('P3: by the next process, where one was killed', async () => {
    const { disk, hit } = await killedAt('writev');
    expect(hit).toBe('writev');
    await bury('/disk', disk.fs);
    const rest = source();
    await distributionLayout('/disk', { fs: disk.fs, resumable: true }).putContent(digest, rest);
    expect(rest.given()).toBe(Math.floor(size / 2));
    expect(await leftBelow('/disk', disk.fs)).toEqual([]);
  });

  /** The disk of a process that was killed at the first call of a name. */
  async function killedAt(name: string): Promise<{ disk: SimulatedDisk; hit: string | undefined }> {
    for (let at = 1; ; at++) {
      const disk = simulatedDisk();
      const killed = faulty('death', at, disk.fs);
      const layout = distributionLayout('/disk', { fs: killed.fs, resumable: true });
      await layout.putContent(digest, source()).catch(() => {});
      const hit = killed.hit();
      if (hit === name || hit === undefined) return { disk, hit };
    }
  }

  test('in a registry directory nothing is, and nothing stays behind', async () => {
    const root = await temporaryDirectory();
    const layout = distributionLayout(root);
    await layout.putContent(digest, source(body, 1000)).catch(() => {});
    expect(await leftBelow(root)).toEqual([]);
    const again = source();
    await layout.putContent(digest, again);
    expect(again.given()).toBe(size);
  });
});

describe('a part that was left', () => {
  const dead: ProcessMark = { ...ownMark, started: '1' };

  async function withParts(
    parts: Readonly<Record<string, Uint8Array>>,
  ): Promise<{ root: string; layout: DistributionLayout }> {
    const root = await temporaryDirectory();
    mkdirSync(join(root, '.staging'));
    for (const [name, data] of Object.entries(parts)) {
      writeFileSync(join(root, '.staging', name), data, { mode: 0o444 });
    }
    return { root, layout: open(root) };
  }

  const named = (mark: ProcessMark, unique = 'one'): string =>
    `${kind}~${formatMark(mark)}~${unique}`;

  test('by a process that is gone is taken over, and the largest of several', async () => {
    const { root, layout } = await withParts({
      [named(dead, 'a')]: body.subarray(0, 1000),
      [named(dead, 'b')]: body.subarray(0, 200_000),
      [`${kind}~c`]: body.subarray(0, 5000),
    });
    const rest = source();
    await layout.putContent(digest, rest);
    expect(rest.asked).toEqual([{ start: 200_000, end: size }]);
    expect(await stored(layout)).toEqual(Buffer.from(body));
    expect(await leftBelow(root)).toEqual([]);
  });

  test('though whole and closed, costs the source nothing', async () => {
    const { layout } = await withParts({ [named(dead)]: body });
    const rest = source();
    await layout.putContent(digest, rest);
    expect(rest.asked).toEqual([]);
    expect(await stored(layout)).toEqual(Buffer.from(body));
  });

  test('though closed, is opened for writing again', async () => {
    const disk = simulatedDisk();
    await disk.fs.mkdir('/disk/.staging', { recursive: true });
    const handle = await disk.fs.open(`/disk/.staging/${named(dead)}`, 'wx', 0o644);
    await handle.writeFile(body.subarray(0, 1000));
    await handle.chmod(0o444);
    const rest = source();
    const layout = distributionLayout('/disk', { fs: disk.fs, resumable: true });
    await layout.putContent(digest, rest);
    expect(rest.given()).toBe(size - 1000);
  });

  test.each([
    ['of a process that is at it', ownMark],
    ['of another host', { ...ownMark, host: 'elsewhere', started: '1' }],
  ])('D06: %s is left alone', async (_, mark) => {
    const { root, layout } = await withParts({ [named(mark)]: body.subarray(0, 1000) });
    const all = source();
    await layout.putContent(digest, all);
    expect(all.given()).toBe(size);
    expect(await leftBelow(root)).toEqual([`.staging/${named(mark)}`]);
  });

  test.each([
    [
      'damaged',
      noise('damage', 200_000),
      [
        { start: 200_000, end: size },
        { start: 0, end: size },
      ],
    ],
    ['as long as the whole, and damaged', noise('damage', size), [{ start: 0, end: size }]],
    ['longer than the whole', noise('damage', size + 1), [{ start: 0, end: size }]],
  ])('C06: that is %s leads to one clean retry', async (_, part, asked) => {
    const { root, layout } = await withParts({ [named(dead)]: part });
    const again = source();
    await layout.putContent(digest, again);
    expect(again.asked).toEqual(asked);
    expect(await stored(layout)).toEqual(Buffer.from(body));
    expect(await leftBelow(root)).toEqual([]);
  });

  test('is swept away by a directory that resumes nothing, as small files are by any', async () => {
    const { root } = await withParts({
      [named(dead)]: body.subarray(0, 1000),
      [`file~${formatMark(dead)}~x`]: body,
      [stageName('file')]: body,
      'sha256-0.turn': body,
      unknown: body,
    });
    const other = noise('other', 10);
    await open(root).putContent(digestOf(other), bytes(other));
    expect((await leftBelow(root)).map((path) => path.replace(/~.*/, ''))).toEqual([
      '.staging/file',
      '.staging/sha256-0.turn',
      `.staging/${kind}`,
      '.staging/unknown',
    ]);
    const another = noise('another', 10);
    await distributionLayout(root).putContent(digestOf(another), bytes(another));
    expect((await leftBelow(root)).map((path) => path.replace(/~.*/, ''))).toEqual([
      '.staging/file',
      '.staging/sha256-0.turn',
      '.staging/unknown',
    ]);
  });
});

describe('wrong bytes', () => {
  test('P2: twice are DIGEST_MISMATCH, and nothing of them stays', async () => {
    const root = await temporaryDirectory();
    const layout = open(root);
    const wrong = source(noise('wrong', size));
    await expect(layout.putContent(digest, wrong)).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
    });
    expect(wrong.asked).toHaveLength(2);
    expect(await stored(layout)).toBeUndefined();
    expect(await leftBelow(root)).toEqual([]);
  });

  test('once are forgiven', async () => {
    const layout = open(await temporaryDirectory());
    const [wrong, right] = [source(noise('wrong', size)), source()];
    const changing: Content = {
      size,
      open: (range) => (wrong.asked.length === 0 ? wrong : right).open(range),
    };
    await layout.putContent(digest, changing);
    expect(right.given()).toBe(size);
    expect(await stored(layout)).toEqual(Buffer.from(body));
  });

  test('after which the line goes dead leave what came second', async () => {
    const root = await temporaryDirectory();
    const [wrong, broken] = [source(noise('wrong', size)), source(body, 1000)];
    const changing: Content = {
      size,
      open: (range) => (wrong.asked.length === 0 ? wrong : broken).open(range),
    };
    const failure = await open(root)
      .putContent(digest, changing)
      .catch((error) => error);
    expect(codeOf(failure)).toBe('NETWORK');
    const rest = source();
    await open(root).putContent(digest, rest);
    expect(rest.given()).toBe(size - 1000);
  });

  test('C07: without end are read to their size, and one chunk more', async () => {
    const root = await temporaryDirectory();
    let given = 0;
    const endless: Content = {
      size,
      async *open() {
        for (;;) {
          given += 100_000;
          yield noise('endless', 100_000);
        }
      },
    };
    await expect(open(root).putContent(digest, endless)).rejects.toMatchObject({
      code: 'SIZE_MISMATCH',
    });
    expect(given).toBe(2 * (size + 100_000));
    expect(await leftBelow(root)).toEqual([]);
  });
});

describe('two callers in one process', () => {
  test('read one source', async () => {
    const layout = open(await temporaryDirectory());
    const sources = [source(), source(), source()];
    await Promise.all(sources.map((each) => layout.putContent(digest, each)));
    expect(sources.map((each) => each.asked.length)).toEqual([1, 0, 0]);
  });

  test('do not share a failure: the next goes on with a source of its own', async () => {
    const layout = open(await temporaryDirectory());
    const sources = [source(body, 100_000), source(), source()];
    const results = await Promise.allSettled(
      sources.map((each) => layout.putContent(digest, each)),
    );
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
    expect(sources.map((each) => each.given())).toEqual([100_000, size - 100_000, 0]);
  });

  test('with two openings of one store wait for each other, and one source is read', async () => {
    const root = await temporaryDirectory();
    const sources = [source(), source()];
    await Promise.all(sources.map((each) => open(root).putContent(digest, each)));
    expect(sources.reduce((sum, each) => sum + each.given(), 0)).toBe(size);
  });
});

describe('a blob that is there already', () => {
  test('D04: with another size is replaced', async () => {
    const root = await temporaryDirectory();
    const layout = open(root);
    const path = join(root, layoutPaths.blob(digest));
    for (const damaged of [body.subarray(0, 100), new Uint8Array(), noise('long', size + 1)]) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(`${path}.new`, damaged);
      await layout.disk.place(`${path}.new`, path);
      const again = source();
      await layout.putContent(digest, again);
      expect(again.given()).toBe(size);
      expect(readFileSync(path)).toEqual(Buffer.from(body));
      expect(statSync(path).mode & 0o777).toBe(0o444);
    }
  });

  test('D04: and is a directory is an error that names it', async () => {
    const root = await temporaryDirectory();
    const path = join(root, layoutPaths.blob(digest));
    mkdirSync(path, { recursive: true });
    const failure = await open(root)
      .putContent(digest, source())
      .catch((error) => error);
    expect(codeOf(failure)).toBe('FILE_SYSTEM');
    expect(String(failure)).toContain(path);
    expect(await leftBelow(root)).toEqual([]);
  });
});
