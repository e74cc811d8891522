import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { memory } from '@cluster-image/oci';
import { temporaryDirectory } from '@cluster-image/testing';
import { expect, test } from 'vitest';
import { interceptor } from '../src/intercepting.ts';

test('the authority of some hosts is made once, its key for nobody else to read', async () => {
  const directory = join(await temporaryDirectory(), 'authority');
  const make = (...hosts: string[]) =>
    interceptor({ hosts, directory, tunnels: false }, () => memory());
  const read = () => readFile(join(directory, 'authority.pem'), 'utf8');
  await make('quay.io', 'docker.io');
  const first = await read();
  expect((await stat(join(directory, 'authority.key'))).mode & 0o777).toBe(0o600);
  await make('docker.io', 'quay.io', 'quay.io');
  expect(await read()).toBe(first);
  await make('quay.io');
  expect(await read()).not.toBe(first);
});
