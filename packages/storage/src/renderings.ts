import { codeOf, type Digest, digestAlgorithm, digestHex, digestOf } from '@cluster-image/oci';
import type { Disk } from './disk.ts';
import { isUnwritable } from './file-system.ts';

/**
 * Texts that took work to get, by the digests of all that they were made of. They are there to save the
 * work, and may be gone at any time. See docs/formats.md#content-store.
 */
export interface Renderings {
  /** What was made of that; undefined where it is not known or was damaged. */
  recall(inputs: Digest): Promise<string | undefined>;
  /** Remembers what was made of that. A store that is full or cannot be written to remembers nothing. */
  remember(inputs: Digest, text: string): Promise<void>;
}

export const renderingsName = 'renderings';

export function renderings(disk: Disk): Renderings {
  const pathOf = (inputs: Digest): string =>
    disk.path(renderingsName, digestAlgorithm(inputs), digestHex(inputs));
  return {
    async recall(inputs) {
      const path = pathOf(inputs);
      const found = (await disk.text(path)) ?? '';
      const end = found.indexOf('\n');
      const text = found.slice(end + 1);
      if (found.slice(0, end) !== digestOf(Buffer.from(text))) return undefined;
      // As old as its last use. Who may not write it leaves it.
      await disk.fs.chmod(path, 0o644).catch(() => {});
      return text;
    },
    async remember(inputs, text) {
      try {
        await disk.write(pathOf(inputs), `${digestOf(Buffer.from(text))}\n${text}`);
      } catch (error) {
        if (!isUnwritable(error) && codeOf(error) !== 'NO_SPACE') throw error;
      }
    },
  };
}
