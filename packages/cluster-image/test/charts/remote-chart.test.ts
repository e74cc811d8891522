import { describe, expect, test } from 'vitest';
import { remoteCharts } from '../../src/charts/remote-chart.ts';

describe('a chart of a repository', () => {
  test('is called as its file, unless it is given a name', () => {
    expect(
      remoteCharts({
        charts: {
          'charts/podinfo.tgz': {
            repository: 'https://a.io/podinfo/',
            name: 'other',
            version: '^6',
          },
          'charts/cert-manager.tgz': { repository: 'oci://quay.io/jetstack/charts' },
          'charts/local': { release: 'x' },
        },
      }),
    ).toEqual([
      {
        path: 'charts/cert-manager.tgz',
        repository: 'oci://quay.io/jetstack/charts',
        name: 'cert-manager',
      },
      {
        path: 'charts/podinfo.tgz',
        repository: 'https://a.io/podinfo',
        name: 'other',
        version: '^6',
      },
    ]);
  });

  const repository = 'https://a.io';
  test.each([
    ['charts/web', { repository }, 'not the path'],
    ['../web.tgz', { repository }, 'not the path'],
    ['/web.tgz', { repository }, 'not the path'],
    ['charts//web.tgz', { repository }, 'not the path'],
    ['./charts/web.tgz', { repository }, 'not the path'],
    ['charts/.tgz', { repository }, 'not the path'],
    ['charts/a\nb.tgz', { repository }, 'not the path'],
    ['charts/a.tgz', { repository, name: '../x' }, 'is not a chart name'],
    ['charts/a.tgz', { repository, name: '-x' }, 'is not a chart name'],
    ['charts/a b.tgz', { repository }, 'is not a chart name'],
    ['charts/a.tgz', { repository, version: 'latest' }, 'is no version'],
    ['charts/a.tgz', { repository: 'https://me:secret@a.io' }, 'not a plain URL'],
    ['charts/a.tgz', { repository: 'https://a.io/x?token=secret' }, 'not a plain URL'],
    ['charts/a.tgz', { repository: 'https://a.io/x#secret' }, 'not a plain URL'],
    ['charts/a.tgz', { repository: 'oci://me:secret@a.io/x' }, 'not a plain URL'],
    ['charts/a.tgz', { repository: 'file:///etc' }, 'not a plain URL'],
    ['charts/a.tgz', { repository: 'oci://' }, 'not a plain URL'],
    ['charts/A.tgz', { repository: 'oci://a.io/x' }, 'is not a name that registries have'],
    ['charts/a.tgz', { repository: 'oci://a.io/X' }, 'is not a name that registries have'],
    ['charts/a.tgz', { version: '1.0.0' }, 'it has none'],
  ])('%j is refused as %j', (path, settings, why) => {
    const read = () => remoteCharts({ charts: { [path]: settings } });
    expect(read).toThrow(expect.objectContaining({ code: 'INPUT_INVALID' }));
    expect(read).toThrow(why);
    expect(read).not.toThrow('secret');
  });
});
