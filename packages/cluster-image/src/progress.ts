import { type Context, observed, type RegistryReader } from '@cluster-image/oci';

/** What went over the counter, in bytes. */
export interface Moved {
  readonly moved: number;
  /** What was there already. */
  readonly present: number;
}

/** The same context, counting the bytes of the blobs that go by. */
export function counting(context: Context): { readonly context: Context; count(): Moved } {
  let moved = 0;
  let present = 0;
  return {
    context: {
      ...context,
      report(event) {
        if (event.type === 'blob') {
          if (event.state === 'moved') moved += event.moved ?? 0;
          if (event.state === 'present') present += event.size;
        }
        context.report(event);
      },
    },
    count: () => ({ moved, present }),
  };
}

/** Does something for one image and reports its beginning and end, with what it moved. */
export async function forImage<T>(
  reference: string,
  context: Context,
  job: (context: Context) => Promise<T>,
): Promise<T> {
  const counter = counting(context);
  context.report({ type: 'image', reference, state: 'start' });
  try {
    const result = await job(counter.context);
    context.report({ type: 'image', reference, state: 'done', bytes: counter.count().moved });
    return result;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const bytes = counter.count().moved;
    context.report({ type: 'image', reference, state: 'failed', bytes, message });
    throw error;
  }
}

/** The same registry, reporting what is read of its blobs. */
export function reporting(registry: RegistryReader, context: Context): RegistryReader {
  return {
    ...registry,
    async blob(repository, digest, size) {
      const content = await registry.blob(repository, digest, size);
      if (!content) return undefined;
      const event = { type: 'blob', repository, digest, size: content.size } as const;
      const watched = observed(content, (moved) =>
        context.report({ ...event, state: 'moved', moved }),
      );
      return {
        ...watched,
        async *open(range) {
          context.report({ ...event, state: 'start' });
          yield* watched.open(range);
          context.report({ ...event, state: 'done' });
        },
      };
    },
  };
}
