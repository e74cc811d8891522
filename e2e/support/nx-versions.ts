/** The packages of one Nx, which share one version where all of them can be installed. */
export interface NxVersion {
  readonly nx: string;
  readonly devkit: string;
  readonly plugins: string;
}

const supported: readonly NxVersion[] = [
  { nx: '22.7.12', devkit: '22.7.12', plugins: '22.7.12' },
  { nx: '23.2.1', devkit: '23.2.1', plugins: '23.2.1' },
  { nx: '24.0.6', devkit: '24.0.0', plugins: '23.2.1' },
];

/** Those that the tests run on: all that are supported, or with `NX_VERSION=24.0.6` that one. */
export const nxVersions: readonly NxVersion[] = supported.filter(
  ({ nx }) => nx === (process.env.NX_VERSION ?? nx),
);

const [first] = nxVersions;
if (first === undefined) {
  const known = supported.map(({ nx }) => nx).join(', ');
  throw new Error(`NX_VERSION=${process.env.NX_VERSION}: there are tests for ${known}`);
}

/** The one that tests run on which are not about Nx: this repository's own. */
export const nxVersion: NxVersion = nxVersions.find(({ nx }) => nx === '23.2.1') ?? first;
