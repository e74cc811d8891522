/** Gives an image that has no name that of its project, as far as images can be called so. */
export function withName(
  options: object,
  { projectName = '' }: { readonly projectName?: string | undefined },
): object {
  const name = projectName
    .toLowerCase()
    .replace(/[^a-z0-9/]+/g, '-')
    .replace(/(?<=^|\/)-+|-+(?=\/|$)/g, '');
  return { tag: `${name || 'image'}:latest`, ...options };
}
