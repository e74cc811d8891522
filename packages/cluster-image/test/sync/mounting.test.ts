import { bytes, type Content, digestOf, memory, OciError, type Registry } from '@cluster-image/oci';
import { noise, registryContract } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { mounting } from '../../src/sync/mounting.ts';

registryContract('a registry that mounts', async () => ({ registry: mounting(memory()) }));

const body = noise('shared', 1000);
const digest = digestOf(body);

function watched() {
  const registry = memory();
  const puts: string[] = [];
  let opened = 0;
  const content: Content = {
    size: body.length,
    async *open() {
      opened += 1;
      await new Promise((resolve) => setImmediate(resolve));
      yield body;
    },
  };
  const noting: Registry = {
    ...registry,
    async putBlob(repository, digest, content, from) {
      puts.push(from === undefined ? repository : `${repository} from ${from}`);
      await registry.putBlob(repository, digest, content, from);
    },
  };
  return { registry, view: mounting(noting), puts, content, opened: () => opened };
}

describe('a blob for several repositories', () => {
  test('is sent once, though all ask for it at a time', async () => {
    const { registry, view, puts, content, opened } = watched();
    await Promise.all(['a', 'b', 'c'].map((name) => view.putBlob(name, digest, content)));
    expect([puts, opened()]).toEqual([['a', 'b from a', 'c from b'], 1]);
    expect((await registry.blob('c', digest))?.size).toBe(body.length);
  });

  test('is sent again after it failed', async () => {
    const { view, puts, content, opened } = watched();
    const broken: Content = {
      size: body.length,
      async *open() {
        yield* [];
        throw new OciError('NETWORK', 'the line went dead');
      },
    };
    const both = await Promise.allSettled([
      view.putBlob('a', digest, broken),
      view.putBlob('b', digest, content),
    ]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
    expect([puts, opened()]).toEqual([['a', 'b'], 1]);
  });

  test('is not said to be elsewhere where it is in the same, or where the caller knows better', async () => {
    const { registry, view, puts, content } = watched();
    await registry.putBlob('theirs', digest, bytes(body));
    await view.putBlob('a', digest, content, 'theirs');
    await view.putBlob('a', digest, content);
    expect(puts).toEqual(['a from theirs', 'a']);
  });
});
