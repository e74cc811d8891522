import { hostPath } from './host-path.ts';

/** The clients whose configuration is known. */
export const clientNames = [
  'containerd',
  'docker',
  'podman',
  'cri-o',
  'k3s',
  'rke2',
  'sealos-shim',
  'buildkit',
] as const;

export type ClientName = (typeof clientNames)[number];

/** A file for a client, and what to do once it is there. */
export interface ClientFile {
  readonly path: string;
  readonly text: string;
}

export interface ClientConfig {
  readonly files: readonly ClientFile[];
  readonly next: readonly string[];
}

/** What a client has to be told. */
export interface ConfigFor {
  /** Where the registry is, as the client reaches it. */
  readonly url: URL;
  /** Hosts that go through it; containerd, k3s and rke2 need none, since they take all. */
  readonly hosts: readonly string[];
  /** Whether it pulls through; if not, it has images by their names without hosts. */
  readonly isProxy: boolean;
}

/** The hosts that most images come from. */
const usualHosts = [
  'docker.io',
  'ghcr.io',
  'quay.io',
  'gcr.io',
  'registry.k8s.io',
  'mcr.microsoft.com',
];

/** What makes a client ask this registry first. What it does not have, clients go on asking elsewhere. */
export function clientConfig(name: ClientName, given: ConfigFor): ClientConfig {
  const wanted = { ...given, hosts: given.hosts.length > 0 ? given.hosts : usualHosts };
  return configs[name](wanted);
}

const configs: Readonly<Record<ClientName, (wanted: ConfigFor) => ClientConfig>> = {
  // containerd says the host it means in `?ns=`. https://github.com/containerd/containerd/blob/main/docs/hosts.md
  containerd: ({ url }) => ({
    files: [
      {
        path: '/etc/containerd/certs.d/_default/hosts.toml',
        text: `[host.${quoted(url.origin)}]\n  capabilities = ["pull", "resolve"]\n`,
      },
    ],
    next: [
      'Set config_path = "/etc/containerd/certs.d" in the registry section of /etc/containerd/config.toml.',
      'Restart containerd once, for config.toml; hosts.toml is read anew for every pull.',
    ],
  }),
  // https://docs.docker.com/docker-hub/image-library/mirror/
  docker: ({ url }) => ({
    files: [
      {
        path: '/etc/docker/daemon.json',
        text: json({
          'registry-mirrors': [url.origin],
          ...(url.protocol === 'http:' && { 'insecure-registries': [url.host] }),
        }),
      },
    ],
    next: [
      'Restart docker. It asks mirrors for images of docker.io only.',
      `Pull others by their whole name behind this host: docker pull ${url.host}/quay.io/NAME`,
    ],
  }),
  podman: (wanted) => ({
    files: [
      {
        path: '/etc/containers/registries.conf.d/cluster-image.conf',
        text: registriesConf(wanted),
      },
    ],
    next: ['podman, buildah and skopeo read it the next time they run.'],
  }),
  'cri-o': (wanted) => ({
    files: [
      {
        path: '/etc/containers/registries.conf.d/cluster-image.conf',
        text: registriesConf(wanted),
      },
    ],
    next: ['Reload CRI-O: systemctl reload crio'],
  }),
  k3s: ({ url }) => ({
    files: [{ path: '/etc/rancher/k3s/registries.yaml', text: rancherMirrors(url) }],
    next: ['Restart k3s.'],
  }),
  rke2: ({ url }) => ({
    files: [{ path: '/etc/rancher/rke2/registries.yaml', text: rancherMirrors(url) }],
    next: ['Restart rke2-server or rke2-agent.'],
  }),
  // The shim asks for names without their host. https://github.com/labring/sealos
  'sealos-shim': ({ url }) => ({
    files: [
      {
        path: '/etc/image-cri-shim.yaml',
        text: [
          'shim: /var/run/image-cri-shim.sock',
          'cri: /run/containerd/containerd.sock',
          `address: ${url.origin}`,
          'force: true',
          'debug: false',
          'timeout: 15m',
          '',
        ].join('\n'),
      },
    ],
    next: ['Restart image-cri-shim.'],
  }),
  // https://github.com/moby/buildkit/blob/master/docs/buildkitd.toml.md
  buildkit: ({ url, hosts, isProxy }) => ({
    files: [
      {
        path: '/etc/buildkit/buildkitd.toml',
        text: [
          ...hosts.flatMap((host) => [
            `[registry.${quoted(host)}]`,
            `  mirrors = [${quoted(placeOf(host, url, isProxy))}]`,
            '',
          ]),
          `[registry.${quoted(url.host)}]`,
          `  http = ${url.protocol === 'http:'}`,
          '',
        ].join('\n'),
      },
    ],
    next: [
      'Restart buildkitd, or: docker buildx create --use --config /etc/buildkit/buildkitd.toml',
    ],
  }),
};

/** https://github.com/containers/image/blob/main/docs/containers-registries.conf.5.md */
function registriesConf({ url, hosts, isProxy }: ConfigFor): string {
  return hosts
    .flatMap((host) => [
      '[[registry]]',
      `prefix = ${quoted(host)}`,
      `location = ${quoted(host)}`,
      '[[registry.mirror]]',
      `location = ${quoted(placeOf(host, url, isProxy))}`,
      `insecure = ${url.protocol === 'http:'}`,
      '',
    ])
    .join('\n');
}

/** Where the images of a host are. */
function placeOf(host: string, url: URL, isProxy: boolean): string {
  return isProxy ? `${url.host}/${hostPath(host)}` : url.host;
}

/** https://docs.k3s.io/installation/private-registry */
function rancherMirrors(url: URL): string {
  return `mirrors:\n  "*":\n    endpoint:\n      - ${quoted(url.origin)}\n`;
}

function quoted(text: string): string {
  return JSON.stringify(text);
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
