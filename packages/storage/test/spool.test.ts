import { bytes, codeOf, digestOf } from '@cluster-image/oci';
import { distributionLayout, type FileSystem } from '@cluster-image/storage';
import { noise } from '@cluster-image/testing';
import { expect, test } from 'vitest';
import { simulatedDisk } from './simulated-disk.ts';
import { bury, leftBelow } from './wreck.ts';

const body = noise('spool', 2_000_000);

/** A disk that notes down what is done with open files. */
function watched(): { readonly fs: FileSystem; readonly done: readonly string[] } {
  const { fs } = simulatedDisk();
  const done: string[] = [];
  const open: FileSystem['open'] = async (path, flags, mode) => {
    const handle = await fs.open(path, flags, mode);
    done.push('open');
    return {
      ...handle,
      async writev(chunks) {
        done.push('write');
        return handle.writev(chunks);
      },
      async close() {
        done.push('close');
        await handle.close();
      },
    };
  };
  return { fs: { ...fs, open }, done };
}

test('what is given up while something is added ends there, and is closed only then', async () => {
  const { fs, done } = watched();
  const spooled = await distributionLayout('/disk', { fs }).begin();
  const [come, more] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const adding = spooled.append(
    (async function* () {
      yield body;
      come.resolve();
      await more.promise;
      yield body;
      throw new Error('is not asked for');
    })(),
  );
  await come.promise;
  await spooled.end();
  expect(done.filter((deed) => deed === 'close')).toHaveLength(1);
  expect(await leftBelow('/disk', fs)).toEqual([]);
  more.resolve();
  expect(await adding.catch(codeOf)).toBe('ABORTED');
  expect(done.lastIndexOf('close')).toBeGreaterThan(done.lastIndexOf('write'));
  expect(done.filter((deed) => deed === 'close')).toHaveLength(2);
  expect(await leftBelow('/disk', fs)).toEqual([]);
});

test('nothing is open while nothing is added', async () => {
  const { fs, done } = watched();
  const spooled = await distributionLayout('/disk', { fs }).begin();
  const count = (wanted: string): number => done.filter((deed) => deed === wanted).length;
  expect([count('open'), count('close')]).toEqual([1, 1]);
  await spooled.append(bytes(body).open());
  await spooled.append(bytes(body).open());
  await spooled.content();
  expect([count('open'), count('close')]).toEqual([4, 4]);
  await spooled.end();
});

test('what somebody else has cut meanwhile is not gone on with', async () => {
  const { fs } = simulatedDisk();
  const spooled = await distributionLayout('/disk', { fs }).begin();
  await spooled.append(bytes(body).open());
  for (const path of await leftBelow('/disk', fs)) {
    await fs.rm(`/disk/${path}`, { force: true });
  }
  expect(await spooled.append(bytes(body).open()).catch(codeOf)).toBe('FILE_SYSTEM');
  await spooled.end();
  expect(await leftBelow('/disk', fs)).toEqual([]);
});

test('what is not its digest is known without being read again', async () => {
  const layout = distributionLayout('/disk', { fs: simulatedDisk().fs });
  const spooled = await layout.begin();
  await spooled.append(bytes(body).open());
  const unread = {
    ...(await spooled.content()),
    open: () => {
      throw new Error('it was read');
    },
  };
  const wrong = digestOf(noise('wrong', 5));
  expect(await layout.putBlob('team/app', wrong, unread).catch(codeOf)).toBe('DIGEST_MISMATCH');
  await layout.putBlob('team/app', digestOf(body), unread);
  await spooled.end();
  expect((await layout.blob('team/app', digestOf(body)))?.size).toBe(body.length);
});

test('what a process left that is gone is swept away by the next', async () => {
  const { fs } = simulatedDisk();
  const spooled = await distributionLayout('/disk', { fs }).begin();
  await spooled.append(bytes(body).open());
  expect(await leftBelow('/disk', fs)).toHaveLength(1);
  const living = await distributionLayout('/disk', { fs }).begin();
  await living.end();
  expect(await leftBelow('/disk', fs)).toHaveLength(1);
  await bury('/disk', fs);
  const next = await distributionLayout('/disk', { fs, resumable: true }).begin();
  await next.end();
  expect(await leftBelow('/disk', fs)).toEqual([]);
});
