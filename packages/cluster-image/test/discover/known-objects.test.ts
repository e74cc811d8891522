import { describe, expect, test } from 'vitest';
import { findInDocuments } from '../../src/discover/documents.ts';

/** What is found in an object: images, `text?` for suspects, `text!` for what is unresolved. */
function found(version: string, kind: string, body: string): readonly string[] {
  const text = `apiVersion: ${version}\nkind: ${kind}\nmetadata: {name: x}\n${body}\n`;
  const { images, suspects, unresolved } = findInDocuments(text, 'f.yaml');
  return [
    ...images.map(({ reference }) => reference),
    ...suspects.map(({ text }) => `${text}?`),
    ...unresolved.map(({ text, reason }) => `${text || reason}!`),
  ];
}

describe('images are known in', () => {
  test.each<[version: string, kind: string, body: string, expected: readonly string[]]>([
    [
      'argoproj.io/v1alpha1',
      'Application',
      `spec:
  sources:
    - repoURL: ghcr.io/acme/charts
      chart: web
      targetRevision: 1.2.3
      helm:
        values: |
          image: {repository: a.io/values, tag: "1"}
        valuesObject: {image: {repository: a.io/object, tag: "2"}}
        parameters: [{name: image, value: "a/b:3"}, {name: image.tag, value: "4"}]
    - repoURL: https://git.example/acme/web.git
      targetRevision: main
      kustomize: {images: ["web=a.io/kustomized:5", "a.io/plain:6"]}
    - {repoURL: "https://charts.example", chart: other, targetRevision: "{{ .version }}"}`,
      [
        'ghcr.io/acme/charts/web:1.2.3',
        'a.io/values:1',
        'a.io/object:2',
        'a.io/kustomized:5',
        'a.io/plain:6',
        'docker.io/a/b:3?',
      ],
    ],
    [
      'argoproj.io/v1alpha1',
      'Workflow',
      `spec:
  templates:
    - container: {image: alpine, command: [sh]}
    - script: {image: "{{inputs.parameters.image}}"}`,
      ['docker.io/library/alpine:latest', '{{inputs.parameters.image}}?'],
    ],
    [
      'kustomize.toolkit.fluxcd.io/v1',
      'Kustomization',
      'spec: {images: [{name: web, newName: a.io/web, newTag: "1"}, {name: a.io/b, newTag: "2"}, {name: c}]}',
      ['a.io/web:1', 'a.io/b:2'],
    ],
    [
      'helm.toolkit.fluxcd.io/v2',
      'HelmRelease',
      `spec:
  chart: {spec: {chart: web, version: 1.x}}
  values: {image: {repository: a.io/b, tag: "1"}, proxy: {repository: a.io/c, tag: "2"}}
  postRenderers: [{kustomize: {images: [{name: d, newName: a.io/d, newTag: "3"}]}}]`,
      ['a.io/b:1', 'a.io/d:3', 'a.io/c:2?'],
    ],
    [
      'source.toolkit.fluxcd.io/v1',
      'OCIRepository',
      'spec: {url: "oci://a.io/manifests", ref: {tag: "1"}}',
      ['a.io/manifests:1'],
    ],
    [
      'source.toolkit.fluxcd.io/v1',
      'OCIRepository',
      'spec: {url: "oci://a.io/manifests", ref: {semver: 1.x}}',
      ['a.io/manifests?'],
    ],
    [
      'source.toolkit.fluxcd.io/v1',
      'HelmRepository',
      'spec: {type: oci, url: "oci://a.io/charts"}',
      ['a.io/charts:latest?'],
    ],
    [
      'helm.cattle.io/v1',
      'HelmChart',
      `spec:
  chart: oci://a.io/charts/web
  jobImage: acme/klipper
  valuesContent: |-
    image: {repository: a.io/b, tag: 1.10}`,
      ['docker.io/acme/klipper:latest', 'a.io/b:1.10', 'a.io/charts/web:latest?'],
    ],
    [
      'upgrade.cattle.io/v1',
      'Plan',
      'spec: {version: v1.30.2-k3s1, upgrade: {image: rancher/k3s-upgrade}}',
      ['docker.io/rancher/k3s-upgrade:v1.30.2-k3s1'],
    ],
    [
      'tekton.dev/v1',
      'Task',
      `spec:
  params: [{name: builder-image, default: "golang:1.25"}]
  stepTemplate: {image: alpine}
  sidecars: [{name: d, image: docker}]
  steps: [{name: a, image: golang}, {name: b, image: $(params.builder-image)}]`,
      [
        'docker.io/library/alpine:latest',
        'docker.io/library/docker:latest',
        'docker.io/library/golang:latest',
        'docker.io/library/golang:1.25?',
        '$(params.builder-image)?',
      ],
    ],
    [
      'v1',
      'ConfigMap',
      'data:\n  queue-sidecar-image: a.io/queue:1\n  _example: |\n    queue-sidecar-image: a.io/other:1\n',
      ['a.io/queue:1'],
    ],
    ['caching.internal.knative.dev/v1alpha1', 'Image', 'spec: {image: "a.io/b:1"}', ['a.io/b:1']],
    [
      'kubevirt.io/v1',
      'VirtualMachine',
      `spec:
  dataVolumeTemplates: [{spec: {source: {registry: {url: "docker://a.io/disk:1"}}}}]
  template: {spec: {volumes: [{name: d, containerDisk: {image: acme/disk}}]}}`,
      ['a.io/disk:1', 'docker.io/acme/disk:latest'],
    ],
    [
      'cdi.kubevirt.io/v1beta1',
      'DataVolume',
      'spec: {source: {registry: {url: "docker://a.io/disk"}}}',
      ['a.io/disk:latest'],
    ],
    [
      'cdi.kubevirt.io/v1beta1',
      'DataVolume',
      'spec: {source: {http: {url: "https://a.io/image.qcow2"}}}',
      [],
    ],
    [
      'monitoring.coreos.com/v1',
      'Prometheus',
      'spec: {baseImage: a.io/prometheus, version: v3.0.0, thanos: {baseImage: a.io/thanos, tag: v0.1.0}}',
      ['a.io/prometheus:v3.0.0', 'a.io/thanos:v0.1.0'],
    ],
    [
      'kafka.strimzi.io/v1',
      'KafkaConnect',
      'spec: {image: "a.io/connect:1", build: {output: {image: "a.io/pushed:1"}}}',
      ['a.io/connect:1'],
    ],
    ['postgresql.cnpg.io/v1', 'Cluster', 'spec: {imageName: "a.io/pg:17"}', ['a.io/pg:17']],
    [
      'postgresql.cnpg.io/v1',
      'ImageCatalog',
      'spec: {images: [{major: 17, image: "a.io/pg:17", extensions: [{name: x, image: {reference: "a.io/x:1"}}]}]}',
      ['a.io/pg:17', 'a.io/x:1'],
    ],
    [
      'acid.zalan.do/v1',
      'postgresql',
      'spec: {dockerImage: "acme/spilo"}',
      ['docker.io/acme/spilo:latest'],
    ],
    [
      'operators.coreos.com/v1alpha1',
      'ClusterServiceVersion',
      `spec: {relatedImages: [{name: a, image: "a.io/related:1"}]}`,
      ['a.io/related:1'],
    ],
    [
      'operators.coreos.com/v1alpha1',
      'CatalogSource',
      'spec: {sourceType: grpc, image: "a.io/catalog:1"}',
      ['a.io/catalog:1'],
    ],
    [
      'olm.operatorframework.io/v1',
      'ClusterCatalog',
      'spec: {source: {type: Image, image: {ref: a.io/catalog}}}',
      ['a.io/catalog:latest'],
    ],
    ['pkg.crossplane.io/v1', 'Provider', 'spec: {package: "a.io/provider:1"}', ['a.io/provider:1']],
    [
      'nvidia.com/v1',
      'ClusterPolicy',
      `spec:
  driver: {repository: a.io/nvidia, image: driver, version: "1", manager: {repository: a.io/x, image: m, version: "2"}}
  dcgm: {repository: a.io/nvidia, image: dcgm, version: "sha256:${'1a'.repeat(32)}"}`,
      ['a.io/nvidia/driver:1', 'a.io/x/m:2', `a.io/nvidia/dcgm@sha256:${'1a'.repeat(32)}`],
    ],
    [
      'extensions.istio.io/v1alpha1',
      'WasmPlugin',
      'spec: {url: "oci://a.io/wasm:1"}',
      ['a.io/wasm:1'],
    ],
    ['extensions.istio.io/v1alpha1', 'WasmPlugin', 'spec: {url: "https://a.io/x.wasm"}', []],
    [
      'operator.tigera.io/v1',
      'ImageSet',
      `spec: {images: [{image: calico/node, digest: "sha256:${'1a'.repeat(32)}"}]}`,
      [`docker.io/calico/node@sha256:${'1a'.repeat(32)}`],
    ],
    [
      'kubefledged.io/v1alpha2',
      'ImageCache',
      'spec: {cacheSpec: [{images: [a.io/b]}]}',
      ['a.io/b:latest'],
    ],
    [
      'apps.kubeblocks.io/v1',
      'ComponentVersion',
      'spec: {releases: [{images: {mysql: acme/mysql}}]}',
      ['docker.io/acme/mysql:latest'],
    ],
  ])('%s %s', (version, kind, body, expected) => {
    expect(found(version, kind, body)).toEqual(expected);
  });
});

describe('what looks like images is none in', () => {
  test.each([
    ['what the cluster says', 'v1', 'Pod', 'status: {containerStatuses: [{image: "a.io/b:1"}]}'],
    [
      'an image repository that is watched',
      'image.toolkit.fluxcd.io/v1beta2',
      'ImageRepository',
      'spec: {image: a.io/b}',
    ],
    [
      'a policy that validates',
      'kyverno.io/v1',
      'ClusterPolicy',
      'spec: {rules: [{match: {any: []}, validate: {pattern: {spec: {containers: [{image: "!*:latest"}]}}}, verifyImages: [{imageReferences: ["a.io/b:*", "a.io/c:1"]}]}]}',
    ],
    [
      'a policy in CEL',
      'policies.kyverno.io/v1',
      'ImageValidatingPolicy',
      'spec: {matchImageReferences: [{glob: "a.io/b:1"}], attestors: [{notary: {}}]}',
    ],
    [
      'an admission policy',
      'admissionregistration.k8s.io/v1',
      'ValidatingAdmissionPolicy',
      `spec: {validations: [{expression: "object.spec.image == 'a.io/b:1'"}]}`,
    ],
    [
      'a constraint',
      'constraints.gatekeeper.sh/v1beta1',
      'K8sAllowedRepos',
      'spec: {parameters: {exemptImages: ["a.io/b:1"]}}',
    ],
    [
      'what is signed',
      'policy.sigstore.dev/v1beta1',
      'ClusterImagePolicy',
      'spec: {images: [{glob: "a.io/b:1"}]}',
    ],
    [
      'a report',
      'aquasecurity.github.io/v1alpha1',
      'VulnerabilityReport',
      'report: {artifact: {repository: a.io/b, tag: "1"}}',
    ],
    ['what is to be removed', 'eraser.sh/v1', 'ImageList', 'spec: {images: ["a.io/b:1"]}'],
    ['what is pushed', 'kpack.io/v1alpha2', 'Image', 'spec: {tag: "a.io/b:1"}'],
    [
      'machines',
      'infrastructure.cluster.x-k8s.io/v1beta1',
      'OpenStackMachineTemplate',
      'spec: {template: {spec: {image: {filter: {name: ubuntu}}}}, other: {image: ubuntu-24.04}}',
    ],
    [
      'descriptions of a resource',
      'apiextensions.k8s.io/v1',
      'CustomResourceDefinition',
      `spec:
  versions:
    - schema:
        openAPIV3Schema:
          properties:
            image:
              type: string
              description: |
                image: a.io/b:v1
                or a.io/b:v2
              example: a.io/c:1`,
    ],
    [
      'examples of an operator',
      'operators.coreos.com/v1alpha1',
      'ClusterServiceVersion',
      `spec: {}\nannotations: {alm-examples: '[{"kind":"X","spec":{"image":"a.io/b:1"}}]'}`,
    ],
  ])('%s', (_, version, kind, body) => {
    expect(found(version, kind, body)).toEqual([]);
  });
});

describe('a policy that changes objects', () => {
  const policy = (rule: string): readonly string[] =>
    found('kyverno.io/v1', 'ClusterPolicy', `spec: {rules: [${rule}]}`);

  test('adds images', () => {
    const patch = '{spec: {containers: [{name: a, "+(image)": "a.io/added:1"}]}}';
    expect(policy(`{mutate: {patchStrategicMerge: ${patch}}}`)).toEqual(['a.io/added:1']);
  });

  test('perhaps puts images in the place of others', () => {
    const patch =
      '{spec: {containers: [{name: a, image: "a.io/b:1"}, {name: b, image: "{{ x }}:1"}]}}';
    expect(policy(`{mutate: {patchStrategicMerge: ${patch}}}`)).toEqual([
      'a.io/b:1?',
      '{{ x }}:1?',
    ]);
  });

  test('makes objects, which have images as others have', () => {
    const job = '{apiVersion: v1, kind: Pod, data: {spec: {containers: [{image: nginx}]}}}';
    expect(policy(`{generate: ${job}}`)).toEqual(['docker.io/library/nginx:latest']);
  });
});

test('images of istio are put together from values, also in texts', () => {
  const values = JSON.stringify({
    global: { hub: 'a.io/istio', tag: '1.2', proxy: { image: 'proxyv2' } },
  });
  expect(found('v1', 'ConfigMap', `data: {values: '${values}'}`)).toEqual([
    'a.io/istio/proxyv2:1.2?',
  ]);
});
