import type { ProjectConfiguration, ProjectGraph } from '@nx/devkit';
import { describe, expect, test } from 'vitest';
import { builtHere, entryOf, namedImages } from '../src/generators/named-images.ts';

function nodes(
  projects: Readonly<Record<string, Omit<ProjectConfiguration, 'root'> & object>>,
): ProjectGraph['nodes'] {
  return Object.fromEntries(
    Object.entries(projects).map(([name, data]) => [
      name,
      { name, type: 'app', data: { root: `apps/${name}`, ...data } },
    ]),
  );
}

const thin = {
  executor: '@cluster-image/nx:image',
  options: { tag: 'registry.example/acme/api:dev', thin: 'apps/api/dist/image' },
};
const docker = { command: 'docker build .', options: { args: ['--tag apps-web'] } };

describe('images that projects build', () => {
  test('are called what their targets say', async () => {
    const found = await namedImages(
      nodes({
        api: { targets: { image: thin } },
        web: { targets: { 'docker:build': docker } },
        none: {
          targets: { image: { ...thin, options: { thin: 'x' } }, build: { executor: 'x:y' } },
        },
        wrong: { targets: { image: { ...thin, options: { ...thin.options, tag: 'A b' } } } },
      }),
      {},
    );
    expect(found).toEqual([
      {
        project: 'api',
        name: 'registry.example/acme/api',
        place: { path: 'apps/api/dist/image' },
      },
      {
        project: 'web',
        name: 'docker.io/library/apps-web',
        place: { location: 'docker-daemon:apps-web', target: 'docker:build' },
      },
    ]);
  });

  test('are called what nx release calls them as well', async () => {
    const names = async (release: object, all: object): Promise<readonly string[]> => {
      const web = { targets: { 'docker:build': docker }, release };
      const found = await namedImages(nodes({ web }), { release: all });
      return found.map(({ name }) => name);
    };
    const own = { docker: { repositoryName: 'acme/web' } };
    expect(await names(own, { docker: { registryUrl: 'registry.example' } })).toEqual([
      'docker.io/library/apps-web',
      'registry.example/acme/web',
    ]);
    expect(await names(own, {})).toContain('docker.io/acme/web');
    expect(await names({ docker: { ...own.docker, registryUrl: 'other.example' } }, {})).toContain(
      'other.example/acme/web',
    );
    expect(await names({}, { docker: { registryUrl: 'registry.example' } })).toHaveLength(1);
  });

  test('are meant by their names, whatever the tag, and not by digests', async () => {
    const images = await namedImages(
      nodes({ api: { targets: { image: thin } }, web: { targets: { 'docker:build': docker } } }),
      {},
    );
    const digest = `registry.example/acme/api@sha256:${'0'.repeat(64)}`;
    expect(builtHere([digest, 'docker.io/library/other:1'], images)).toEqual([]);
    const found = builtHere(
      ['registry.example/acme/api:9', 'docker.io/library/apps-web:1'],
      images,
    );
    expect(found.map((image) => entryOf(image, 'clusters/edge'))).toEqual([
      'oci:../../apps/api/dist/image',
      { from: 'docker-daemon:apps-web', project: 'web', target: 'docker:build' },
    ]);
  });

  test('are taken from the first that builds one of that name', async () => {
    const images = await namedImages(
      nodes({ api: { targets: { image: thin } }, copy: { targets: { image: thin } } }),
      {},
    );
    const found = builtHere(['registry.example/acme/api:1'], images);
    expect(found.map(({ project }) => project)).toEqual(['api']);
  });
});
