import type { SearchRule } from './settings.ts';

/** `images` of kustomize, which put a name, tag or digest in the place of those of others. */
const kustomized: SearchRule['value'] = {
  repository: ['newName', 'name'],
  tag: 'newTag',
  digest: 'digest',
};

/** Where well-known kinds of objects have images, and where what looks like one is none. */
export const knownObjects: readonly SearchRule[] = [
  // What the cluster says of an object, and what kubectl remembers of it.
  { kind: '*', path: 'status', value: 'none' },
  { key: 'kubectl.kubernetes.io/last-applied-configuration', value: 'none' },

  // What a resource may have when nobody says otherwise; descriptions only tell of images.
  { path: '**.openAPIV3Schema.**.description', value: 'none' },
  { path: '**.openAPIV3Schema.**.example', value: 'none' },
  { kind: 'CustomResourceDefinition', path: 'spec', value: 'suspect' },

  // Policies name the images that they are about.
  { group: 'admissionregistration.k8s.io', path: 'spec.validations', value: 'none' },
  { group: 'admissionregistration.k8s.io', path: 'spec.matchConditions', value: 'none' },
  { group: 'admissionregistration.k8s.io', path: 'spec.variables', value: 'none' },
  { group: 'kyverno.io', path: 'spec.rules.validate', value: 'none' },
  { group: 'kyverno.io', path: 'spec.rules.verifyImages', value: 'none' },
  { group: 'kyverno.io', path: 'spec.rules.preconditions', value: 'none' },
  { group: 'kyverno.io', path: 'spec.rules.celPreconditions', value: 'none' },
  { group: 'kyverno.io', path: 'spec.rules.context', value: 'none' },
  { group: 'kyverno.io', path: 'spec.rules.match', value: 'none' },
  { group: 'kyverno.io', path: 'spec.rules.exclude', value: 'none' },
  { group: 'kyverno.io', path: 'spec.match', value: 'none' },
  { group: 'kyverno.io', path: 'spec.exceptions', value: 'none' },
  // What a policy adds is in anchors; what it puts in place of an image depends on the image.
  { group: 'kyverno.io', key: '+(image)', value: 'image' },
  { group: 'kyverno.io', path: 'spec.rules.mutate', value: 'suspect' },
  { group: 'policies.kyverno.io', kind: 'ValidatingPolicy', path: 'spec', value: 'none' },
  { group: 'policies.kyverno.io', kind: 'ImageValidatingPolicy', path: 'spec', value: 'none' },
  { group: 'policies.kyverno.io', kind: 'PolicyException', path: 'spec', value: 'none' },
  { group: 'constraints.gatekeeper.sh', path: 'spec', value: 'none' },
  { group: 'templates.gatekeeper.sh', path: 'spec', value: 'none' },
  { group: 'mutations.gatekeeper.sh', kind: 'AssignImage', path: 'spec', value: 'none' },
  { group: 'policy.sigstore.dev', path: 'spec', value: 'none' },
  // Reports of images, and lists of those to remove.
  { group: 'wgpolicyk8s.io', path: 'results', value: 'none' },
  { group: 'aquasecurity.github.io', path: 'report', value: 'none' },
  { group: 'eraser.sh', path: 'spec', value: 'none' },

  // Argo CD: applications of charts and kustomizations that are elsewhere.
  { group: 'argoproj.io', path: '**.kustomize.images', value: 'image' },
  { group: 'argoproj.io', path: '**.helm.values', value: 'yaml' },
  {
    group: 'argoproj.io',
    path: '**.source',
    value: { registry: 'repoURL', repository: 'chart', tag: 'targetRevision' },
  },
  {
    group: 'argoproj.io',
    path: '**.sources',
    value: { registry: 'repoURL', repository: 'chart', tag: 'targetRevision' },
  },
  // Argo Workflows, Events and Rollouts: containers outside of pods.
  { group: 'argoproj.io', key: 'image', value: 'image' },

  // Flux; its image automation looks for images, and pulls none.
  { group: 'image.toolkit.fluxcd.io', path: 'spec', value: 'none' },
  { group: 'kustomize.toolkit.fluxcd.io', path: 'spec.images', value: kustomized },
  {
    group: 'helm.toolkit.fluxcd.io',
    path: 'spec.postRenderers.kustomize.images',
    value: kustomized,
  },
  {
    group: 'source.toolkit.fluxcd.io',
    kind: 'OCIRepository',
    path: 'spec',
    value: { repository: 'url', tag: 'ref.tag', digest: 'ref.digest' },
  },

  // k3s and RKE2, and Rancher beside them.
  { group: 'helm.cattle.io', key: 'valuesContent', value: 'yaml' },
  { group: 'helm.cattle.io', key: 'jobImage', value: 'image' },
  { group: 'fleet.cattle.io', kind: 'Bundle', path: 'spec.resources.content', value: 'yaml' },
  {
    group: 'upgrade.cattle.io',
    kind: 'Plan',
    path: 'spec',
    value: { repository: 'upgrade.image', tag: 'version' },
  },

  // Steps of pipelines, whose images are containers' outside of pods; what they build is pushed.
  { group: 'tekton.dev', key: 'image', value: 'image' },
  { group: 'tekton.dev', key: 'bundle', value: 'image' },
  { group: 'shipwright.io', path: 'spec.output', value: 'none' },
  { group: 'kpack.io', path: 'spec.tag', value: 'none' },
  { group: 'kafka.strimzi.io', path: 'spec.build.output', value: 'none' },

  { group: 'actions.summerwind.dev', key: 'image', value: 'image' },

  // Applications of platforms.
  { group: 'core.oam.dev', key: 'image', value: 'image' },
  { group: 'serving.knative.dev', key: 'image', value: 'image' },
  { group: '', kind: 'ConfigMap', path: 'data.queue-sidecar-image', value: 'image' },
  { group: '', kind: 'ConfigMap', path: 'data.queueSidecarImage', value: 'image' },
  { group: '', kind: 'ConfigMap', path: 'data._example', value: 'none' },

  // Operators: extensions and catalogs.
  { group: 'pkg.crossplane.io', path: 'spec.package', value: 'image' },
  { group: 'olm.operatorframework.io', path: 'spec.source.image.ref', value: 'image' },
  { kind: 'ClusterServiceVersion', key: 'alm-examples', value: 'none' },

  // Virtual machines, and disks that come from a registry.
  { group: 'kubevirt.io', key: 'image', value: 'image' },
  { group: 'kubevirt.io', path: '**.source.registry.url', value: 'image' },
  { group: 'cdi.kubevirt.io', path: '**.source.registry.url', value: 'image' },
  // Images of machines are none of containers.
  { group: 'infrastructure.cluster.x-k8s.io', key: 'image', value: 'none' },

  // Monitoring.
  ...['spec', 'spec.thanos'].map(
    (path): SearchRule => ({
      group: 'monitoring.coreos.com',
      path,
      value: { repository: 'baseImage', tag: ['tag', 'version'], digest: 'sha' },
    }),
  ),

  // Databases and queues.
  { group: 'postgresql.cnpg.io', key: 'imageName', value: 'image' },
  { group: 'acid.zalan.do', key: 'dockerImage', value: 'image' },
  { group: 'acid.zalan.do', key: 'docker_image', value: 'image' },
  { group: 'acid.zalan.do', key: 'connection_pooler_image', value: 'image' },
  { group: 'acid.zalan.do', key: 'logical_backup_docker_image', value: 'image' },
  { group: 'minio.min.io', key: 'kesImage', value: 'image' },
  { group: 'platform.confluent.io', path: '**.image.application', value: 'image' },
  { group: 'platform.confluent.io', path: '**.image.init', value: 'image' },
  { group: 'apps.kubeblocks.io', path: 'spec.releases.images.*', value: 'image' },

  // Machine learning and devices.
  { group: 'sparkoperator.k8s.io', key: 'image', value: 'image' },
  { group: 'flink.apache.org', key: 'image', value: 'image' },
  {
    group: 'nvidia.com',
    path: 'spec.**',
    value: { registry: 'repository', repository: 'image', tag: 'version' },
  },
  {
    group: 'mellanox.com',
    path: 'spec.**',
    value: { registry: 'repository', repository: 'image', tag: 'version' },
  },

  // Networks; a module of WebAssembly may be in a registry as well.
  { group: 'extensions.istio.io', path: 'spec.url', value: 'image' },
  { group: 'gateway.envoyproxy.io', path: 'spec.wasm.code.image.url', value: 'image' },
  { path: 'global', value: { registry: 'hub', repository: 'proxy.image', tag: 'tag' } },
  {
    group: 'operator.tigera.io',
    kind: 'ImageSet',
    path: 'spec.images',
    value: { repository: 'image', digest: 'digest' },
  },

  // Images that nodes pull before anybody needs them.
  { group: 'apps.kruise.io', path: 'spec.images', value: 'image' },
  { group: 'kubefledged.io', path: 'spec.cacheSpec.images', value: 'image' },
];
