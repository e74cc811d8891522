import type { Content } from './content.ts';
import { isDamage } from './error.ts';
import type { RegistryReader } from './registry.ts';
import { compareBytes } from './tree.ts';

/**
 * Several registries as one: the first that has something gives it. One in which it is damaged is
 * passed over where another has it whole. Names are united and sorted.
 */
export function overlay(...readers: readonly RegistryReader[]): RegistryReader {
  const first = async <T>(
    ask: (reader: RegistryReader) => Promise<T | undefined>,
  ): Promise<T | undefined> => {
    let damage: unknown;
    for (const reader of readers) {
      try {
        const found = await ask(reader);
        if (found !== undefined) return found;
      } catch (error) {
        if (!isDamage(error)) throw error;
        damage ??= error;
      }
    }
    if (damage !== undefined) throw damage;
    return undefined;
  };
  return {
    resolve: (repository, reference) => first((reader) => reader.resolve(repository, reference)),
    manifest: (repository, digest) => first((reader) => reader.manifest(repository, digest)),
    async blob(repository, digest, size) {
      let damaged: Content | undefined;
      const whole = await first(async (reader) => {
        // Only the last may give a handle on what it turns out not to have.
        const isLast = reader === readers.at(-1);
        const found = await reader.blob(repository, digest, isLast ? size : undefined);
        if (found && (size === undefined || found.size === size)) return found;
        damaged ??= found;
        return undefined;
      });
      return whole ?? damaged;
    },
    repositories: () => united(readers.map((reader) => reader.repositories())),
    tags: (repository) => united(readers.map((reader) => reader.tags(repository))),
  };
}

async function* united(lists: readonly AsyncIterable<string>[]): AsyncIterable<string> {
  const names = new Set<string>();
  for (const list of lists) for await (const name of list) names.add(name);
  yield* [...names].sort(compareBytes);
}

/** How a view's repository names map to those of the registry behind it, one to one. */
export interface Naming {
  /** The name behind, or undefined where the view has no such repository. */
  inner(name: string): string | undefined;
  /** The name in the view, or undefined where the view leaves the repository out. */
  outer(inner: string): string | undefined;
}

/** A part of a registry, under other names if need be. */
export function select(reader: RegistryReader, naming: Naming): RegistryReader {
  const ask = async <T>(
    name: string,
    question: (inner: string) => Promise<T | undefined>,
  ): Promise<T | undefined> => {
    const inner = naming.inner(name);
    return inner === undefined ? undefined : question(inner);
  };
  return {
    resolve: (name, reference) => ask(name, (inner) => reader.resolve(inner, reference)),
    manifest: (name, digest) => ask(name, (inner) => reader.manifest(inner, digest)),
    blob: (name, digest, size) => ask(name, (inner) => reader.blob(inner, digest, size)),
    async *repositories() {
      for await (const inner of reader.repositories()) {
        const name = naming.outer(inner);
        if (name !== undefined) yield name;
      }
    },
    async *tags(name) {
      const inner = naming.inner(name);
      if (inner !== undefined) yield* reader.tags(inner);
    },
  };
}

/** The repositories below a prefix, named without it: `docker.io/library/nginx` under `docker.io` is `library/nginx`. */
export function under(prefix: string): Naming {
  return {
    inner: (name) => (prefix ? `${prefix}/${name}` : name),
    outer: (inner) =>
      !prefix ? inner : inner.startsWith(`${prefix}/`) ? inner.slice(prefix.length + 1) : undefined,
  };
}
