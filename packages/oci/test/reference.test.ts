import {
  codeOf,
  digestOf,
  formatReference,
  isHost,
  isRepository,
  isTag,
  nameOf,
  parseName,
  parseReference,
  type Reference,
  referenceFrom,
  wholeReference,
} from '@cluster-image/oci';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const hex = '1a3f5e7d9c1b3a5f7e9d1c3b5a7f9e1d3c5b7a9f1e3d5d7c9b1a3f5e7d9c1b3a';
const sha256 = `sha256:${'f'.repeat(64)}`;
const sha512 = `sha512:${'f'.repeat(128)}`;

describe('a reference is read as distribution/reference reads it', () => {
  test.each([
    ['nginx', 'docker.io/library/nginx:latest'],
    ['nginx:1.27', 'docker.io/library/nginx:1.27'],
    ['docker/docker', 'docker.io/docker/docker:latest'],
    ['library/debian', 'docker.io/library/debian:latest'],
    ['docker.io/docker/docker', 'docker.io/docker/docker:latest'],
    ['docker.io/library/debian', 'docker.io/library/debian:latest'],
    ['docker.io/debian', 'docker.io/library/debian:latest'],
    ['index.docker.io/docker/docker', 'docker.io/docker/docker:latest'],
    ['index.docker.io/debian', 'docker.io/library/debian:latest'],
    ['127.0.0.1:5000/docker/docker', '127.0.0.1:5000/docker/docker:latest'],
    ['127.0.0.1:5000/debian', '127.0.0.1:5000/debian:latest'],
    ['192.168.0.1', 'docker.io/library/192.168.0.1:latest'],
    ['192.168.0.1:80', 'docker.io/library/192.168.0.1:80'],
    ['192.168.0.1:8/debian', '192.168.0.1:8/debian:latest'],
    ['foo_bar.com:8080', 'docker.io/library/foo_bar.com:8080'],
    ['foo/foo_bar.com:8080', 'docker.io/foo/foo_bar.com:8080'],
    ['localhost/x', 'localhost/x:latest'],
    ['localhost:5000/x', 'localhost:5000/x:latest'],
    ['Docker/docker', 'Docker/docker:latest'],
    ['DOCKER/docker', 'DOCKER/docker:latest'],
    ['[::1]:5000/x', '[::1]:5000/x:latest'],
    ['[fc00::1]:5000/docker/docker', '[fc00::1]:5000/docker/docker:latest'],
    ['[2001:db8::1]/repo', '[2001:db8::1]/repo:latest'],
    ['sub-dom1.foo.com/bar/baz/quux:some-long-tag', 'sub-dom1.foo.com/bar/baz/quux:some-long-tag'],
    [
      'b.gcr.io/test.example.com/my-app:test.example.com',
      'b.gcr.io/test.example.com/my-app:test.example.com',
    ],
    [`xn--n3h.com/myimage:xn--n3h.com@${sha512}`, `xn--n3h.com/myimage:xn--n3h.com@${sha512}`],
    [`nginx@${sha256}`, `docker.io/library/nginx@${sha256}`],
    [`nginx:1@${sha256}`, `docker.io/library/nginx:1@${sha256}`],
    [`docker.io/${hex}`, `docker.io/library/${hex}:latest`],
    [`${hex}:1`, `docker.io/library/${hex}:1`],
    ['a__b/c--d', 'docker.io/a__b/c--d:latest'],
    ['a.b.c/d_e', 'a.b.c/d_e:latest'],
    ['x:_', 'docker.io/library/x:_'],
    ['x:A.b-c_D', 'docker.io/library/x:A.b-c_D'],
  ])('%s means %s', (text, meaning) => {
    expect(formatReference(parseReference(text))).toBe(meaning);
  });

  test.each([
    '',
    ':',
    '@',
    '/',
    ' nginx',
    'nginx ',
    'nginx\n',
    'nginx:',
    'nginx@',
    'nginx:tag with space',
    `nginx:${'t'.repeat(129)}`,
    'nginx:-x',
    'nginx:.x',
    'nginx:a:b',
    `nginx@${sha256}@${sha256}`,
    'https://github.com/docker/docker',
    'docker/Docker',
    'docker.io/docker/Docker',
    '-docker',
    '-docker/docker',
    '-docker.io/docker/docker',
    'docker-/x',
    'docker///docker',
    'docker.io/docker///docker',
    'docker.io/',
    'a//b',
    'a/b/',
    '/a/b',
    'a___b',
    'a..b',
    'a._b',
    'a/-b',
    'a/b-',
    'a/_b',
    '.a/b',
    '../a',
    'a/../b',
    'a/./b',
    'aa/asdf$$^/aa',
    '[fc00::1]',
    '[fc00::1]:5000',
    'fc00::1:5000/debian',
    '[fe80::1%eth0]:5000/debian',
    '[2001:db8:3:4::192.0.2.33]:5000/debian',
    'host:port/x',
    'foo_bar.com:80/x',
    hex,
    'nginx@sha256:abc',
    `nginx@sha256:${'F'.repeat(64)}`,
    `nginx@md5:${'f'.repeat(32)}`,
    'nginx@sha256:../../../../etc/passwd',
    'пример/x',
    'ng\u0456nx',
    '{{ .Values.image }}',
    '$IMAGE',
    '$(IMAGE)',
    '--help',
  ])('%j is refused', (text) => {
    expect(codeOf(refusal(() => parseReference(text)))).toBe('REFERENCE_INVALID');
  });

  test('a path of 255 characters is the longest', () => {
    const longest = `${'a/'.repeat(127)}a`;
    expect(parseReference(`x.io/${longest}`).repository).toBe(longest);
    expect(codeOf(refusal(() => parseReference(`x.io/${longest}a`)))).toBe('REFERENCE_INVALID');
  });

  test('a hostile text of a megabyte is refused in a moment, and the message stays short', () => {
    for (const unit of ['a', 'a-', 'a.', 'a/', 'a_', '-', 'a:', '[', '@', '\u0000']) {
      const started = performance.now();
      const failure = refusal(() => parseReference(`${unit.repeat(1_000_000 / unit.length)}!`));
      expect(codeOf(failure)).toBe('REFERENCE_INVALID');
      expect(performance.now() - started).toBeLessThan(10_000);
    }
    expect(String(refusal(() => parseReference('a'.repeat(1_000_000)))).length).toBeLessThan(1000);
  });
});

/** Any character that UTF-8 has. */
const character = fc
  .oneof(fc.integer({ min: 0, max: 0xd7ff }), fc.integer({ min: 0xe000, max: 0x10ffff }))
  .map((point) => String.fromCodePoint(point));

const alphanumeric = fc.constantFrom(...'abcxyz019');
const word = fc.string({ unit: alphanumeric, minLength: 1, maxLength: 8 });
const component = fc
  .array(fc.tuple(word, fc.constantFrom('.', '_', '__', '-', '---')), { maxLength: 3 })
  .chain((parts) => word.map((last) => parts.flat().join('') + last));
const path = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
const host = fc.oneof(
  fc.constantFrom('localhost', 'localhost:5000', '[::1]:5000', '[2001:db8::1]', 'quay.io', 'HOST'),
  fc.tuple(word, word).map(([a, b]) => `${a}.${b}`),
  fc.tuple(word, fc.nat(65535)).map(([name, port]) => `${name}:${port}`),
);
const tag = fc
  .tuple(
    fc.constantFrom(...'aZ0_'),
    fc.string({ unit: fc.constantFrom(...'aZ09_.-'), maxLength: 127 }),
  )
  .map(([first, rest]) => first + rest);
const digest = fc.uint8Array({ maxLength: 8 }).map((seed) => digestOf(seed));
const pin = fc.oneof(
  tag.map((tag) => ({ tag })),
  digest.map((digest) => ({ digest })),
  fc.record({ tag, digest }),
);
const reference: fc.Arbitrary<Reference> = fc.oneof(
  fc.tuple(host, path, pin).map(([host, repository, pin]) => ({ host, repository, ...pin })),
  fc.tuple(component, path, pin).map(([first, rest, pin]) => ({
    host: 'docker.io',
    repository: `${first}/${rest}`,
    ...pin,
  })),
);

test('what is formatted is read back as it was', () => {
  fc.assert(
    fc.property(reference, (given) => {
      expect(parseReference(formatReference(given))).toEqual(given);
      expect(parseName(nameOf(given))).toEqual({ host: given.host, repository: given.repository });
    }),
  );
});

test('normalising a second time changes nothing', () => {
  const short = fc
    .tuple(
      fc.option(host),
      path.map((path) => path.replaceAll('.', '_')),
      fc.option(tag),
      fc.option(digest),
    )
    .map(
      ([host, path, tag, digest]) =>
        `${host ? `${host}/` : ''}${path}${tag ? `:${tag}` : ''}${digest ? `@${digest}` : ''}`,
    );
  fc.assert(
    fc.property(short, (text) => {
      const once = formatReference(parseReference(text));
      expect(formatReference(parseReference(once))).toBe(once);
    }),
  );
});

test('any text is a reference or REFERENCE_INVALID, and what is read obeys the grammar', () => {
  const text = fc.oneof(
    fc.string({ unit: character, maxLength: 40 }),
    fc.string({ unit: fc.constantFrom(...'aA0./:@_-[]\u0000 '), maxLength: 40 }),
  );
  fc.assert(
    fc.property(text, (text) => {
      let read: Reference;
      try {
        read = parseReference(text);
      } catch (error) {
        expect(codeOf(error)).toBe('REFERENCE_INVALID');
        return;
      }
      expect(isHost(read.host)).toBe(true);
      expect(isRepository(read.repository)).toBe(true);
      expect(read.tag === undefined || isTag(read.tag)).toBe(true);
      expect(parseReference(formatReference(read))).toEqual(read);
    }),
    { numRuns: 1000 },
  );
});

test('a repository name in a store has a host in front', () => {
  expect(parseName('docker.io/library/nginx')).toEqual({
    host: 'docker.io',
    repository: 'library/nginx',
  });
  for (const name of ['nginx', '/nginx', 'docker.io/', 'docker.io/../x', '../x', 'a b/c']) {
    expect(codeOf(refusal(() => parseName(name)))).toBe('REFERENCE_INVALID');
  }
});

function refusal(act: () => unknown): unknown {
  try {
    return { accepted: act() };
  } catch (error) {
    return error;
  }
}

test('a text that may be none is told from a reference', () => {
  expect(referenceFrom('nginx')?.repository).toBe('library/nginx');
  expect(wholeReference('nginx')).toBe('docker.io/library/nginx:latest');
  for (const text of ['', 'A b', 'a:b:c', '{{ .image }}', '__proto__/']) {
    expect([referenceFrom(text), wholeReference(text)]).toEqual([undefined, undefined]);
  }
});
