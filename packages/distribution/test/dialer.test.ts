import type { LookupAddress } from 'node:dns';
import { describe, expect, test } from 'vitest';
import { isPrivateAddress, isPrivateHost, publicLookup } from '../src/dialer.ts';

describe('C24 an address', () => {
  test.each([
    '0.0.0.0',
    '10.1.2.3',
    '100.64.0.1',
    '127.0.0.1',
    '127.8.8.8',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '198.18.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '[::1]',
    'fc00::1',
    'fd12:3456::1',
    'fe80::1',
    'ff02::1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '[::ffff:a9fe:a9fe]',
    new URL('http://[::ffff:10.0.0.1]').hostname,
    new URL('http://0x7f.1').hostname,
    new URL('http://2130706433').hostname,
  ])('%s is private', (address) => {
    expect(isPrivateAddress(address)).toBe(true);
  });

  test.each([
    '1.1.1.1',
    '100.63.255.255',
    '100.128.0.1',
    '172.15.255.255',
    '172.32.0.1',
    '192.167.1.1',
    '203.0.113.5',
    '2606:4700::1111',
    '[2001:db8::1]',
    '::ffff:8.8.8.8',
    'example.com',
    'localhost',
    '',
  ])('%s is not', (address) => {
    expect(isPrivateAddress(address)).toBe(false);
  });

  test('that a name has is what counts', async () => {
    expect(await isPrivateHost('localhost')).toBe(true);
    expect(await isPrivateHost('127.0.0.1')).toBe(true);
    expect(await isPrivateHost('[::1]')).toBe(true);
    expect(await isPrivateHost('203.0.113.5')).toBe(false);
  });

  test.each([true, false])('that is private is not looked up (all: %s)', async (all) => {
    expect(await lookup('localhost', all)).toEqual({
      code: 'PRIVATE_ADDRESS',
      addresses: all ? [] : '',
    });
  });

  test('that is public is found', async () => {
    expect(await lookup('203.0.113.5', true)).toEqual({
      code: undefined,
      addresses: [{ address: '203.0.113.5', family: 4 }],
    });
    expect(await lookup('203.0.113.5', false)).toEqual({
      code: undefined,
      addresses: '203.0.113.5',
    });
  });
});

interface Found {
  readonly code: string | undefined;
  readonly addresses: string | LookupAddress[];
}

async function lookup(name: string, all: boolean): Promise<Found> {
  return new Promise((resolve) => {
    publicLookup(name, { all }, (error, addresses) => resolve({ code: error?.code, addresses }));
  });
}
