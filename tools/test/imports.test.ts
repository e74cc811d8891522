import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Which packages of the house each may import, and which modules it alone may, or may not. */
const rules = {
  oci: { house: [], only: ['node:crypto', 'zod'] },
  distribution: { house: ['@cluster-image/oci'], never: ['node:fs', 'node:fs/promises', 'tar'] },
  storage: { house: ['@cluster-image/oci'], never: ['undici'] },
  'cluster-image': {
    house: ['@cluster-image/oci', '@cluster-image/storage', '@cluster-image/distribution'],
    never: ['node:fs', 'node:fs/promises', 'undici', 'tar', '@nx/devkit', 'nx'],
  },
  nx: {
    house: ['cluster-image'],
    never: ['node:fs', 'node:fs/promises', 'undici', 'tar'],
    // Whatever the plugin's entry imports is loaded at every Nx command.
    except: ['inference/read.ts'],
  },
} as const;

type Package = keyof typeof rules;

interface Source {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly string[];
}

function sourcesOf(name: Package): readonly Source[] {
  const src = join(root, 'packages', name, 'src');
  return readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => {
      const text = withoutComments(readFileSync(join(src, path), 'utf8'));
      const found = text.matchAll(
        /(?:\b(?:from|import) |\b(?:import|require)\()'([^'\n]+)'(?:;$|\))/gm,
      );
      return { path, text, imports: [...found].map(([, specifier = '']) => specifier) };
    });
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1');
}

function isHouse(specifier: string): boolean {
  return specifier.startsWith('@cluster-image/') || /^cluster-image(?:\/|$)/.test(specifier);
}

/** The package that a specifier is of; undefined for node's own modules and files. */
function packageOf(specifier: string): string | undefined {
  if (specifier.startsWith('.') || specifier.startsWith('node:')) return undefined;
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

const names: readonly Package[] = ['oci', 'distribution', 'storage', 'cluster-image', 'nx'];

describe.each(names)('package %s', (name) => {
  const sources = sourcesOf(name);
  const imports = sources.flatMap(({ path, imports }) =>
    imports.map((specifier) => ({ path, specifier })),
  );

  test('has sources that import something', () => {
    expect(sources.length).toBeGreaterThan(0);
    expect(imports.length).toBeGreaterThan(0);
  });

  test('imports only those packages of the house that are below it, and only their index', () => {
    const allowed: readonly string[] = rules[name].house;
    const wrong = imports.filter(
      ({ specifier }) => isHouse(specifier) && !allowed.includes(specifier),
    );
    expect(wrong).toEqual([]);
  });

  test('imports no module that belongs to another package of the house', () => {
    const rule = rules[name];
    const never: readonly string[] = 'never' in rule ? rule.never : [];
    const only: readonly string[] | undefined = 'only' in rule ? rule.only : undefined;
    const except: readonly string[] = 'except' in rule ? rule.except : [];
    const wrong = imports.filter(({ path, specifier }) => {
      if (except.includes(path)) return false;
      if (specifier.startsWith('.') || isHouse(specifier)) return false;
      return never.includes(specifier) || (only !== undefined && !only.includes(specifier));
    });
    expect(wrong).toEqual([]);
  });

  test("names node's own modules as such, and declares every other one", () => {
    const manifest = JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8'));
    const declared = { ...manifest.dependencies, ...manifest.peerDependencies };
    const wrong = imports.filter(({ specifier }) => {
      const dependency = packageOf(specifier);
      return dependency !== undefined && !(dependency in declared);
    });
    expect(wrong).toEqual([]);
    expect(imports.filter(({ specifier }) => builtinModules.includes(specifier))).toEqual([]);
  });

  test('declares nothing that it does not import', () => {
    const manifest = JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8'));
    const used = new Set(imports.map(({ specifier }) => packageOf(specifier)));
    const idle = Object.keys(manifest.dependencies ?? {}).filter(
      (dependency) => !used.has(dependency),
    );
    expect(idle).toEqual([]);
  });

  test('imports files of its own with their extension, and none outside of its src', () => {
    const wrong = imports.filter(({ path, specifier }) => {
      if (!specifier.startsWith('.')) return false;
      const target = normalize(join(dirname(path), specifier));
      return target.startsWith('..') || !target.endsWith('.ts');
    });
    expect(wrong).toEqual([]);
  });

  test('leaves the console, the environment and the end of the process to the edges', () => {
    const isEdge = (path: string): boolean =>
      name === 'nx' || (name === 'cluster-image' && path.startsWith('command/'));
    const wrong = sources
      .filter(
        ({ path, text }) => !isEdge(path) && /\bconsole\.|\bprocess\.(?:exit|env)\b/.test(text),
      )
      .map(({ path }) => path);
    expect(wrong).toEqual([]);
  });

  test('awaits nothing at the top of a module: Nx loads executors with require', () => {
    const wrong = sources
      .filter(({ text }) => /^(?:(?:export )?const [^=]+= )?await\b/m.test(text))
      .map(({ path }) => path);
    expect(wrong).toEqual([]);
  });
});

test('nothing but the Nx plugin knows of Nx', () => {
  const wrong = names
    .filter((name) => name !== 'nx')
    .flatMap((name) =>
      sourcesOf(name).flatMap(({ path, imports }) =>
        imports
          .filter(
            (specifier) => /^(?:nx|@nx\/)/.test(specifier) || specifier === '@cluster-image/nx',
          )
          .map(
            (specifier) => `${relative(root, join(root, 'packages', name, path))}: ${specifier}`,
          ),
      ),
    );
  expect(wrong).toEqual([]);
});
