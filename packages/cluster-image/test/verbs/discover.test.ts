import { describe, expect, test } from 'vitest';
import { discoverVerb } from '../../src/verbs/discover.ts';
import { putFiles } from '../context.ts';
import { desk } from '../desk.ts';
import { failureOf } from '../failure.ts';
import { place } from '../place.ts';

const files = {
  'cluster/Kubefile': 'FROM a.io/base:1\nARG TAG=1\nCOPY . .\n',
  'cluster/manifests/pod.yaml': `apiVersion: v1
kind: Pod
spec:
  containers:
    - image: nginx
    - image: a.io/web:2
      args: ["--sidecar-image=acme/sidecar:3"]
`,
};

const pod = (image: string): string => `apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  containers:
    - name: a
      image: ${image}
`;

describe('discover', () => {
  test('lists images and bases with where they are referred to, and what only looks like one', async () => {
    const { run } = await place(files);
    const found = await run(discoverVerb, { context: 'cluster' });
    expect(found.images.map(({ reference }) => reference)).toEqual([
      'a.io/web:2',
      'docker.io/library/nginx:latest',
    ]);
    expect(discoverVerb.lines(found)).toEqual([
      'a.io/web:2',
      '  manifests/pod.yaml:6',
      'docker.io/library/nginx:latest',
      '  manifests/pod.yaml:5',
      'a.io/base:1',
      '  Kubefile:1',
      '',
      'looks like an image, and is not packed:',
      '  docker.io/acme/sidecar:3  (manifests/pod.yaml:7, an argument of Pod)',
    ]);
    expect(discoverVerb.failed?.(found)).toBe(false);
  });

  test('with --strict fails because of what only looks like an image', async () => {
    const { run } = await place(files);
    const options = discoverVerb.options.parse({ context: 'cluster', strict: true });
    const found = await run(discoverVerb, options);
    expect(discoverVerb.failed?.(found, options)).toBe(true);
    const sound = await run(discoverVerb, { ...options, why: 'a.io/web:2' });
    expect(discoverVerb.failed?.(sound, options)).toBe(false);
  });

  test('with --probe says of what looks like an image whether it is there', async () => {
    const { host } = await desk();
    const args = ['1', '2'].map((tag) => `"--helper=${host}/acme/app:${tag}"`);
    const files = { 'probed/manifests/a.yaml': `args: [${args.join(', ')}]` };
    const probed = await place(files);
    const found = await probed.run(discoverVerb, {
      context: 'probed',
      probe: true,
      plainHttp: [host],
    });
    expect(found.suspects.map(({ text, probed }) => [text, probed])).toEqual([
      [`${host}/acme/app:1`, 'found'],
      [`${host}/acme/app:2`, 'absent'],
    ]);
    expect(discoverVerb.lines(found)).toContain(
      `  ${host}/acme/app:1  (manifests/a.yaml:1, an argument, found)`,
    );
    expect(found.images).toEqual([]);
  });

  test.each([
    ['nginx', ['docker.io/library/nginx:latest'], []],
    ['a.io/base:1', ['a.io/base:1'], []],
    ['docker.io/acme/sidecar:3', [], ['docker.io/acme/sidecar:3']],
  ])('--why %s tells of this one only', async (why, references, suspects) => {
    const { run } = await place(files);
    const found = await run(discoverVerb, { context: 'cluster', why });
    const named = [...found.images, ...found.bases];
    expect(named.map(({ reference }) => reference)).toEqual(references);
    expect(found.suspects.map(({ text }) => text)).toEqual(suspects);
  });

  test('--why of what is not there fails, and it goes with no format', async () => {
    const { run } = await place(files);
    const absent = await failureOf(run(discoverVerb, { context: 'cluster', why: 'a.io/web:3' }));
    expect([absent.code, absent.message]).toEqual([
      'NOT_FOUND',
      'the context does not refer to a.io/web:3; a.io/web:2 is meant, perhaps',
    ]);
    const both = { context: 'cluster', why: 'nginx', format: 'list' } as const;
    expect((await failureOf(run(discoverVerb, both))).code).toBe('USAGE');
  });

  test('--why shows the chain from what is rendered to the values', async () => {
    const { run } = await place({
      'cluster/charts/web/Chart.yaml':
        'apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies: [{name: db, version: 1.0.0}]\n',
      'cluster/charts/web/values.yaml':
        'image:\n  repository: a.io/web\n  tag: "1"\ndb:\n  tag: "9"\n',
      'cluster/charts/web/templates/pod.yaml': pod(
        '"{{ .Values.image.repository }}:{{ .Values.image.tag }}"',
      ),
      'cluster/charts/web/templates/sh.yaml': pod('{{ .Values.shell }}'),
      'cluster/charts/web/charts/db/Chart.yaml': 'apiVersion: v2\nname: db\nversion: 1.0.0\n',
      'cluster/charts/web/charts/db/values.yaml': 'repository: a.io/db\ntag: "1"\n',
      'cluster/charts/web/charts/db/templates/pod.yaml': pod(
        '{{ .Values.repository }}:{{ .Values.tag }}',
      ),
      'cluster/charts/web.values.yaml': '# ours\nimage: {tag: "2"}\n',
      'cluster/cluster-image.json':
        '{"charts": {"charts/web": {"values": ["charts/web.values.yaml"], "set": {"shell": "a.io/sh:1"}}}}',
      'cluster/manifests/pod.yaml': pod('a.io/db:9'),
    });
    const why = async (asked: string): Promise<readonly string[]> => {
      const options = discoverVerb.options.parse({ context: 'cluster', why: asked });
      return discoverVerb.lines(await run(discoverVerb, options), options);
    };
    const command = `  helm template charts/web -f charts/web.values.yaml --set-json 'shell="a.io/sh:1"'`;
    expect(await why('a.io/web')).toEqual([
      'a.io/web:2',
      command,
      '    charts/web/templates/pod.yaml:7, line 18 of what is rendered',
      '      image.repository  charts/web/values.yaml:2',
      '      image.tag         charts/web.values.yaml:2',
    ]);
    expect(await why('a.io/db:9')).toEqual([
      'a.io/db:9',
      command,
      '    charts/web/charts/db/templates/pod.yaml:7, line 9 of what is rendered',
      '      repository  charts/web/charts/db/values.yaml:1',
      '      db.tag      charts/web/values.yaml:5',
      '  manifests/pod.yaml:7',
    ]);
    expect((await why('a.io/sh:1')).slice(2)).toEqual([
      '    charts/web/templates/sh.yaml:7, line 27 of what is rendered',
      `      shell  --set-json shell="a.io/sh:1" in cluster-image.json`,
    ]);
    const { images } = await run(discoverVerb, { context: 'cluster' });
    const origins = images.flatMap(({ origins }) => origins);
    expect(origins.some(({ rendered, values }) => rendered !== undefined || values)).toBe(false);
  });

  test('--why names the line of the build file that sets a value', async () => {
    const { run } = await place({
      'cluster/Kubefile':
        'FROM scratch\nCOPY . .\nCMD ["helm upgrade --install web charts/web --set image=a.io/web:9"]\n',
      'cluster/charts/web/Chart.yaml': 'apiVersion: v2\nname: web\nversion: 1.0.0\n',
      'cluster/charts/web/templates/pod.yaml': pod('{{ .Values.image }}'),
    });
    const options = discoverVerb.options.parse({ context: 'cluster', why: 'web' });
    expect(discoverVerb.lines(await run(discoverVerb, options), options)).toEqual([
      'a.io/web:9',
      '  helm template web charts/web --set image=a.io/web:9',
      '    charts/web/templates/pod.yaml:7, line 9 of what is rendered',
      '      image  --set image=a.io/web:9 in Kubefile:3',
    ]);
  });

  test('writes the images alone in the format of another tool', async () => {
    const { run } = await place(files);
    const listed = await run(discoverVerb, { context: 'cluster', format: 'list' });
    expect(discoverVerb.lines(listed)).toEqual(['a.io/web:2', 'docker.io/library/nginx:latest']);
    const hauler = await run(discoverVerb, { context: 'cluster', format: 'hauler' });
    expect(discoverVerb.lines(hauler)).toContain('    - name: a.io/web:2');
  });

  test('writes no list that lacks what cannot be told', async () => {
    const { run } = await place({ 'cluster/manifests/pod.yaml': 'containers: [{image: "a b"}]\n' });
    const error = await failureOf(run(discoverVerb, { context: 'cluster', format: 'list' }));
    expect([error.code, error.message]).toEqual(['INPUT_INVALID', expect.stringContaining('a b')]);
  });

  test('takes the digests of an ImagesLock from the lockfile, which has to have them', async () => {
    const digest = (digit: string): string => `sha256:${digit.repeat(64)}`;
    const pin = (digit: string) => ({
      digest: digest(digit),
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      size: 2,
      manifests: { 'linux/amd64': { digest: digest(digit), size: 2 } },
    });
    const lockfile = (images: object): string =>
      JSON.stringify({ lockfileVersion: 1, platforms: ['linux/amd64'], images, bases: {} });
    const { run, path } = await place(files);
    const write = { context: 'cluster', format: 'images-lock' } as const;
    const error = await failureOf(run(discoverVerb, write));
    expect([error.code, error.hint]).toEqual([
      'LOCK_DRIFT',
      expect.stringContaining('cluster-image lock cluster'),
    ]);
    await putFiles(path('cluster'), {
      'cluster-image.lock.json': lockfile({
        'a.io/web:2': pin('1'),
        'docker.io/library/nginx:latest': pin('2'),
      }),
    });
    const written = discoverVerb.lines(await run(discoverVerb, write));
    expect(written.filter((line) => line.includes('digest: '))).toEqual([
      `      - digest: ${digest('1')}`,
      `      - digest: ${digest('2')}`,
    ]);
  });

  test('fails, with a result to show, where a reference cannot be told', async () => {
    const { run } = await place({
      'cluster/Kubefile': 'FROM scratch\n',
      'cluster/manifests/pod.yaml': 'kind: Pod\nspec:\n  containers:\n    - image: "a b"\n',
    });
    const found = await run(discoverVerb, { context: 'cluster' });
    expect(discoverVerb.failed?.(found)).toBe(true);
    expect(discoverVerb.lines(found)).toEqual([
      'no images',
      '',
      'cannot be resolved:',
      expect.stringMatching(/^ {2}manifests\/pod\.yaml:4: a b: /),
    ]);
  });

  test('takes another build file, and build arguments over those of the configuration', async () => {
    const { run } = await place({
      'cluster/other': 'ARG TAG\nARG NAME=none\nFROM a.io/$NAME:$TAG\n',
      'cluster/cluster-image.json': '{"buildArguments": {"TAG": "1", "NAME": "base"}}',
    });
    const bases = async (buildArg: string[]): Promise<string[]> => {
      const found = await run(discoverVerb, { context: 'cluster', file: 'other', buildArg });
      return found.bases.map(({ reference }) => reference);
    };
    expect(await bases([])).toEqual(['a.io/base:1']);
    expect(await bases(['TAG=2', 'NAME=x'])).toEqual(['a.io/x:2']);
    expect((await failureOf(bases(['TAG']))).code).toBe('USAGE');
    expect((await failureOf(bases(['=1']))).code).toBe('USAGE');
  });

  test('a context that is not there, or is a file, is told by its path', async () => {
    const { run, path } = await place(files);
    for (const context of ['nowhere', 'cluster/Kubefile']) {
      const error = await failureOf(run(discoverVerb, { context }));
      expect([error.code, error.message]).toEqual([
        'NOT_FOUND',
        `${path(context)} is not a directory`,
      ]);
    }
  });
});
