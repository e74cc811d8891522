import { directory } from '@cluster-image/storage';
import { describe, expect, test } from 'vitest';
import { findInCharts } from '../../src/discover/charts.ts';
import type { Findings } from '../../src/discover/discovery.ts';
import { helmTemplate } from '../../src/helm.ts';
import { chartFile, packedChart, pod } from '../chart-files.ts';
import { contextDirectory, type Given } from '../context.ts';

interface Dependency {
  readonly name: string;
  readonly repository: string;
  readonly [field: string]: unknown;
}

function depending(name: string, ...dependencies: readonly Dependency[]): string {
  const all = dependencies.map((dependency) => ({ version: '>=0', ...dependency }));
  return chartFile(name, `dependencies: ${JSON.stringify(all)}\n`);
}

async function find(files: Readonly<Record<string, Given>>): Promise<Findings> {
  const root = await contextDirectory(files);
  const environment = { cwd: root, variables: process.env };
  const render = helmTemplate(root, environment, new AbortController().signal);
  return findInCharts(directory(root), { render });
}

/** `reference file:line`, in order. */
async function images(files: Readonly<Record<string, Given>>): Promise<readonly string[]> {
  const { images, unresolved } = await find(files);
  expect(unresolved).toEqual([]);
  return images.flatMap(({ reference, origins }) =>
    origins.map(({ file, line }) => `${reference} ${file}:${line}`),
  );
}

async function failure(files: Readonly<Record<string, Given>>): Promise<string> {
  const { unresolved } = await find(files);
  expect(unresolved).toHaveLength(1);
  return `${unresolved[0]?.origin.file}: ${unresolved[0]?.reason}`;
}

describe('a chart that depends on others of the context', () => {
  test('has what they render to, with their own places', async () => {
    expect(
      await images({
        'charts/web/Chart.yaml': depending('web', {
          name: 'redis',
          repository: 'file://../../shared/redis',
        }),
        'charts/web/values.yaml': 'redis: {tag: "2"}\nglobal: {host: a.io}\n',
        'charts/web/templates/pod.yaml': pod('a.io/web:1'),
        'shared/redis/Chart.yaml': depending('redis', {
          name: 'common',
          repository: 'file://../common/',
        }),
        'shared/redis/values.yaml': 'tag: "1"\n',
        'shared/redis/templates/pod.yaml': pod(
          '{{ include "common.host" . }}/redis:{{ .Values.tag }}',
        ),
        'shared/common/Chart.yaml': chartFile('common', 'type: library\n'),
        'shared/common/templates/_host.tpl':
          '{{ define "common.host" }}{{ .Values.global.host }}{{ end }}',
      }),
    ).toEqual([
      'a.io/redis:2 shared/redis/templates/pod.yaml:7',
      'a.io/web:1 charts/web/templates/pod.yaml:7',
    ]);
  });

  test('has them as helm has them: under other names, under conditions, with imported values', async () => {
    const shared = {
      'shared/redis/Chart.yaml': chartFile('redis'),
      'shared/redis/values.yaml': 'tag: "1"\nexports: {data: {image: a.io/imported:1}}\n',
      'shared/redis/templates/pod.yaml': pod('a.io/redis:{{ .Values.tag }}'),
    };
    const repository = 'file://../../shared/redis';
    expect(
      await images({
        ...shared,
        'charts/web/Chart.yaml': depending(
          'web',
          { name: 'redis', repository, alias: 'cache', 'import-values': ['data'] },
          { name: 'redis', repository, alias: 'queue', condition: 'queue.enabled' },
          { name: 'redis', repository, alias: 'never', tags: ['extra'] },
        ),
        'charts/web/values.yaml':
          'cache: {tag: "2"}\nqueue: {tag: "3", enabled: true}\nnever: {tag: "4"}\ntags: {extra: false}\n',
        'charts/web/templates/pod.yaml': pod('{{ .Values.image }}'),
      }),
    ).toEqual([
      'a.io/imported:1 charts/web/templates/pod.yaml:7',
      'a.io/redis:2 shared/redis/templates/pod.yaml:7',
      'a.io/redis:3 shared/redis/templates/pod.yaml:7',
    ]);
  });

  test('has its own where it was built, a directory or packed', async () => {
    const inner = { 'Chart.yaml': chartFile('redis'), 'templates/pod.yaml': pod('a.io/built:1') };
    const { images } = await find({
      'charts/a/Chart.yaml': depending('a', { name: 'redis', repository: 'file://../../none' }),
      'charts/a/charts/any/Chart.yaml': inner['Chart.yaml'],
      'charts/a/charts/any/templates/pod.yaml': inner['templates/pod.yaml'],
      'charts/b/Chart.yaml': depending('b', { name: 'redis', repository: 'file://../../none' }),
      'charts/b/charts/redis-1.0.0.tgz': await packedChart('redis', inner),
    });
    expect(images.map(({ reference, origins }) => [reference, origins.length])).toEqual([
      ['a.io/built:1', 2],
    ]);
  });

  test('is without what it ignores, and what they ignore', async () => {
    expect(
      await images({
        'charts/web/Chart.yaml': depending('web', { name: 'redis', repository: 'file://../redis' }),
        'charts/web/.helmignore': '# mine\n/templates/off.yaml\nold/\n',
        'charts/web/templates/pod.yaml': pod('a.io/web:1'),
        'charts/web/templates/off.yaml': '{{ fail "ignored" }}',
        'charts/web/templates/old/pod.yaml': '{{ fail "ignored" }}',
        'charts/redis/Chart.yaml': chartFile('redis'),
        'charts/redis/.helmignore': '*.bak.yaml\n',
        'charts/redis/templates/a.bak.yaml': '{{ fail "ignored" }}',
        'charts/redis/templates/.hidden.yaml': '{{ fail "ignored" }}',
        'charts/redis/templates/pod.yaml': { link: '../files/pod.yaml' },
        'charts/redis/files/pod.yaml': pod('a.io/redis:{{ .Files.Get "files/tag" | trim }}'),
        'charts/redis/files/tag': '1\n',
      }),
    ).toEqual([
      'a.io/redis:1 charts/redis/templates/pod.yaml:7',
      'a.io/redis:1 charts/redis/files/pod.yaml:7',
      'a.io/web:1 charts/web/templates/pod.yaml:7',
    ]);
  });

  test.each([
    [
      'outside the context',
      'file://../../../common',
      /which is not in the context\. Run `helm dependency build`/,
    ],
    ['by a path of the machine', 'file:///usr/share', /which is not in the context/],
    ['by nothing', 'file://', /which depends on this one/],
    ['that is a file', 'file://../../file', /which is not in the context/],
    ['that is no chart', 'file://../../shared', /there is no such file/],
    ['through a link to the outside', 'file://../../outward', /which is not in the context/],
    [
      'that has a link to the outside',
      'file://../../leaky',
      /leaky\/x is a link to "\/etc\/hostname"/,
    ],
    ['that is itself', 'file://.', /which depends on this one/],
    [
      'that depends on it',
      'file://../../circle',
      /it depends on web at file:\/\/\.\.\/charts\/web, which depends on this one/,
    ],
  ])('cannot depend on one %s', async (_, repository, why) => {
    const reason = await failure({
      'charts/web/Chart.yaml': depending('web', { name: 'common', repository }),
      file: '',
      'shared/readme': '',
      outward: { link: '/usr/share' },
      'leaky/Chart.yaml': chartFile('leaky'),
      'leaky/x': { link: '/etc/hostname' },
      'circle/Chart.yaml': depending('circle', { name: 'web', repository: 'file://../charts/web' }),
    });
    expect(reason).toMatch(why);
    expect(reason).toMatch(/^charts\/web: /);
  });

  test('is not rendered where one of a repository is missing, which is named', async () => {
    const repository = 'https://charts.invalid/stable';
    expect(
      await failure({
        'charts/web/Chart.yaml': depending(
          'web',
          { name: 'redis', repository, version: '^1.0.0' },
          { name: 'common', repository: 'file://../../common' },
        ),
        'common/Chart.yaml': chartFile('common'),
      }),
    ).toBe(
      'charts/web: it depends on redis ^1.0.0 of https://charts.invalid/stable, which is not in its charts/ directory. Run `helm dependency build charts/web` and commit charts/web/charts.',
    );
  });
});
