import { OciError } from '@cluster-image/oci';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { findInDocuments } from '../../src/discover/documents.ts';

const seeds: readonly string[] = [
  `apiVersion: v1
kind: Pod
metadata: {name: web, annotations: {"a/b": "{\\"image\\": \\"a.io/x:1\\"}"}}
spec:
  containers:
    - &c
      name: a
      image: "a.io/b:1" # c
      args: ['--image=a.io/c:1', "it\\u002fs"]
    - <<: *c
      image: >-
        a.io/d:1
  volumes: [{name: v, image: {reference: a.io/e:1}}]
---
kind: ConfigMap
data:
  pod.yaml: |-
    containers:
      - image: {{ .x }}
  b: 'image: ''a.io/f:1''
    '
`,
  JSON.stringify({ kind: 'List', items: [{ image: 'a.io/b:1', text: '{"image":"a.io/c:1"}' }] }),
  `apiVersion: argoproj.io/v1alpha1
kind: Application
spec: {source: {helm: {values: "image: {repository: a.io/b, tag: 1.10}"}, kustomize: {images: [a=b:1]}}}
`,
  '%YAML 1.2\n---\n? image\n: !!str a.io/b:1\n...\n--- |\n text\n',
];

/** What is put somewhere into a text. */
const pieces = [
  ...['\0', '\t', '\r', '\r\n', '\n', '---\n', '...\n', '\uFEFF', '\u2028', '\u00a0', '\ud800'],
  ...['{{', '}}', '${', '$(params.', '###', '&a ', '*a', '<<: *c', '!!x ', '? ', '- ', ': ', ' #'],
  ...['"', "'", '|', '>', '[', ']', '{', '}', '\\', '\\u', '%', '@', '`', '"image": ', 'image:'],
  ...['a.io/b:1', 'sha256:', '__proto__: ', 'kind: X\n', ' '.repeat(40), '['.repeat(60)],
];

type Mutation = (text: string) => string;

const at = fc.double({ min: 0, max: 1, noNaN: true });
const position = (text: string, part: number): number => Math.floor(part * text.length);
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(at, fc.nat(7)).map(
    ([part, bit]): Mutation =>
      (text) => {
        const where = position(text, part);
        const flipped = String.fromCharCode(text.charCodeAt(where) ^ (1 << bit));
        return text.slice(0, where) + flipped + text.slice(where + 1);
      },
  ),
  at.map(
    (part): Mutation =>
      (text) =>
        text.slice(0, position(text, part)),
  ),
  fc.tuple(at, at).map(
    ([from, to]): Mutation =>
      (text) => {
        const [start, end] = [position(text, from), position(text, to)];
        return text.slice(0, start) + text.slice(end);
      },
  ),
  fc.tuple(at, fc.constantFrom(...pieces)).map(
    ([part, piece]): Mutation =>
      (text) => {
        const where = position(text, part);
        return text.slice(0, where) + piece + text.slice(where);
      },
  ),
  fc.tuple(at, at, fc.constantFrom(...seeds)).map(
    ([part, from, seed]): Mutation =>
      (text) => {
        return text.slice(0, position(text, part)) + seed.slice(position(seed, from));
      },
  ),
);

test('Y01 to Y04: a text that is damaged is read or unresolved, in no time', () => {
  const damaged = fc
    .tuple(fc.constantFrom(...seeds), fc.array(mutation, { minLength: 1, maxLength: 6 }))
    .map(([seed, mutations]) => mutations.reduce((text, mutate) => mutate(text), seed));
  fc.assert(
    fc.property(damaged, fc.boolean(), (text, template) => {
      const start = process.cpuUsage().user;
      try {
        const found = findInDocuments(text, 'f.yaml', { template });
        const lines = text.split(/\r\n|\n|\r/).length;
        for (const { line } of found.images.flatMap(({ origins }) => origins)) {
          expect(line).toBeGreaterThan(0);
          expect(line).toBeLessThanOrEqual(lines);
        }
      } catch (error) {
        if (!(error instanceof OciError)) throw error;
      }
      expect((process.cpuUsage().user - start) / 1e6).toBeLessThan(5);
    }),
    { numRuns: 2000 },
  );
});
