import { createContext } from '@cluster-image/oci';
import { describe, expect, test } from 'vitest';
import { probe } from '../src/probe.ts';
import { desk } from './desk.ts';
import { failureOf } from './failure.ts';

const suspectOf = (text: string) => ({ text, reason: 'in args', origins: [{ file: 'a.yaml' }] });

describe('a suspect that is probed', () => {
  test('is found, absent, or not known, a no being asked for twice', async () => {
    const { within, host, upstream } = await desk({
      rules: [
        {
          match: { repository: 'acme/secret' },
          fault: { answer: (right) => ({ ...right, status: 403 }) },
        },
      ],
    });
    const names = ['acme/app:1', 'acme/app:2', 'acme/secret:1'];
    const texts = [...names.map((name) => `${host}/${name}`), 'no image'];
    const probed = await within({ plainHttp: [host] }, ({ network, context }) =>
      probe(texts.map(suspectOf), network.upstream, context),
    );
    expect(probed.map(({ probed }) => probed)).toEqual(['found', 'absent', 'unknown', undefined]);
    // What is not there by HEAD is asked for once more, for HEAD does not say why.
    expect(upstream.log.map(({ method, target }) => `${method} ${target}`).sort()).toEqual([
      'GET /v2/acme/app/manifests/2',
      'GET /v2/acme/secret/manifests/1',
      'HEAD /v2/acme/app/manifests/1',
      'HEAD /v2/acme/app/manifests/2',
      'HEAD /v2/acme/secret/manifests/1',
    ]);
  });

  test('keeps nobody waiting who has given up', async () => {
    const { within, host } = await desk();
    const context = createContext({ signal: AbortSignal.abort() });
    const work = within({ plainHttp: [host] }, ({ network }) =>
      probe([suspectOf(`${host}/acme/app:1`)], network.upstream, context),
    );
    expect((await failureOf(work)).code).toBe('ABORTED');
  });
});
