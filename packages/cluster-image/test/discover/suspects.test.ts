import { describe, expect, test } from 'vitest';
import { type DocumentsOptions, findInDocuments } from '../../src/discover/documents.ts';

const digest = `sha256:${'1a'.repeat(32)}`;

/** `text (reason) at line`; nothing else may be found. */
function suspects(text: string, options?: DocumentsOptions): readonly string[] {
  const { images, suspects, unresolved } = findInDocuments(text, 'f.yaml', options);
  expect([...images, ...unresolved]).toEqual([]);
  return suspects.map(({ text, reason, origins: [origin] }) => {
    expect(origin?.file).toBe('f.yaml');
    return `${text} (${reason}) at ${origin?.line}`;
  });
}

const pod = (container: string): string => `apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
    - name: manager
${container.replace(/^/gm, '      ')}`;

describe('what looks like an image is told with its line, and where in the object it is', () => {
  test.each([
    [
      'an argument',
      pod('args: [--prometheus-config-reloader=quay.io/p/r:v0.1]'),
      ['quay.io/p/r:v0.1 (an argument of container manager) at 7'],
    ],
    [
      'an argument that its name gives away',
      pod('args:\n  - --leader-elect\n  - --worker-image=busybox:1.36'),
      ['docker.io/library/busybox:1.36 (an argument of container manager) at 9'],
    ],
    [
      'the argument after a flag',
      pod('args:\n  - --engine-image\n  - acme/engine:v1\n  - acme/other:v1'),
      ['docker.io/acme/engine:v1 (an argument of container manager) at 9'],
    ],
    [
      'a flag with a host and no version',
      pod('args: [--image=quay.io/a/b, --other=quay.io/a/b]'),
      ['quay.io/a/b:latest (an argument of container manager) at 7'],
    ],
    [
      'a word of a script',
      pod('command: ["sh", "-c", "run --image acme/a:1 quay.io/a/b:v1 ls"]'),
      [
        'docker.io/acme/a:1 (an argument of container manager) at 7',
        'quay.io/a/b:v1 (an argument of container manager) at 7',
      ],
    ],
    [
      'a variable',
      pod('env:\n  - name: RELATED_IMAGE_X\n    value: a/b:v1'),
      ['docker.io/a/b:v1 (variable RELATED_IMAGE_X of container manager) at 9'],
    ],
    [
      'a variable whose value stands first',
      pod('env: [{value: "nginx:1", name: SIDE_IMAGE}]'),
      ['docker.io/library/nginx:1 (variable SIDE_IMAGE of container manager) at 7'],
    ],
    [
      'a variable that says nothing, with a host',
      pod('env: [{name: X, value: ghcr.io/a/b:1}]'),
      ['ghcr.io/a/b:1 (variable X of container manager) at 7'],
    ],
    [
      'several in a variable',
      pod('env:\n  - name: KAFKA_IMAGES\n    value: |\n      4.1=a.io/k:4.1\n      4.2=a.io/k:4.2'),
      [
        'a.io/k:4.1 (variable KAFKA_IMAGES of container manager) at 10',
        'a.io/k:4.2 (variable KAFKA_IMAGES of container manager) at 11',
      ],
    ],
    [
      'a template in a variable of an image',
      pod('env: [{name: WEB_IMAGE, value: "{{ .registry }}/a:1"}, {name: X, value: "{{ .y }}"}]'),
      ['{{ .registry }}/a:1 (variable WEB_IMAGE of container manager) at 7'],
    ],
    [
      'an annotation',
      `kind: Deployment\nmetadata:\n  name: web\n  annotations: {x/y: "ghcr.io/a@${digest}"}`,
      [`ghcr.io/a@${digest} (annotation x/y of Deployment web) at 4`],
    ],
    [
      'a setting of a ConfigMap',
      'kind: ConfigMap\nmetadata: {name: c}\ndata:\n  sidecar_image: "envoy/proxy:v1"',
      ['docker.io/envoy/proxy:v1 (the text sidecar_image of ConfigMap c) at 4'],
    ],
    [
      'a setting of an object that nobody knows',
      'kind: X\nspec:\n  proxyImages: {one: "envoy/proxy:v1"}\n  url: localhost:5000/a:1',
      [
        'docker.io/envoy/proxy:v1 (spec.proxyImages.one of X) at 3',
        'localhost:5000/a:1 (spec.url of X) at 4',
      ],
    ],
    [
      'what is fetched as an image is',
      'kind: X\nspec:\n  url: docker://quay.io/k/cirros:v1\n  chart: oci://ghcr.io/a/charts/b',
      [
        'quay.io/k/cirros:v1 (spec.url of X) at 3',
        'ghcr.io/a/charts/b:latest (spec.chart of X) at 4',
      ],
    ],
    [
      'a default of a resource',
      `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: webs.example.com}
spec:
  versions:
    - schema:
        openAPIV3Schema:
          properties:
            proxyImage: {type: string, default: "envoy/proxy:v1"}
            web: {type: object, default: {image: a.io/b, tag: {repository: a.io/c, tag: "1"}}}`,
      [
        'docker.io/envoy/proxy:v1 (default of field proxyImage of CustomResourceDefinition webs.example.com) at 9',
        'a.io/b:latest (image of field default of CustomResourceDefinition webs.example.com) at 10',
        'a.io/c:1 (tag of field default of CustomResourceDefinition webs.example.com) at 10',
      ],
    ],
    [
      'a repository and a tag of what is not told',
      'kind: X\nvalues:\n  proxy: {repository: a.io/b, tag: "1"}\n  git: {repository: "https://a.io/b", tag: "1"}\n  web: {repository: a.io/c}',
      ['a.io/b:1 (a repository and a tag, of what is not told) at 3'],
    ],
    [
      'a word that an unknown object calls an image',
      'kind: X\na: {image: driver}\nb: {image: icons/logo.png}\nc: {image: {name: agent, tag: "7"}}',
      [
        'driver (neither host nor version, in an object that is not known) at 2',
        'icons/logo.png (neither host nor version, in an object that is not known) at 3',
        'agent:7 (neither host nor version, in an object that is not known) at 4',
      ],
    ],
    ['a container without image', pod('image: ""'), [' (a container without image) at 7']],
    [
      'an expression of a pipeline',
      'kind: Task\nspec: {steps: [{image: $(params.builder)}]}',
      ['$(params.builder) (filled in on the cluster: spec.steps.image of Task) at 2'],
    ],
  ])('%s', (_, text, expected) => {
    expect(suspects(text)).toEqual(expected);
  });

  test('and nothing else is', () => {
    const harmless = `kind: X
spec:
  imageRegistry: localhost:5000
  imageRepository: registry.example/team
  imagePullPolicy: Always
  imagePullSecrets: [{name: "a:b"}]
  parameters: [{name: image.digest, value: "sha256:abc123"}]
  image_tag: v1
  node: example.com/role:NoSchedule
  link: https://quay.io/a/b:8080
  role: "arn:aws:iam::123456789012:role/a"
  listen: "localhost:8080"
  logo: {image: true}`;
    expect(suspects(harmless)).toEqual([]);
  });
});

describe('a document in a text is read as one', () => {
  const configMap = (text: string): string =>
    `kind: ConfigMap\nmetadata: {name: c}\ndata:\n  pod.yaml: |\n${text.replace(/^/gm, '    ')}`;
  const where = 'the text pod.yaml of ConfigMap c';

  test('a manifest', () => {
    const text = `spec:
  containers:
    - name: a
      image: nginx:1.27 # old
      args: [--proxy-image=a/b:1]
    - image: {registry: a.io, repository: c, tag: "2"}`;
    expect(suspects(configMap(text))).toEqual([
      `docker.io/library/nginx:1.27 (${where}) at 8`,
      `a.io/c:2 (${where}) at 10`,
      `docker.io/a/b:1 (an argument of container a, in ${where}) at 9`,
    ]);
  });

  test('several, with a template left in one', () => {
    const text = `image: a.io/b:1\n---\nimage: "a.io/c:\${TAG}"`;
    expect(suspects(configMap(text))).toEqual([
      `a.io/b:1 (${where}) at 5`,
      `a.io/c:\${TAG} (${where}) at 7`,
    ]);
  });

  test('JSON on one line', () => {
    const json = { spec: { containers: [{ image: 'nginx' }, { image: 'q.io/b' }] } };
    expect(suspects(`data: {a: '${JSON.stringify(json)}'}`)).toEqual([
      'docker.io/library/nginx:latest (the text a) at 1',
      'q.io/b:latest (the text a) at 1',
    ]);
  });

  test('JSON in a text of JSON in a text', () => {
    const inner = JSON.stringify({ image: 'a.io/inner:1' });
    const middle = JSON.stringify({ image: 'a.io/middle:1', config: inner });
    expect(suspects(`data: {a: ${JSON.stringify(middle)}}`)).toEqual([
      'a.io/middle:1 (the text a) at 1',
      'a.io/inner:1 (config, in the text a) at 1',
    ]);
  });

  test('as long as texts are in texts no deeper than anybody has them', () => {
    let text = 'image: a.io/b:1';
    for (let at = 0; at < 6; at++) text = JSON.stringify({ image: 'a.io/x:1', text });
    const found = suspects(`data: {a: ${JSON.stringify(text)}}`);
    expect(found.length).toBeGreaterThan(0);
    expect(found[0]).toBe('a.io/x:1 (the text a) at 1');
  });

  test('a text that is no document is searched by its lines', () => {
    const text = `image: nginx
image: {{ .x }}
image: the best
run(a.io/script:1)
[runner]
  helper = "a.io/helper:2"`;
    expect(suspects(configMap(text))).toEqual([
      `docker.io/library/nginx:latest (${where}) at 5`,
      `{{ .x }} (${where}) at 6`,
      `a.io/script:1 (${where}) at 8`,
      `a.io/helper:2 (${where}) at 10`,
    ]);
  });

  test('what kubectl remembers of an object is none', () => {
    const last = JSON.stringify({ kind: 'Pod', spec: { containers: [{ image: 'a.io/old:1' }] } });
    const text = `kind: Pod
metadata:
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: ${JSON.stringify(last)}`;
    expect(suspects(text)).toEqual([]);
  });
});

test('a template that is rendered on the cluster keeps its texts as they are written', () => {
  const text = 'env:\n  - {name: A_IMAGE, value: "{{ .r }}/a:1"}\n  - {name: B, value: a.io/b:1}';
  expect(suspects(text, { template: true })).toEqual([
    '{{ .r }}/a:1 (variable A_IMAGE) at 2',
    'a.io/b:1 (variable B) at 3',
  ]);
});
