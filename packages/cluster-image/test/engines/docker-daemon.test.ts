import { bytes, createContext, type ErrorCode, jsonOf, readAll } from '@cluster-image/oci';
import { openStore, soleRepository, tarTree } from '@cluster-image/storage';
import { imageFixture, noise, temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { dockerDaemon } from '../../src/engines/docker-daemon.ts';
import { parseLocation } from '../../src/location.ts';
import { inspectVerb } from '../../src/verbs/inspect.ts';
import { copyVerb, loadVerb, pushVerb, saveVerb } from '../../src/verbs/transfer.ts';
import { verifyVerb } from '../../src/verbs/verify.ts';
import { desk, image } from '../desk.ts';
import { dockerSave } from '../docker-save.ts';
import { failureOf } from '../failure.ts';
import { type Place, place } from '../place.ts';
import { type Answer, type EngineServer, engineServer } from './engine-server.ts';

const app = imageFixture({ seed: 'app', layers: [2000, 30_000] });
const id = app.root.config.digest;
const whole = await dockerSave(app, 'app:1');

/** A place whose docker daemon has one image, by name and by id. */
async function beside(): Promise<Place & { readonly docker: EngineServer }> {
  const docker = await engineServer();
  docker.images.set('docker.io/library/app:1', await dockerSave(app, 'app:1'));
  docker.images.set(id, await dockerSave(app));
  return { ...(await place({}, { DOCKER_HOST: docker.address })), docker };
}

describe('an image of a docker daemon', () => {
  test('is read by name and by id, with one digest, the bytes checked', async () => {
    const here = await beside();
    const named = await here.run(copyVerb, { from: 'docker-daemon:app:1', to: 'oci:named' });
    const byId = await here.run(copyVerb, { from: `docker-daemon:${id}`, to: 'oci:by-id' });
    expect(named.digest).toBe(byId.digest);
    expect(here.docker.log).toEqual([
      'GET /images/get?names=docker.io%2Flibrary%2Fapp%3A1',
      `GET /images/get?names=${encodeURIComponent(id)}`,
    ]);
    const verified = await here.run(verifyVerb, { location: 'docker-daemon:app:1' });
    expect([verified.problems, verified.blobs]).toEqual([[], 3]);
    const inspected = await here.run(inspectVerb, { location: 'docker-daemon:app:1' });
    expect(inspected.digest).toBe(named.digest);
  });

  test('keeps its config, which is what its id is of', async () => {
    const here = await beside();
    await here.within({}, async ({ engines }) => {
      const location = parseLocation('docker-daemon:app:1');
      if (location.kind !== 'docker-daemon') throw new Error('another kind');
      const layout = await engines.read(location, 'plain');
      const root = await layout.resolve(soleRepository, 'app:1');
      const manifest = root && (await layout.manifest(soleRepository, root.digest));
      expect(manifest).toMatchObject({ kind: 'image', config: { digest: id } });
    });
  });

  test('goes to the store and to a registry under its own name', async () => {
    const here = await desk();
    const docker = await engineServer();
    const name = `${here.host}/team/app:1`;
    docker.images.set(name, await dockerSave(app, name));
    const home = await place({}, { DOCKER_HOST: docker.address });
    const loaded = await home.run(loadVerb, { from: `docker-daemon:${name}` });
    expect(loaded.to).toBe(name);
    const plainHttp = [here.host];
    const pushed = await home.run(pushVerb, { from: `docker-daemon:${name}`, plainHttp });
    expect(pushed).toMatchObject({ to: `docker://${name}`, digest: loaded.digest });
    const found = await here.upstream.registry.resolve('team/app', '1');
    expect(found?.digest).toBe(loaded.digest);
  });

  test('without a name of its own has to be given one for the store', async () => {
    const here = await beside();
    const { code, hint } = await failureOf(here.run(loadVerb, { from: `docker-daemon:${id}` }));
    expect([code, hint]).toEqual(['USAGE', expect.stringContaining('NAME:TAG')]);
  });

  test('takes up no room once the work is done or has failed', async () => {
    const here = await beside();
    await here.run(copyVerb, { from: 'docker-daemon:app:1', to: 'oci:x' });
    here.docker.images.set('docker.io/library/app:1', Buffer.from('no archive'));
    const { code } = await failureOf(
      here.run(copyVerb, { from: 'docker-daemon:app:1', to: 'oci:y' }),
    );
    expect(code).toBe('ARCHIVE_INVALID');
    expect(await staged(here)).toEqual([]);
  });
});

async function staged({ store }: Place): Promise<readonly string[]> {
  return (await store.registry.disk.staged()).map(({ path }) => path);
}

describe('an image for a docker daemon', () => {
  test('arrives as an archive with the name it is to have, and every blob', async () => {
    const here = await desk();
    const docker = await engineServer();
    const home = await place({}, { DOCKER_HOST: docker.address });
    const from = `docker://${here.host}/acme/app:1`;
    const options = { from, to: 'docker-daemon:team/app:2', plainHttp: [here.host] };
    const copied = await home.run(copyVerb, options);
    expect(copied).toMatchObject({
      to: 'docker-daemon:docker.io/team/app:2',
      digest: image.root.digest,
    });
    expect(docker.log).toEqual(['POST /images/load?quiet=0']);
    const [archive = Buffer.alloc(0)] = docker.loaded;
    const tree = await tarTree(bytes(archive), 'loaded');
    const listing = await tree.entry('manifest.json');
    if (listing?.type !== 'file') throw new Error('no manifest.json');
    expect(jsonOf(await readAll(listing.content, 10_000))).toMatchObject([
      { RepoTags: ['docker.io/team/app:2'] },
    ]);
  });

  test('for several platforms has to be one of them', async () => {
    const here = await desk();
    const docker = await engineServer();
    const home = await place({}, { DOCKER_HOST: docker.address });
    const from = `docker://${here.host}/acme/index:1`;
    const options = { from, to: 'docker-daemon:app', plainHttp: [here.host] };
    const { code, hint } = await failureOf(home.run(copyVerb, options));
    expect([code, hint]).toEqual(['UNSUPPORTED', expect.stringContaining('--platform')]);
    expect(docker.log).toEqual([]);
    await home.run(copyVerb, { ...options, platform: 'linux/arm64' });
    expect(docker.loaded).toHaveLength(1);
  });

  test.each<[string, string, ErrorCode]>([
    ['an error among its progress', '{"stream":"x"}\n{"error":"no space left"}\n', 'UPSTREAM'],
    ['a page of another server', '<html>welcome</html>', 'UPSTREAM'],
    ['nothing', '', 'UPSTREAM'],
    ['one endless line', 'x'.repeat(1_000_000), 'UPSTREAM'],
  ])('that answers with %s is not there', async (_, body, expected) => {
    const docker = await engineServer((request, response) => {
      request.resume().on('end', () => response.writeHead(200).end(body));
    });
    const here = await desk();
    const home = await place({}, { DOCKER_HOST: docker.address });
    const options = { from: `docker://${here.host}/acme/app:1`, plainHttp: [here.host] };
    const error = await failureOf(home.run(copyVerb, { ...options, to: 'docker-daemon:app' }));
    expect([error.code, error.message]).toEqual([
      expected,
      expect.stringContaining(docker.address),
    ]);
  });

  test('save writes files, and says so', async () => {
    const error = await failureOf(
      (await place()).run(saveVerb, { from: 'app', to: 'docker-daemon:app' }),
    );
    expect(error.code).toBe('USAGE');
  });
});

describe('what is no image of a docker daemon', () => {
  const json = (status: number, body: unknown): Answer => {
    return (_, response) => response.writeHead(status).end(JSON.stringify(body));
  };
  test.each<[string, Answer, ErrorCode, RegExp]>([
    ['one it does not have', json(404, { message: 'no such image' }), 'NOT_FOUND', /no such image/],
    [
      'one it has trouble with',
      json(500, { message: 'layer is lost' }),
      'UPSTREAM',
      /layer is lost/,
    ],
    ['one that is refused', json(403, { message: 'by policy' }), 'DENIED', /by policy/],
    [
      'a page that is not there',
      (_, response) => response.writeHead(404).end('<html>'),
      'UPSTREAM',
      /404/,
    ],
    ['a page', (_, response) => response.end('<html>welcome</html>'), 'ARCHIVE_INVALID', /app:1/],
    ['nothing', (_, response) => response.end(), 'ARCHIVE_INVALID', /app:1/],
    [
      'an empty redirect',
      (_, response) => response.writeHead(302, { location: '/' }).end(),
      'UPSTREAM',
      /302/,
    ],
    [
      'a part of one',
      (_, response) => {
        response.writeHead(200, { 'content-length': whole.length }).write(whole.subarray(0, 5000));
        setTimeout(() => response.destroy(), 20);
      },
      'NETWORK',
      /docker daemon at/,
    ],
    [
      'one that ends with what went wrong',
      (_, response) => {
        response.write(whole.subarray(0, 5000));
        response.end('{"error":"layer is lost"}');
      },
      'ARCHIVE_INVALID',
      /app:1/,
    ],
    [
      'one whose config is another',
      async (_, response) => {
        const changed = Buffer.from(whole);
        changed.write('linuX', changed.indexOf('"linux"') + 1);
        response.end(changed);
      },
      'ARCHIVE_INVALID',
      /not the config/,
    ],
  ])('%s', async (_, answer, code, message) => {
    const docker = await engineServer(answer);
    const here = await place({}, { DOCKER_HOST: docker.address });
    const error = await failureOf(here.run(copyVerb, { from: 'docker-daemon:app:1', to: 'oci:x' }));
    expect([error.code, error.message]).toEqual([code, expect.stringMatching(message)]);
    expect(await staged(here)).toEqual([]);
  });

  test('a layer that is not what the config says', async () => {
    const changed = Buffer.from(whole);
    changed.fill(0, 2048, 2060);
    const docker = await engineServer((_, response) => response.end(changed));
    const here = await place({}, { DOCKER_HOST: docker.address });
    const copying = here.run(copyVerb, { from: 'docker-daemon:app:1', to: 'oci:x' });
    expect((await failureOf(copying)).code).toBe('DIGEST_MISMATCH');
  });

  test('an archive without end, which is interrupted', async () => {
    const docker = await engineServer((_, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(noise('more', 64 * 1024)));
        if (!response.destroyed) response.once('drain', more);
      };
      more();
    });
    const here = await place({}, { DOCKER_HOST: docker.address });
    const controller = new AbortController();
    const copying = here.run(
      copyVerb,
      { from: 'docker-daemon:app:1', to: 'oci:x' },
      controller.signal,
    );
    setTimeout(() => controller.abort(), 200);
    expect((await failureOf(copying)).code).toBe('ABORTED');
    expect(await staged(here)).toEqual([]);
  });

  test.each<[string, Answer]>([
    ['before it answers', () => {}],
    ['in the middle of its answer', (_, response) => response.write(whole.subarray(0, 100))],
  ])('one that falls silent %s', async (_, answer) => {
    const docker = await engineServer(answer);
    const variables = { DOCKER_HOST: docker.address };
    const daemon = dockerDaemon({ cwd: '/', variables }, createContext(), 100);
    const file = await openStore(await temporaryDirectory()).scratch();
    const error = await failureOf(daemon.save('app:1', file));
    await daemon.close();
    expect([error.code, error.hint]).toEqual([
      'TIMEOUT',
      expect.stringContaining('docker version'),
    ]);
  });
});

describe('a daemon that is not there', () => {
  test.each(['unix:///nowhere/docker.sock', 'tcp://127.0.0.1:1'])('%s', async (address) => {
    const here = await place({}, { DOCKER_HOST: address });
    const error = await failureOf(here.run(copyVerb, { from: 'docker-daemon:app:1', to: 'oci:x' }));
    expect([error.code, error.message, error.hint]).toEqual([
      'NETWORK',
      expect.stringContaining(address),
      expect.stringMatching(/DOCKER_HOST/),
    ]);
  });

  test('leaves a socket that nobody listens at', async () => {
    const here = await place({ 'docker.sock': '' });
    const home = await place({}, { DOCKER_HOST: `unix://${here.path('docker.sock')}` });
    const error = await failureOf(home.run(copyVerb, { from: 'docker-daemon:app:1', to: 'oci:x' }));
    expect(error.code).toBe('NETWORK');
  });
});
