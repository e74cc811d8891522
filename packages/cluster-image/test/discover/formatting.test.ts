import fc from 'fast-check';
import { expect, test } from 'vitest';
import { findInDocuments } from '../../src/discover/documents.ts';

/** Lines of a document, and the images in them by the line they are at, counted from 0. */
interface Written {
  readonly lines: readonly string[];
  readonly images: readonly (readonly [image: string, line: number])[];
}

const image = fc
  .tuple(
    fc.stringMatching(/^[a-z][a-z0-9]{0,6}$/),
    fc.constantFrom(
      ':1',
      ':1.10',
      ':v1',
      `@sha256:${'0f'.repeat(32)}`,
      `:1@sha256:${'1a'.repeat(32)}`,
    ),
  )
  .map(([name, version]) => `a.io/${name}${version}`);

/** One image, in any of the ways to write it; what follows its first line is indented by its reader. */
const written: fc.Arbitrary<Written> = fc
  .tuple(image, fc.nat(13), fc.constantFrom('', '', ' # image: b.io/none:1', '   '))
  .map(([image, style, end]): Written => {
    const one = (line: string): Written => ({ lines: [`${line}${end}`], images: [[image, 0]] });
    const styles: readonly Written[] = [
      one(`image: ${image}`),
      one(`image:    ${image}`),
      one(`image: "${image}"`),
      one(`image: '${image}'`),
      one(`"image": ${image}`),
      one(`image: "${image.replaceAll('/', '\\u002f')}"`),
      one(`image: !!str ${image}`),
      one(`{image: "${image}", name: a}`),
      one(`{"image":"${image}"}`),
      { lines: [`image:${end}`, `  ${image}`], images: [[image, 1]] },
      { lines: ['? image', `: ${image}${end}`], images: [[image, 1]] },
      { lines: ['image: >-', '', `  ${image}`], images: [[image, 0]] },
      { lines: ['image: |-', `  ${image}`], images: [[image, 0]] },
      { lines: ['image:', '  "reference":', `    ${image}`], images: [[image, 1]] },
    ];
    return styles[style] ?? one(image);
  });

const filler = fc.constantFrom(
  '',
  '# image: b.io/none:2',
  'x: |',
  'note: a text',
  'y: [a, {b: c}]',
);

/** Containers of a pod, with whatever else between them. */
const pod = fc
  .tuple(fc.array(written, { minLength: 1, maxLength: 4 }), filler, fc.constantFrom(0, 2, 4))
  .map(([all, filler, indent]): Written => {
    const lines = [
      'kind: Pod',
      filler.replace('x: |', 'x: |\n  image of nothing'),
      'spec:',
      '  containers:',
    ]
      .join('\n')
      .split('\n');
    const images: [string, number][] = [];
    for (const one of all) {
      const start = lines.length;
      lines.push(
        ...one.lines.map((line, at) =>
          line === '' ? '' : `  ${' '.repeat(indent)}${at === 0 ? '- ' : '  '}${line}`,
        ),
      );
      images.push(...one.images.map(([image, at]): [string, number] => [image, start + at]));
    }
    return { lines, images };
  });

test('Y05: every image that is put into documents is found, at its line, however they are formatted', () => {
  const breaks = fc.constantFrom('\n', '\n', '\r\n');
  const start = fc.constantFrom('', '---\n', '\uFEFF', '# image\n---\n', '%YAML 1.2\n---\n');
  fc.assert(
    fc.property(
      fc.array(pod, { minLength: 1, maxLength: 3 }),
      breaks,
      start,
      (pods, end, before) => {
        const text = before + pods.map(({ lines }) => `${lines.join('\n')}\n`).join('---\n');
        let line = before.split('\n').length;
        const expected: string[] = [];
        for (const { lines, images } of pods) {
          for (const [image, at] of images) expected.push(`${image} at ${line + at}`);
          line += lines.length + 1;
        }
        const found = findInDocuments(text.replaceAll('\n', end), 'f.yaml');
        const images = found.images.map(
          ({ reference, origins: [origin] }) => `${reference} at ${origin?.line}`,
        );
        expect(images).toEqual(expected);
        expect([...found.suspects, ...found.unresolved]).toEqual([]);
      },
    ),
    { numRuns: 500 },
  );
});
