import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, digestOf } from '@cluster-image/oci';
import { temporaryDirectory } from '@cluster-image/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type DigestPool, digestPool } from '../src/digest-pool.ts';

let pool: DigestPool;

beforeEach(() => {
  pool = digestPool(2);
});

afterEach(() => pool.close());

test('bytes and files are hashed one after another', async () => {
  const path = join(await temporaryDirectory(), 'file');
  const body = Buffer.alloc(3_000_000, 'file');
  await writeFile(path, body);
  const segments = [Buffer.from('a'), { path, size: body.length }, Buffer.from('b')];
  const whole = Buffer.concat([Buffer.from('a'), body, Buffer.from('b')]);
  expect(await pool.digest(segments)).toBe(digestOf(whole));
  expect(await pool.digest([])).toBe(digestOf(Buffer.alloc(0)));
});

test('more jobs than threads are all done, each with its own result', async () => {
  const texts = Array.from({ length: 20 }, (_, at) => Buffer.from(`text ${at}`));
  const digests = await Promise.all(texts.map((text) => pool.digest([text])));
  expect(digests).toEqual(texts.map((text) => digestOf(text)));
});

test('a file that is not there, or of another size, has no digest, and the next job has one', async () => {
  const path = join(await temporaryDirectory(), 'file');
  await writeFile(path, 'four');
  expect(await pool.digest([{ path: `${path}x`, size: 4 }])).toBeUndefined();
  expect(await pool.digest([{ path, size: 5 }])).toBeUndefined();
  expect(await pool.digest([{ path, size: 4 }])).toBe(digestOf(Buffer.from('four')));
});

test('what waits or is under way when the pool is closed is ABORTED', async () => {
  const path = join(await temporaryDirectory(), 'file');
  await writeFile(path, Buffer.alloc(50_000_000));
  const jobs = Array.from({ length: 5 }, () =>
    pool.digest([{ path, size: 50_000_000 }]).catch(codeOf),
  );
  await pool.close();
  expect(await Promise.all(jobs)).toEqual(Array(5).fill('ABORTED'));
});
