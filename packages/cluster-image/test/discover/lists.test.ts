import { describe, expect, test } from 'vitest';
import { findInArchiveList, findInList, linesOf } from '../../src/discover/lists.ts';

describe('Y09: a list of images', () => {
  test('has one to a line, with comments, spaces, quotes and Windows lines', () => {
    const text = '\uFEFF# all of them\r\n\r\n  nginx  # web\r\n"quay.io/a/b:v1"\r\nx/y:1#2\r\n';
    const { images, suspects, unresolved } = findInList(text, 'images/shim/list');
    expect(images.map(({ reference, origins: [origin] }) => [reference, origin])).toEqual([
      ['docker.io/library/nginx:latest', { file: 'images/shim/list', line: 3 }],
      ['quay.io/a/b:v1', { file: 'images/shim/list', line: 4 }],
    ]);
    expect(suspects).toEqual([]);
    expect(unresolved.map(({ text, origin }) => [text, origin.line])).toEqual([['x/y:1#2', 5]]);
  });

  test.each([
    ['--help', /is not an image reference/],
    ['-rf', /is not an image reference/],
    ['nginx redis', /is not an image reference/],
    ['a.io/b:{{ .tag }}', /is not an image reference/],
    ['docker-daemon:', /is not an image reference/],
    ['docker-daemon:Nginx', /lower-case/],
    [`docker-daemon:sha256:${'1'.repeat(64)}`, /an image id says nothing/],
    [`docker-daemon:nginx@sha256:${'1'.repeat(64)}`, /is told the tag/],
    [`containers-storage:nginx:1@sha256:${'1'.repeat(64)}`, /is told the tag/],
    ['containers-storage:[vfs@/root]nginx:1', /is not an image reference/],
    ['docker-archive:app.tar', /listed in images\/skopeo\/tar\.txt/],
    ['dir:app', /save them as archives/],
    ['oci:app:1', /save them as archives/],
  ])('%s is unresolved', (entry, reason) => {
    const { images, unresolved } = findInList(`a\n${entry}\n`, 'list');
    expect(images).toHaveLength(1);
    expect(unresolved).toEqual([
      { text: entry, reason: expect.stringMatching(reason), origin: { file: 'list', line: 2 } },
    ]);
  });

  test('names what container engines of the machine have, in any spelling', () => {
    const text = 'docker-daemon:app:1.0\ncontainers-storage:localhost/app\ndocker-daemon:5000/b\n';
    const { images, unresolved } = findInList(text, 'list');
    expect(unresolved).toEqual([]);
    expect(images.map(({ reference, archive }) => [reference, archive])).toEqual([
      ['docker.io/library/app:1.0', 'docker-daemon:docker.io/library/app:1.0'],
      ['localhost/app:latest', 'containers-storage:localhost/app:latest'],
      // A host and its port, not a transport and its name.
      ['docker-daemon:5000/b:latest', undefined],
    ]);
  });

  test('may have a hundred thousand lines', () => {
    const text = Array.from({ length: 100_000 }, (_, at) => `a/b:${at}`).join('\n');
    const { images } = findInList(text, 'list');
    expect(images).toHaveLength(100_000);
    expect(images.at(-1)?.origins).toEqual([{ file: 'list', line: 100_000 }]);
  });

  test('lines keep their numbers', () => {
    expect(linesOf('a\n\n# b\n c \n')).toEqual([
      { text: 'a', line: 1 },
      { text: 'c', line: 4 },
    ]);
  });
});

describe('a list of archives', () => {
  const file = 'images/skopeo/tar.txt';

  test.each([
    [
      'docker-archive:app.tar@acme/app:1',
      { reference: 'docker.io/acme/app:1', archive: 'docker-archive:images/skopeo/app.tar' },
    ],
    [
      'oci-archive:../x/./app.tar@acme/app',
      { reference: 'docker.io/acme/app:latest', archive: 'oci-archive:images/x/app.tar' },
    ],
    [
      'docker-archive:all.tar:localhost:5000/app:1@acme/app:1',
      {
        reference: 'docker.io/acme/app:1',
        archive: 'docker-archive:images/skopeo/all.tar:localhost:5000/app:1',
      },
    ],
    [
      'docker-archive:config_main.tar@config_main:v1',
      {
        reference: 'docker.io/library/config_main:v1',
        archive: 'docker-archive:images/skopeo/config_main.tar',
        repository: 'config_main',
      },
    ],
    [
      'docker-archive:app.tar@reg.example/acme/app:1',
      {
        reference: 'reg.example/acme/app:1',
        archive: 'docker-archive:images/skopeo/app.tar',
        repository: 'reg.example/acme/app',
      },
    ],
  ])('%s', (line, found) => {
    const origins = [{ file, line: 1 }];
    expect(findInArchiveList(line, file)).toEqual({
      images: [{ ...found, origins }],
      suspects: [],
      unresolved: [],
    });
  });

  test.each([
    ['app.tar', /not docker-archive:PATH@NAME/],
    ['docker-archive:app.tar', /not docker-archive:PATH@NAME/],
    ['dir:app@acme/app', /not docker-archive:PATH@NAME/],
    ['docker-archive:/etc/app.tar@acme/app', /outside the context/],
    ['docker-archive:../../../app.tar@acme/app', /outside the context/],
    ['docker-archive:../../../app.tar:x@acme/app', /outside the context/],
    ['docker-archive:app.tar@Acme/app', /not REPOSITORY/],
    ['docker-archive:app.tar@localhost:5000/app:1', /not REPOSITORY/],
    [`docker-archive:app.tar@acme/app@sha256:${'1'.repeat(64)}`, /not REPOSITORY/],
    ['docker-archive:app.tar@acme/app:-1', /is not a tag/],
  ])('%s is unresolved', (line, reason) => {
    expect(findInArchiveList(`\n${line}`, file)).toEqual({
      images: [],
      suspects: [],
      unresolved: [
        { text: line, reason: expect.stringMatching(reason), origin: { file, line: 2 } },
      ],
    });
  });
});
