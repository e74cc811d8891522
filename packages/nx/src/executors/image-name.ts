import { z } from 'zod';

const tagged = z.object({ defaultTag: z.string().default('latest') });

/** Gives an image that has no name that of its project, as far as images can be called so. */
export function withName(
  options: object,
  { projectName = '' }: { readonly projectName?: string | undefined },
): object {
  const name = projectName
    .toLowerCase()
    .replace(/[^a-z0-9/]+/g, '-')
    .replace(/(?<=^|\/)-+|-+(?=\/|$)/g, '');
  const { defaultTag } = tagged.parse(options);
  return { tag: `${name || 'image'}:${defaultTag}`, ...options };
}
