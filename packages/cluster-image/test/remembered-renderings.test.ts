import { rename, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bytes, codeOf, OciError } from '@cluster-image/oci';
import { directory, openStore } from '@cluster-image/storage';
import { temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { binary } from '../../../tools/helm/binaries.mjs';
import { plainRendering } from '../src/discover/chart-renderings.ts';
import type { ChartToRender, RenderChart } from '../src/discover/charts.ts';
import { helmMark, helmTemplate } from '../src/helm.ts';
import { rememberedRenderings } from '../src/remembered-renderings.ts';
import { chartFile, packedChart, pod } from './chart-files.ts';
import { contextDirectory, putFiles } from './context.ts';
import { failureOf } from './failure.ts';
import { pathWith } from './tools.ts';

const { signal } = new AbortController();
const chart: ChartToRender = {
  ...plainRendering,
  path: 'charts/web',
  values: ['values.yaml'],
  set: [{ how: 'set-file', text: 'notes=notes.txt' }],
};
const files = {
  'charts/web/Chart.yaml': chartFile('web'),
  'charts/web/templates/pod.yaml': pod('a.io/{{ .Values.name }}:{{ .Values.notes }}'),
  'charts/web/charts/inner/Chart.yaml': chartFile('inner'),
  'charts/web/charts/inner/templates/pod.yaml': { link: '../../../../../shared.yaml' },
  'shared.yaml': pod('a.io/shared:1'),
  'values.yaml': 'name: web\n',
  'notes.txt': '1',
};

interface Desk {
  readonly root: string;
  /** Renders with what is remembered so far, and tells whether that was all it took. */
  render(told?: Partial<ChartToRender>): Promise<readonly [text: string, isRemembered: boolean]>;
}

async function desk(
  slow: RenderChart | undefined = undefined,
  mark: () => string = () => 'helm',
): Promise<Desk> {
  const root = await contextDirectory(files);
  const { renderings } = openStore(await temporaryDirectory());
  const PATH = await pathWith('helm', `exec '${await binary('helm')}' "$@"`);
  const helm = slow ?? helmTemplate(root, { cwd: root, variables: { PATH } }, signal);
  return {
    root,
    async render(told = {}) {
      let runs = 0;
      const counted: RenderChart = (given) => {
        runs += 1;
        return helm(given);
      };
      const tree = directory(root);
      const remembered = rememberedRenderings(counted, {
        tree,
        renderings,
        mark: async () => mark(),
      });
      return [await remembered({ ...chart, ...told }), runs === 0];
    },
  };
}

describe('a chart', () => {
  test('that is as it was is not rendered again, wherever it lies and whenever it was written', async () => {
    const { root, render } = await desk();
    const [text, wasRemembered] = await render();
    expect([text.match(/image: .*/g), wasRemembered]).toEqual([
      ['image: a.io/shared:1', 'image: a.io/web:1'],
      false,
    ]);
    await utimes(join(root, 'values.yaml'), 1, 1);
    await putFiles(root, { 'charts/other/Chart.yaml': chartFile('other') });
    expect(await render()).toEqual([text, true]);
    await rename(join(root, 'charts/web'), join(root, 'charts/moved'));
    expect(await render({ path: 'charts/moved' })).toEqual([text, true]);
  });

  test.each([
    ['a template', 'charts/web/templates/pod.yaml', pod('a.io/new:1')],
    ['what a link in it leads to', 'shared.yaml', pod('a.io/new:1')],
    ['its values', 'values.yaml', 'name: new\n'],
    ['a file that is a value', 'notes.txt', '2'],
    ['a file that it may read', 'charts/web/files/new', ''],
  ])('is rendered again when %s is another', async (_, path, text) => {
    const { root, render } = await desk();
    await render();
    await putFiles(root, { [path]: text });
    expect((await render())[1]).toBe(false);
    expect((await render())[1]).toBe(true);
  });

  test.each<[string, Partial<ChartToRender>]>([
    ['another release', { release: 'other' }],
    ['another namespace', { namespace: 'other' }],
    ['other values', { values: [] }],
    ['tests', { tests: true }],
    ['another chart', { packed: bytes('') }],
  ])('is rendered again for %s', async (_, told) => {
    const { render } = await desk(async () => 'rendered');
    await render();
    expect(await render(told)).toEqual(['rendered', false]);
  });

  test('that is packed is known by its bytes', async () => {
    const { root, render } = await desk();
    const packed = await packedChart('web', {
      'Chart.yaml': chartFile('web'),
      'templates/a.yaml': 'a: b',
    });
    await writeFile(join(root, 'a.tgz'), packed);
    await writeFile(join(root, 'b.tgz'), packed);
    expect((await render({ path: 'a.tgz' }))[1]).toBe(false);
    expect((await render({ path: 'b.tgz' }))[1]).toBe(true);
  });

  test('is rendered again by another helm', async () => {
    let version = 1;
    const { render } = await desk(
      async () => 'rendered',
      () => `${version++}`,
    );
    await render();
    expect((await render())[1]).toBe(false);
  });

  test('that fails, or changes meanwhile, is not remembered', async () => {
    let isBroken = true;
    const { root, render } = await desk(async () => {
      if (isBroken) throw new OciError('INPUT_INVALID', 'no');
      await writeFile(join(root, 'values.yaml'), `name: ${Math.random()}\n`);
      return 'rendered';
    });
    expect(codeOf(await failureOf(render()))).toBe('INPUT_INVALID');
    isBroken = false;
    expect((await render())[1]).toBe(false);
    expect((await render())[1]).toBe(false);
  });
});

describe('helm', () => {
  const markOf = (PATH: string): Promise<string> =>
    helmMark('/', { cwd: '/', variables: { PATH } }, signal);

  test('is known by its file where it is a program', async () => {
    const directory = await contextDirectory({ helm: Buffer.from([0x7f, 0x45, 0x4c, 0x46]) });
    const before = await markOf(directory);
    expect(await markOf(directory)).toBe(before);
    await utimes(join(directory, 'helm'), 1, 1);
    expect(await markOf(directory)).not.toBe(before);
  });

  test('is asked for its version where something stands for it', async () => {
    const version = join(await temporaryDirectory(), 'version');
    await writeFile(version, 'v1');
    const path = await pathWith('helm', `[ "$1" = version ] && cat '${version}'`);
    const before = await markOf(path);
    expect(before).toContain('v1');
    await writeFile(version, 'v2');
    expect(await markOf(path)).not.toBe(before);
  });

  test('that is not there is missed although all is remembered', async () => {
    expect((await failureOf(markOf(await temporaryDirectory()))).code).toBe('TOOL');
  });
});
