import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createContext, memory, nameOf, parsePlatform, parseReference } from '@cluster-image/oci';
import { directory, openStore } from '@cluster-image/storage';
import { cache } from '../../packages/cluster-image/dist/cache.js';
import { discover } from '../../packages/cluster-image/dist/discover/discover.js';
import { engines as containerEngines } from '../../packages/cluster-image/dist/engines/engines.js';
import { lock } from '../../packages/cluster-image/dist/lock/lock.js';
import { formatLockfile, lockfileName } from '../../packages/cluster-image/dist/lock/lockfile.js';
import { type ImageFixture, indexFixture, noise, putFixture } from '../testing/src/fixtures.ts';

/** What there is for each image: two manifest files with five references among them. */
const filesPerImage = 2;
const referencesPerFile = [2, 3];

/** So many images share their lowest layers. */
const sharing = 20;
const sharedLayers = 2;
const ownLayers = 3;

/** In bytes; what is measured does not depend on it. */
const layerSize = 1000;

export interface LargeContext {
  readonly context: string;
  readonly store: string;
  readonly files: number;
  readonly references: number;
}

/** Makes a context that refers to so many images, its lockfile, and a store that has them, below a directory. */
export async function largeContext(root: string, images: number): Promise<LargeContext> {
  const [context, store] = [join(root, 'context'), join(root, 'store')];
  const files = await writeFiles(context, images);
  const upstream = memory();
  for (let at = 0; at < images; at++) {
    const { tag, ...named } = parseReference(referenceOf(at));
    await putFixture(upstream, nameOf(named), imageOf(at), tag);
  }
  const tree = directory(context);
  const there = openStore(store);
  const engines = containerEngines({ cwd: root, variables: {} }, there.scratch, createContext());
  const sources = { upstream, tree, engines };
  const discovery = await discover(tree, {
    render: async () => '',
    kustomize: async () => ({ type: 'built', manifests: '' }),
  });
  const options = { platforms: [parsePlatform('linux/amd64')], update: [] } as const;
  const lockfile = await lock(discovery, undefined, sources, options, createContext());
  await writeFile(join(context, lockfileName), formatLockfile(lockfile));
  await cache(lockfile, there, sources, createContext());
  const references = discovery.images.reduce((sum, { origins }) => sum + origins.length, 0);
  return { context, store, files, references };
}

async function writeFiles(context: string, images: number): Promise<number> {
  await mkdir(join(context, 'manifests'), { recursive: true });
  const kubefile = 'FROM scratch\nCOPY manifests ./manifests\nCOPY registry ./registry\n';
  await writeFile(join(context, 'Kubefile'), kubefile);
  let next = 0;
  for (let at = 0; at < images * filesPerImage; at++) {
    const references = Array.from(
      { length: referencesPerFile[at % referencesPerFile.length] ?? 1 },
      () => referenceOf(next++ % images),
    );
    await writeFile(join(context, 'manifests', `${at}.yaml`), deployment(at, references));
  }
  return images * filesPerImage;
}

function referenceOf(at: number): string {
  return `registry${at % 3}.example/team-${at % 40}/service-${at}:1.${at % 7}.0`;
}

/** About what a chart renders for a service. */
function deployment(at: number, references: readonly string[]): string {
  const name = `service-${at}`;
  return `apiVersion: v1
kind: Service
metadata:
  name: ${name}
  labels:
    app.kubernetes.io/name: ${name}
    app.kubernetes.io/managed-by: Helm
spec:
  selector:
    app.kubernetes.io/name: ${name}
  ports:
    - name: http
      port: 80
      targetPort: http
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: ${name}
  annotations:
    example.com/docs: "https://docs.example/${name}"
spec:
  replicas: 2
  selector:
    matchLabels:
      app.kubernetes.io/name: ${name}
  template:
    metadata:
      labels:
        app.kubernetes.io/name: ${name}
    spec:
      serviceAccountName: ${name}
      containers:
${references.map(container).join('')}      volumes:
        - name: config
          configMap:
            name: ${name}
`;
}

function container(reference: string, at: number): string {
  return `        - name: container-${at}
          image: ${reference}
          imagePullPolicy: IfNotPresent
          args: ["--listen=:8080", "--config=/etc/app/config.yaml"]
          env:
            - name: LOG_LEVEL
              value: info
            - name: POD_NAME
              valueFrom:
                fieldRef:
                  fieldPath: metadata.name
          ports:
            - name: http
              containerPort: 8080
          readinessProbe:
            httpGet:
              path: /ready
              port: http
          resources:
            requests: { cpu: 100m, memory: 128Mi }
            limits: { memory: 256Mi }
          volumeMounts:
            - name: config
              mountPath: /etc/app
`;
}

/** An image for two platforms. */
function imageOf(at: number): ImageFixture {
  const shared = Array.from({ length: sharedLayers }, (_, layer) =>
    noise(`base ${Math.floor(at / sharing)} ${layer}`, layerSize),
  );
  const own = Array.from({ length: ownLayers }, () => layerSize);
  const platforms = ['linux/amd64', 'linux/arm64'];
  return indexFixture(platforms, { seed: `image ${at}`, layers: [...shared, ...own] });
}
