import { codeOf, formatPlatform, matchesPlatform, parsePlatform } from '@cluster-image/oci';
import fc from 'fast-check';
import { expect, test } from 'vitest';

test.each([
  ['linux/amd64', { os: 'linux', architecture: 'amd64' }],
  ['linux/amd64/v1', { os: 'linux', architecture: 'amd64' }],
  ['linux/amd64/v3', { os: 'linux', architecture: 'amd64', variant: 'v3' }],
  ['Linux/AMD64', { os: 'linux', architecture: 'amd64' }],
  ['linux/x86_64', { os: 'linux', architecture: 'amd64' }],
  ['linux/x86-64', { os: 'linux', architecture: 'amd64' }],
  ['linux/i386', { os: 'linux', architecture: '386' }],
  ['linux/aarch64', { os: 'linux', architecture: 'arm64' }],
  ['linux/arm64/v8', { os: 'linux', architecture: 'arm64' }],
  ['linux/arm64/v9', { os: 'linux', architecture: 'arm64', variant: 'v9' }],
  ['linux/arm', { os: 'linux', architecture: 'arm' }],
  ['linux/arm/v7', { os: 'linux', architecture: 'arm' }],
  ['linux/arm/v6', { os: 'linux', architecture: 'arm', variant: 'v6' }],
  ['linux/armhf', { os: 'linux', architecture: 'arm' }],
  ['linux/armel', { os: 'linux', architecture: 'arm', variant: 'v6' }],
  ['windows/amd64', { os: 'windows', architecture: 'amd64' }],
])('%s is read', (text, platform) => {
  expect(parsePlatform(text)).toEqual(platform);
});

test.each([
  '',
  'linux',
  'linux/',
  '/amd64',
  'linux/amd64/',
  'linux//v8',
  'linux/arm64/v8/x',
  'linux/amd64 ',
  'linux/../x',
  'linux/amd64\n',
  'linux/constructor()',
  `linux/${'a'.repeat(65)}`,
])('%j is no platform', (text) => {
  let failure: unknown;
  try {
    parsePlatform(text);
  } catch (error) {
    failure = error;
  }
  expect(codeOf(failure)).toBe('PLATFORM_INVALID');
});

test('the names of what every object has are architectures like any other', () => {
  for (const name of Object.getOwnPropertyNames(Object.prototype)) {
    const text = `linux/${name.toLowerCase()}`;
    if (name.startsWith('_')) expect(() => parsePlatform(text)).toThrow('is not a platform');
    else expect(parsePlatform(text).architecture).toBe(name.toLowerCase());
  }
});

test('what is formatted is read back as it was', () => {
  const word = fc.constantFrom(
    'linux',
    'amd64',
    'arm64',
    'arm',
    'v6',
    'v7',
    'v8',
    'x86_64',
    'i386',
  );
  fc.assert(
    fc.property(word, word, fc.option(word), (os, architecture, variant) => {
      const platform = parsePlatform([os, architecture, ...(variant ? [variant] : [])].join('/'));
      expect(parsePlatform(formatPlatform(platform))).toEqual(platform);
    }),
  );
});

test.each([
  ['linux/arm64', { os: 'linux', architecture: 'arm64', variant: 'v8' }, true],
  ['linux/arm64/v8', { os: 'linux', architecture: 'arm64' }, true],
  ['linux/arm64/v9', { os: 'linux', architecture: 'arm64' }, false],
  ['linux/amd64', { os: 'linux', architecture: 'amd64', variant: '' }, true],
  ['linux/amd64', { os: 'windows', architecture: 'amd64', 'os.version': '10.0.1' }, false],
  ['windows/amd64', { os: 'windows', architecture: 'amd64', 'os.version': '10.0.1' }, true],
  ['linux/arm/v6', { os: 'linux', architecture: 'arm', variant: 'v7' }, false],
  ['linux/amd64', { os: 'unknown', architecture: 'unknown' }, false],
  ['linux/amd64', undefined, false],
] as const)('whether %s is what %j was made for: %s', (wanted, actual, matches) => {
  expect(matchesPlatform(parsePlatform(wanted), actual)).toBe(matches);
});
