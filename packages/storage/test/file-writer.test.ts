import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { bytes, type Content, codeOf, OciError } from '@cluster-image/oci';
import { nodeFileSystem, saveFile } from '@cluster-image/storage';
import { noise, temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { batchSize, fileWriter } from '../src/file-writer.ts';
import { formatMark, ownMark } from '../src/process-mark.ts';
import { stageName } from '../src/stage-name.ts';

describe('a file that is saved', () => {
  test('is there whole, with the directories above it', async () => {
    const path = join(await temporaryDirectory(), 'a/b/file.tar');
    const body = Buffer.from(
      Uint32Array.from({ length: batchSize }, (_, at) => at).buffer,
    ).subarray(3);
    await saveFile(path, bytes(body));
    expect(readFileSync(path).equals(body)).toBe(true);
    expect(readdirSync(join(path, '..'))).toEqual(['file.tar']);
  });

  test('replaces what was there, a link itself and not what it leads to', async () => {
    const directory = await temporaryDirectory();
    const [path, other] = [join(directory, 'link'), join(directory, 'other')];
    writeFileSync(other, 'other');
    symlinkSync(other, path);
    await saveFile(path, bytes('new'));
    expect(() => readlinkSync(path)).toThrow('EINVAL');
    expect(readFileSync(path, 'utf8')).toBe('new');
    expect(readFileSync(other, 'utf8')).toBe('other');
  });

  test('may be named from the working directory', async () => {
    const path = join(await temporaryDirectory(), 'file');
    await saveFile(relative(process.cwd(), path), bytes('here'));
    expect(readFileSync(path, 'utf8')).toBe('here');
  });

  test('D12: may have the longest name', async () => {
    const path = join(await temporaryDirectory(), 'n'.repeat(255));
    await saveFile(path, bytes('long'));
    expect(statSync(path).size).toBe(4);
    const failure = await saveFile(`${path}n`, bytes('longer')).catch((error) => error);
    expect(codeOf(failure)).toBe('FILE_SYSTEM');
    expect(readdirSync(join(path, '..'))).toHaveLength(1);
  });

  test('may be empty', async () => {
    const path = join(await temporaryDirectory(), 'file');
    await saveFile(path, bytes(''));
    expect(statSync(path).size).toBe(0);
  });

  test.each([
    ['that breaks off', 'NETWORK'],
    ['that is too short', 'SIZE_MISMATCH'],
    ['that is too long', 'SIZE_MISMATCH'],
  ])('T09: from a content %s leaves what was there, and nothing else', async (how, code) => {
    const path = join(await temporaryDirectory(), 'file');
    await saveFile(path, bytes('old'));
    const content: Content = {
      size: 10,
      async *open() {
        yield Buffer.from('12345');
        if (how === 'that breaks off') throw new OciError('NETWORK', 'the line went dead');
        if (how === 'that is too long') yield Buffer.from('678901');
      },
    };
    await expect(saveFile(path, content)).rejects.toMatchObject({ code });
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(join(path, '..'))).toEqual(['file']);
  });

  test('D03: into a directory\u2019s place is FILE_SYSTEM, naming it', async () => {
    const path = join(await temporaryDirectory(), 'taken');
    mkdirSync(join(path, 'full'), { recursive: true });
    const failure = await saveFile(path, bytes('x')).catch((error) => error);
    expect(codeOf(failure)).toBe('FILE_SYSTEM');
    expect(String(failure)).toContain(path);
    expect(readdirSync(join(path, '..'))).toEqual(['taken']);
  });

  test('sweeps away what processes that are gone had begun, and nothing else', async () => {
    const directory = await temporaryDirectory();
    const gone = `.part~${formatMark({ ...ownMark, started: '1' })}~x`;
    const others = [
      `.${stageName('part')}`,
      '.part',
      '.hidden',
      'part~x',
      `.other~${formatMark(ownMark)}~x`,
    ];
    for (const name of [gone, ...others]) writeFileSync(join(directory, name), '');
    await saveFile(join(directory, 'file'), bytes('x'));
    expect(readdirSync(directory).sort()).toEqual([...others, 'file'].sort());
  });
});

test('chunks of any size are gathered into large writes, in order', async () => {
  const path = join(await temporaryDirectory(), 'file');
  const sizes: number[] = [];
  const handle = await nodeFileSystem.open(path, 'wx', 0o644);
  const writer = fileWriter(nodeFileSystem, path, {
    chmod: (mode) => handle.chmod(mode),
    close: () => handle.close(),
    read: (...given) => handle.read(...given),
    stat: () => handle.stat(),
    sync: () => handle.sync(),
    truncate: (size) => handle.truncate(size),
    writeFile: (data) => handle.writeFile(data),
    writev(chunks) {
      sizes.push(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
      return handle.writev(chunks);
    },
  });
  const parts = Array.from({ length: 3000 }, (_, at) => noise(`${at}`, (at * 37) % 2000));
  for (const part of parts) await writer.write(part);
  await writer.end();
  await handle.close();
  expect(readFileSync(path).equals(Buffer.concat(parts))).toBe(true);
  expect(sizes.length).toBe(Math.ceil(Buffer.concat(parts).length / batchSize));
  for (const size of sizes.slice(0, -1)) expect(size).toBeGreaterThanOrEqual(batchSize);
});
