import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { codeOf, isSeekable, readAll } from '@cluster-image/oci';
import { file } from '@cluster-image/storage';
import { noise, temporaryDirectory } from '@cluster-image/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';

const size = 1_500_000;
const body = Buffer.from(noise('file', size));

async function written(): Promise<string> {
  const path = join(await temporaryDirectory(), 'file');
  writeFileSync(path, body);
  return path;
}

test('any range of a file is what a slice of its bytes is', async () => {
  const content = await file(await written());
  if (!content) throw new Error('no file');
  await fc.assert(
    fc.asyncProperty(fc.nat(size), fc.nat(size), async (a, b) => {
      const range = { start: Math.min(a, b), end: Math.max(a, b) };
      const read = Buffer.concat(await Array.fromAsync(content.open(range)));
      expect(read.equals(body.subarray(range.start, range.end))).toBe(true);
    }),
    { numRuns: 30 },
  );
  expect(Buffer.from(await readAll(content, size)).equals(body)).toBe(true);
  expect(() => content.open({ start: 0, end: size + 1 })).toThrow('no bytes');
});

test('no chunk is overwritten by a later one', async () => {
  const content = await file(await written());
  const chunks = await Array.fromAsync(content?.open() ?? []);
  expect(chunks.length).toBeGreaterThan(2);
  expect(Buffer.concat(chunks).equals(body)).toBe(true);
});

test('what does not exist is undefined, also below a file', async () => {
  const path = await written();
  expect(await file(`${path}.not`)).toBeUndefined();
  expect(await file(`${path}/below`)).toBeUndefined();
});

test('a link is followed, what is no file is FILE_SYSTEM', async () => {
  const path = await written();
  symlinkSync(path, `${path}.link`);
  expect((await file(`${path}.link`))?.size).toBe(size);
  mkdirSync(`${path}.directory`);
  const failure = await file(`${path}.directory`).catch((error) => error);
  expect(codeOf(failure)).toBe('FILE_SYSTEM');
  expect(String(failure)).toContain(`${path}.directory`);
});

test('T10: a file that grows is read as it was, one that shrinks is SIZE_MISMATCH', async () => {
  const path = await written();
  const content = await file(path);
  if (!content) throw new Error('no file');
  appendFileSync(path, 'more');
  expect(Buffer.from(await readAll(content, size)).equals(body)).toBe(true);
  truncateSync(path, 1000);
  const failure = await readAll(content, size).catch((error) => error);
  expect(codeOf(failure)).toBe('SIZE_MISMATCH');
  expect(String(failure)).toContain(path);
});

test('a reader that leaves early closes the file', async () => {
  const content = await file(await written());
  const open = (): number => readdirSync('/proc/self/fd').length;
  const before = open();
  for (let reader = 0; reader < 20; reader++) {
    for await (const chunk of content?.open() ?? []) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
  }
  expect(open()).toBe(before);
});

test('a file is read into memory that is there, as far as it goes', async () => {
  const content = await file(await written());
  if (!content || !isSeekable(content)) throw new Error('not a file that can be read so');
  const reader = await content.seek();
  const into = Buffer.alloc(1000);
  await reader.read(into, 17);
  expect(into.equals(body.subarray(17, 1017))).toBe(true);
  await reader.read(into.subarray(0, 0), size);
  expect(codeOf(await reader.read(into, size - 999).catch((error) => error))).toBe('SIZE_MISMATCH');
  await reader.close();
});
