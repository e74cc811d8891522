import {
  compareBytes,
  type Descriptor,
  type Digest,
  descriptorSchema,
  type Manifest,
  manifestLimit,
  OciError,
  type Referring,
  referrersIn,
  referrersTag,
} from '@cluster-image/oci';
import { z } from 'zod';
import { listing } from './listing.ts';
import { type Origin, refuseHtml, responseError, scopesOf } from './origin.ts';
import { formatRoute } from './route.ts';

/** More than anybody says about one manifest. */
const mostReferrers = 5_000;

/** What registries answer that do not have the endpoint: the first by the specification, others in fact. */
const unknown: readonly number[] = [404, 400, 405, 406, 501];

interface RemoteReferring extends Referring {
  knowsReferrers(repository: string, subject: Digest): Promise<boolean>;
}

/**
 * Asks a registry what is about a manifest, page by page; where it does not know, what its clients
 * have listed. Its answers are not believed to be complete or true: whoever takes what is listed
 * looks at what it says itself.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-referrers
 *
 * @param fetch the manifest that a tag means
 */
export function referrersAt(
  origin: Origin,
  fetch: (repository: string, tag: string) => Promise<Manifest | undefined>,
): RemoteReferring {
  function question(repository: string, digest: Digest) {
    const name = origin.prefix ? `${origin.prefix}/${repository}` : repository;
    const url = new URL(formatRoute({ kind: 'referrers', repository: name, digest }), origin.url);
    return { url, scopes: scopesOf(name, 'pull') };
  }

  async function* listed(repository: string, subject: Digest): AsyncIterable<Descriptor> {
    const tag = referrersTag(subject);
    const found = await fetch(repository, tag);
    yield* (found && referrersIn(found, tag)) ?? [];
  }

  return {
    async *referrers(repository, subject) {
      const all = listing(origin, {
        ...question(repository, subject),
        schema,
        limit: manifestLimit,
        nameOf: ({ digest }) => digest,
        absent: unknown,
        otherwise: () => listed(repository, subject),
      });
      const found: Descriptor[] = [];
      for await (const descriptor of all) {
        if (found.length === mostReferrers) {
          const why = `more than ${mostReferrers} manifests would be about ${subject}`;
          throw new OciError('UPSTREAM', `${origin.host}/${repository}: ${why}`);
        }
        found.push(descriptor);
      }
      yield* found.sort((a, b) => compareBytes(a.digest, b.digest));
    },
    async knowsReferrers(repository, subject) {
      const response = await origin.exchange({ method: 'GET', ...question(repository, subject) });
      const { status } = response;
      const what = `referrers of ${origin.host}/${repository}@${subject}`;
      if (status === 200) await refuseHtml(response, what);
      else if (!unknown.includes(status)) throw await responseError(origin, response, what);
      await response.discard();
      return status === 200;
    },
  };
}

const schema = z
  .looseObject({ manifests: z.array(descriptorSchema).nullish() })
  .transform((page): readonly Descriptor[] => page.manifests ?? []);
