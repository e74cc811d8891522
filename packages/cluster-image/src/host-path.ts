/** A host as part of a repository's name, where no colon may stand: `registry.local_5000`. */
export function hostPath(host: string): string {
  return host.replace(/:(\d+)$/, '_$1');
}
