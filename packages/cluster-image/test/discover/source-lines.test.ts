import { describe, expect, test } from 'vitest';
import { sourceLines } from '../../src/discover/source-lines.ts';

const rendered = (...documents: readonly string[]): string =>
  documents.map((text) => `---\n# Source: web/templates/a.yaml\n${text}\n`).join('');

async function lines(text: string, template: string): Promise<readonly (readonly number[])[]> {
  const known = await sourceLines(text, async (name) =>
    name === 'templates/a.yaml' ? template : undefined,
  );
  return [...(known.get('templates/a.yaml') ?? [])];
}

describe('a rendered image line is led back to its template', () => {
  test('in one document in order, where each can be rendered to the other', async () => {
    const text = rendered('a:\n  image: x:1\nb:\n  image: "y:2"');
    const template = '{{ if .x }}\na:\n  image: {{ .a }}\nb:\n  image: "{{ .b }}"\n{{ end }}';
    expect(await lines(text, template)).toEqual([
      [4, 3],
      [6, 5],
    ]);
  });

  test('in several documents where only one can be meant, for helm sorts them', async () => {
    const text = rendered('image: "second/{{tag}}"', 'image: x:1', 'image: x:1');
    const template = 'image: {{ .Values.x }}:1\n---\nimage: "second/{{ .tag }}"';
    expect(await lines(text, template)).toEqual([
      [3, 3],
      [6, 1],
      [9, 1],
    ]);
  });

  test('nowhere, where several could be meant', async () => {
    const template = 'image: {{ .a }}\n---\nimage: {{ .b }}';
    expect(await lines(rendered('image: x:1', 'image: y:1'), template)).toEqual([]);
  });

  test('nowhere, where it comes from a helper', async () => {
    expect(await lines(rendered('image: x:1'), '{{ include "pod" . }}')).toEqual([]);
  });

  test.each([
    ['image: a{{ .x }}b{{ .y }}c', 'image: abc', true],
    ['image: a{{ .x }}b{{ .y }}c', 'image: a-b-c', true],
    ['image: a{{ .x }}b{{ .y }}c', 'image: ac', false],
    ['image: ab{{ .x }}ba', 'image: aba', false],
    ['image: a.c', 'image: abc', false],
    [`image: ${'{{ .x }}a'.repeat(200)}b`, `image: ${'a'.repeat(5000)}`, false],
  ])('the line %s', async (template, line, isFound) => {
    expect(await lines(rendered(line), template)).toHaveLength(isFound ? 1 : 0);
  });

  test('not at all, where the template is no file', async () => {
    const known = await sourceLines(rendered('image: x'), async () => undefined);
    expect(known.size).toBe(0);
  });
});
