import { gzipSync } from 'node:zlib';
import { bytes, readAll } from '@cluster-image/oci';
import { type TarEntry, tarball } from '@cluster-image/storage';

/** A pod with a container of that image, in line 7. */
export const pod = (image: string): string => `apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  containers:
    - name: a
      image: ${image}
`;

/** A `Chart.yaml`. */
export const chartFile = (name: string, rest = ''): string =>
  `apiVersion: v2\nname: ${name}\nversion: 1.0.0\n${rest}`;

/** A packed chart: its files in a directory of its name. */
export async function packedChart(
  name: string,
  files: Readonly<Record<string, string>>,
): Promise<Uint8Array> {
  const entries = Object.entries(files).map(
    ([path, text]): TarEntry => ({
      type: 'file',
      path: `${name}/${path}`,
      mode: 0o644,
      content: bytes(text),
    }),
  );
  const content = tarball(entries);
  return gzipSync(await readAll(content, content.size));
}
