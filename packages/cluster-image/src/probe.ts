import {
  type Context,
  nameOf,
  OciError,
  type Reference,
  type RegistryReader,
  referenceFrom,
  throwIfAborted,
} from '@cluster-image/oci';
import type { Suspect } from './discover/discovery.ts';

type Probed = NonNullable<Suspect['probed']>;

/**
 * Asks the registries that suspects name whether there is such an image. A registry that fails
 * says nothing of the others.
 *
 * @param upstream repositories are named host/path
 */
export async function probe(
  suspects: readonly Suspect[],
  upstream: RegistryReader,
  context: Context,
): Promise<readonly Suspect[]> {
  context.report({ type: 'stage', name: 'probe', total: suspects.length });
  return Promise.all(
    suspects.map(async (suspect) => {
      const reference = referenceFrom(suspect.text);
      if (!reference) return suspect;
      return {
        ...suspect,
        probed: await context.transfer(() => ask(reference, upstream, context)),
      };
    }),
  );
}

async function ask(
  reference: Reference,
  upstream: RegistryReader,
  { signal }: Context,
): Promise<Probed> {
  throwIfAborted(signal);
  const { digest, tag = 'latest' } = reference;
  try {
    return (await upstream.resolve(nameOf(reference), digest ?? tag)) ? 'found' : 'absent';
  } catch (error) {
    throwIfAborted(signal);
    if (error instanceof OciError) return 'unknown';
    throw error;
  }
}
