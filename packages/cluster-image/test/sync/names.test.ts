import { memory, OciError, type RegistryReader } from '@cluster-image/oci';
import { imageFixture, putFixture } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { nameFilter, namesIn } from '../../src/sync/names.ts';
import { failureOf } from '../failure.ts';

const names = [
  'app:1.0',
  'app:1.1',
  'app:latest',
  'library/nginx:1.25',
  'team/a/tool:v1',
  'team/b/tool:v1',
  'team/web:v1',
  'team/web:v2',
];

interface Asked {
  readonly found: readonly string[];
  /** What was listed: `*`, or the tags of a repository. */
  readonly lists: readonly string[];
}

async function found(
  only: readonly string[],
  except: readonly string[] = [],
  change: (registry: RegistryReader) => Partial<RegistryReader> = () => ({}),
): Promise<Asked & { readonly unlisted: readonly string[] }> {
  const registry = memory();
  for (const name of names) {
    const [repository = '', tag] = name.split(':');
    await putFixture(registry, repository, imageFixture(), tag);
  }
  const source = { ...registry, ...change(registry) };
  const lists: string[] = [];
  const { images, failures } = await namesIn(
    {
      repositories: () => {
        lists.push('*');
        return source.repositories();
      },
    },
    (repository) => {
      lists.push(repository);
      return Array.fromAsync(source.tags(repository));
    },
    nameFilter(only, except),
  );
  return {
    found: images.map(({ repository, tag }) => `${repository}:${tag}`),
    unlisted: failures.map(({ repository }) => repository),
    lists,
  };
}

describe('patterns', () => {
  test.each<[readonly string[], readonly string[], readonly string[]]>([
    [[], [], names],
    [['*'], [], ['app:1.0', 'app:1.1', 'app:latest']],
    [['**'], [], names],
    [['team/*'], [], ['team/web:v1', 'team/web:v2']],
    [['team/**'], [], names.slice(4)],
    [['**/tool'], [], ['team/a/tool:v1', 'team/b/tool:v1']],
    [['**:v1'], [], ['team/a/tool:v1', 'team/b/tool:v1', 'team/web:v1']],
    [['app:1.*'], [], ['app:1.0', 'app:1.1']],
    [['app:1.?', 'team/web:v[2-9]'], [], ['app:1.0', 'app:1.1', 'team/web:v2']],
    [['team/{a,b}/tool'], [], ['team/a/tool:v1', 'team/b/tool:v1']],
    [['{app:1.0,team/web:v2}'], [], ['app:1.0', 'team/web:v2']],
    [[], ['team/**', 'app:1.*'], ['app:latest', 'library/nginx:1.25']],
    [['app'], ['**:latest'], ['app:1.0', 'app:1.1']],
    [['app'], ['none/*:*'], ['app:1.0', 'app:1.1', 'app:latest']],
  ])('%j without %j are %j', async (only, except, expected) => {
    expect((await found(only, except)).found).toEqual(expected);
  });

  test.each(['', ':1', 'app@sha256:00', 'docker://app', 'host:5000/app', 'app:1:2'])(
    '%j is USAGE',
    async (text) => {
      for (const filter of [() => nameFilter([text], []), () => nameFilter([], [text])]) {
        expect((await failureOf((async () => filter())())).code).toBe('USAGE');
      }
    },
  );

  test('one that nothing is named by is NOT_FOUND, for it is a mistake', async () => {
    const error = await failureOf(found(['app', 'docker.io/library/*']));
    expect([error.code, error.message]).toEqual([
      'NOT_FOUND',
      expect.stringContaining('docker.io/library/*'),
    ]);
  });
});

describe('what a pattern spells out is in no list', () => {
  test.each<[readonly string[], readonly string[]]>([
    [['app:1.0', 'team/web:v1'], []],
    [['app:1.0', 'app:1.*'], ['app']],
    [['app', 'team/web:v1'], ['app']],
    [
      ['app:1.0', 'team/*:v1'],
      ['*', 'team/web'],
    ],
  ])('%j needs the lists %j', async (only, lists) => {
    expect((await found(only)).lists).toEqual(lists);
  });

  test('and may be a name that is not there, which is found out when it is brought', async () => {
    expect((await found(['none:1'])).found).toEqual(['none:1']);
  });
});

describe('lists that a registry does not give', () => {
  const denied = new OciError('DENIED', 'no');

  test('of repositories are a failure that names the way out', async () => {
    const refusing = (): Partial<RegistryReader> => ({
      async *repositories() {
        yield* [];
        throw denied;
      },
    });
    const error = await failureOf(found(['**'], [], refusing));
    expect([error.code, error.hint]).toEqual(['DENIED', expect.stringContaining('--only')]);
    expect((await found(['app'], [], refusing)).found).toEqual(names.slice(0, 3));
  });

  test('of the tags of one repository are the failure of that one', async () => {
    const refusing = (registry: RegistryReader): Partial<RegistryReader> => ({
      async *tags(repository) {
        if (repository === 'app') throw denied;
        yield* registry.tags(repository);
      },
    });
    const { found: others, unlisted } = await found(['*', 'team/web'], [], refusing);
    expect([others, unlisted]).toEqual([['team/web:v1', 'team/web:v2'], ['app']]);
  });
});
