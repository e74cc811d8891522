import { describe, expect, test } from 'vitest';
import type { Findings } from '../../src/discover/discovery.ts';
import { type DocumentsOptions, findInDocuments } from '../../src/discover/documents.ts';

const digest = `sha256:${'1a'.repeat(32)}`;

function find(text: string, options?: DocumentsOptions): Findings {
  return findInDocuments(text, 'f.yaml', options);
}

/** `reference at line`, in the order in which they are found. */
function images(text: string, options?: DocumentsOptions): readonly string[] {
  const found = find(text, options).images.map(
    ({ reference, origins: [origin] }) => `${reference} at ${origin?.line}`,
  );
  return [...new Set(found)];
}

function suspects(text: string): readonly string[] {
  return find(text).suspects.map(
    ({ text, reason, origins: [origin] }) => `${text} (${reason}) at ${origin?.line}`,
  );
}

const container = (image: string): string => `spec:
  containers:
    - name: a
      image: ${image}
`;

describe('an image is found however it is written', () => {
  test.each([
    ['plain', container('quay.io/a/b:v1'), ['quay.io/a/b:v1 at 4']],
    ['with a comment behind', container('quay.io/a/b:v1 # not :v2'), ['quay.io/a/b:v1 at 4']],
    ['in double quotes', container('"quay.io/a/b:v1"'), ['quay.io/a/b:v1 at 4']],
    ['in single quotes', container("'quay.io/a/b:v1'"), ['quay.io/a/b:v1 at 4']],
    ['with escapes', container('"quay.io\\u002fa/b:v1"'), ['quay.io/a/b:v1 at 4']],
    [
      'in a flow mapping',
      'containers: [{name: a, image: quay.io/a/b:v1}]',
      ['quay.io/a/b:v1 at 1'],
    ],
    ['on the next line', container('\n        quay.io/a/b:v1'), ['quay.io/a/b:v1 at 5']],
    ['folded', container('>-\n        quay.io/a/b:v1'), ['quay.io/a/b:v1 at 4']],
    ['literal', container('|\n        quay.io/a/b:v1'), ['quay.io/a/b:v1 at 4']],
    [
      'in JSON',
      '{\n  "containers": [\n    {"name": "a", "image": "quay.io/a/b:v1"}\n  ]\n}',
      ['quay.io/a/b:v1 at 3'],
    ],
    ['with a quoted key', 'containers:\n  - "image": quay.io/a/b:v1', ['quay.io/a/b:v1 at 2']],
    [
      'with a complex key',
      'containers:\n  - ? image\n    : quay.io/a/b:v1',
      ['quay.io/a/b:v1 at 3'],
    ],
    ['with a tag', 'containers:\n  - image: !!str quay.io/a/b:v1', ['quay.io/a/b:v1 at 2']],
    [
      'as an alias',
      'x: &img quay.io/a/b:v1\ncontainers:\n  - image: *img',
      ['quay.io/a/b:v1 at 1'],
    ],
    [
      'under a merge key',
      'x: &base {image: quay.io/a/b:v1}\ncontainers:\n  - <<: *base\n    name: c',
      ['quay.io/a/b:v1 at 1'],
    ],
    [
      'in what an alias stands for',
      'first: &c [{name: a, image: "a.io/b:1"}]\ncontainers: *c',
      ['a.io/b:1 at 1'],
    ],
    ['in Windows lines', container('a.io/b:1').replaceAll('\n', '\r\n'), ['a.io/b:1 at 4']],
    ['after a byte order mark', `\uFEFF${container('a.io/b:1')}`, ['a.io/b:1 at 4']],
    [
      'under a key that is there twice',
      'image: a.io/b:1\nimage: a.io/c:2',
      ['a.io/b:1 at 1', 'a.io/c:2 at 2'],
    ],
    ['with an upper-case host', container('Reg.Example/b:1'), ['Reg.Example/b:1 at 4']],
  ])('%s', (_, text, expected) => {
    expect(images(text)).toEqual(expected);
    expect(find(text).unresolved).toEqual([]);
  });

  test.each([
    ['nginx', 'docker.io/library/nginx:latest'],
    [`a/b:v1@${digest}`, `docker.io/a/b:v1@${digest}`],
    [`quay.io/a/b@${digest}`, `quay.io/a/b@${digest}`],
    ['localhost:5000/x', 'localhost:5000/x:latest'],
    ['localhost/x:1', 'localhost/x:1'],
    ['"[fd00::1]:5000/x:1"', '[fd00::1]:5000/x:1'],
  ])('Y04: %s means %s', (text, reference) => {
    expect(images(container(text))).toEqual([`${reference} at 4`]);
  });

  test('the same name on two hosts is two images', () => {
    expect(images('a: {image: quay.io/a/b:v1}\nb: {image: docker.io/a/b:v1}')).toEqual([
      'quay.io/a/b:v1 at 1',
      'docker.io/a/b:v1 at 2',
    ]);
  });
});

describe('Y05: an image is found wherever it is meant', () => {
  test.each([
    ['init containers', 'initContainers: [{image: a.io/b:1}]'],
    ['ephemeral containers', 'ephemeralContainers: [{image: a.io/b:1}]'],
    [
      'a cron job',
      'spec: {jobTemplate: {spec: {template: {spec: {containers: [{image: a.io/b:1}]}}}}}',
    ],
    ['a list of objects', 'kind: List\nitems: [{spec: {containers: [{image: a.io/b:1}]}}]'],
    ['an image volume', 'volumes: [{name: v, image: {reference: a.io/b:1, pullPolicy: Always}}]'],
    ['related images', 'spec: {relatedImages: [{name: x, image: a.io/b:1}]}'],
    ['a disk of a virtual machine', 'volumes: [{containerDisk: {image: a.io/b:1}}]'],
    ['a resource nobody knows', 'spec: {some: {where: {image: a.io/b:1}}}'],
    ['a volume of an extension', 'extensions: [{name: x, image: {reference: a.io/b:1}}]'],
    ['an image of another name', 'sidecarImage: {repository: a.io/b, tag: "1"}'],
    [
      'more than one in a mapping',
      'image: {repository: a.io/b, tag: "1", init: {image: a.io/b:1}}',
    ],
    ['a repository and a tag', 'values: {image: {repository: a.io/b, tag: "1"}}'],
    ['a registry, a repository and a tag', 'image: {registry: a.io, repository: b, tag: "1"}'],
    ['a name and a tag', 'image: {name: a.io/b, tag: "1"}'],
    ['a mapping whose tag is merged', 'd: &d {tag: "1"}\nx: {image: {<<: *d, repository: a.io/b}}'],
    [
      'a mapping whose tag overrides a merged one',
      'd: &d {tag: "2"}\nx: {image: {<<: [*d], repository: a.io/b, tag: "1"}}',
    ],
    ['a mapping whose tag is an alias', 't: &t "1"\nx: {image: {repository: a.io/b, tag: *t}}'],
  ])('%s', (_, text) => {
    const found = find(text);
    expect(new Set(found.images.map(({ reference }) => reference))).toEqual(new Set(['a.io/b:1']));
    expect([...found.suspects, ...found.unresolved]).toEqual([]);
  });

  test('a repository with a digest, and a tag beside', () => {
    const text = `image: {repository: a.io/b, tag: v1, digest: "${digest}"}`;
    expect(images(text)).toEqual([`a.io/b:v1@${digest} at 1`]);
  });

  test.each(['1.10', '1e3', '010', '0x1F', '1_000', '12e03', '0o14', '1.0', 'yes', '2024-01-01'])(
    'Y03: the tag %s is kept as it is written',
    (tag) => {
      expect(images(`image: {repository: a.io/b, tag: ${tag}}`)).toEqual([`a.io/b:${tag} at 1`]);
      expect(images(container(`a.io/b:${tag}`))).toEqual([`a.io/b:${tag} at 4`]);
    },
  );

  test('a repository without a tag is a suspect, for a chart would not mean latest', () => {
    const text = 'values:\n  image:\n    repository: quay.io/a/b';
    expect(images(text)).toEqual([]);
    expect(suspects(text)).toEqual(['quay.io/a/b (neither tag nor digest) at 3']);
  });
});

describe('what is no image is none', () => {
  test.each([
    ['the schema of a resource', 'properties: {image: {type: string, description: The image}}'],
    [
      'a description in a schema',
      'openAPIV3Schema:\n  properties:\n    x:\n      description: |\n        image: quay.io/a/b:v1\n        or quay.io/a/b:v2',
    ],
    ['a flag', 'image: true'],
    ['nothing', 'image:\nx: {image: null, y: {image: ~}}'],
    ['an empty text outside of containers', 'image: ""'],
    ['a pull policy', 'imagePullPolicy: Always\nimagePullSecrets: [{name: a}]'],
    ['a comment', '# image: quay.io/a/b:v1\nx: 1'],
    ['an URL in a text', 'x: https://quay.io/a/b:8080'],
    ['a toleration', 'args: ["--t=node.example/x:NoSchedule", "a.b/c:NoExecute"]'],
    ['a time', 'x: 2024-01-01T00:00:00Z\ny: "12:30"'],
    ['a port', 'x: "localhost:8080"\ny: example.com:80'],
    ['a role', 'x: "arn:aws:iam::123456789012:role/a"'],
  ])('%s', (_, text) => {
    expect(find(text)).toEqual({ images: [], suspects: [], unresolved: [] });
  });

  test('a link outside of containers is a suspect', () => {
    expect(suspects('image: https://example.com/logo.png')).toEqual([
      'https://example.com/logo.png (not an image reference) at 1',
    ]);
  });
});

describe('what is meant and cannot be told is unresolved, with its position', () => {
  test.each([
    [`a.io/b:$${'{TAG}'}`, `a.io/b:$${'{TAG}'}`],
    ['$(IMAGE)', '$(IMAGE)'],
    ['a.io/b:###TAG###', 'a.io/b:###TAG###'],
    ['a.io/b:<TAG>', 'a.io/b:<TAG>'],
    ['"{{ .Values.image }}"', '{{ .Values.image }}'],
    ['a b', 'a b'],
    ['nginx:', 'nginx:'],
    ['A/b/C:1', 'A/b/C:1'],
    ['a.io/b@sha256:12', 'a.io/b@sha256:12'],
    ['nginx：1', 'nginx：1'],
    ['nginх:1', 'nginх:1'],
  ])('Y04: %s', (image, text) => {
    const found = find(container(`${image.endsWith(':') ? `"${image}"` : image}`));
    expect(found.images).toEqual([]);
    expect(found.unresolved.map(({ text, origin }) => [text, origin])).toEqual([
      [text, { file: 'f.yaml', line: 4 }],
    ]);
  });

  test('a template that the cluster fills in', () => {
    const text = `{{- if .x }}
spec:
  containers:
    - image: "{{ .registry }}/a:1"
    - image: quay.io/a/b:v1
    {{ if .y }}
    - image: quay.io/a/c:{{ .tag }}
    {{ end }}
    {{ if .z }}- image: quay.io/a/d:v1{{ end }}
    {{ range
       .others }}
    - {name: "{{ .name }}", image: quay.io/a/e:v1}
    {{- end }}
{{- end }}
`;
    expect(images(text, { template: true })).toEqual([
      'quay.io/a/b:v1 at 5',
      'quay.io/a/d:v1 at 9',
      'quay.io/a/e:v1 at 12',
    ]);
    expect(find(text, { template: true }).unresolved).toEqual([
      {
        text: '{{ .registry }}/a:1',
        reason: 'a template that is not filled in',
        origin: { file: 'f.yaml', line: 4 },
      },
      {
        text: 'quay.io/a/c:{{ .tag }}',
        reason: 'a template that is not filled in',
        origin: { file: 'f.yaml', line: 7 },
      },
    ]);
  });
});

describe('a document that cannot be read', () => {
  const good = (name: string): string => `image: a.io/${name}:1\n`;

  test.each([
    ['a tab', 'image: a.io/x:1\n\tb: 1\n', 5],
    ['an open bracket', 'image: [a.io/x:1\n', 5],
    ['an open quote', 'image: "a.io/x:1\n', 5],
    ['two mappings on a line', 'a: image: b: c\n', 4],
    ['an unknown alias', 'image: *nobody\n', 4],
    ['a directive', '%YAML 9\nimage: "a\n', 4],
  ])('%s concerns no other one', (_, broken, line) => {
    const found = find(`${good('first')}---\n# broken\n${broken}---\n${good('last')}`);
    expect(found.images.map(({ reference }) => reference)).toEqual(['a.io/first:1', 'a.io/last:1']);
    expect(found.unresolved).toHaveLength(1);
    expect(found.unresolved[0]?.reason).toMatch(/^not YAML: /);
    expect(found.unresolved[0]?.origin).toEqual({ file: 'f.yaml', line });
  });

  test('directives and comments belong to the document after them', () => {
    expect(
      images('# image\n%YAML 1.2\n---\nimage: a.io/b:1\n--- # image\nimage: a.io/c:1'),
    ).toEqual(['a.io/b:1 at 4', 'a.io/c:1 at 6']);
  });
});

describe('a text in quotes goes on where Kubernetes lets it', () => {
  test.each([
    ['no farther in than its key', 'a:\n  args: ["\n    x: y\n  "]\n  image: a.io/b:1', 4 + 1],
    ['at the beginning of a line', "a: 'it''s\n\n- b\n'\nimage: a.io/b:1", 5],
    ['with an escaped quote', 'a: "x\nb \\" c"\nimage: a.io/b:1', 3],
    ['more than once', 'a: "\nb"\nc: "\nd"\nimage: a.io/b:1', 5],
  ])('%s', (_, text, line) => {
    expect(images(text)).toEqual([`a.io/b:1 at ${line}`]);
    expect(find(text).unresolved).toEqual([]);
  });

  test('unless it has no end', () => {
    const found = find('a: "\nb\nimage: a.io/b:1');
    expect(found.images).toEqual([]);
    expect(found.unresolved.map(({ reason }) => reason)).toEqual([
      expect.stringMatching(/^not YAML: Missing closing "quote/),
    ]);
  });
});
