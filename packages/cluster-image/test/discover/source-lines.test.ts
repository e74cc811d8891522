import { describe, expect, test } from 'vitest';
import { sourceLines } from '../../src/discover/source-lines.ts';

const rendered = (...documents: readonly string[]): string =>
  documents.map((text) => `---\n# Source: web/templates/a.yaml\n${text}\n`).join('');

async function lines(text: string, template: string): Promise<readonly (readonly number[])[]> {
  const known = await sourceLines(text, async (name) =>
    name === 'templates/a.yaml' ? template : undefined,
  );
  const lineOf = known.get('templates/a.yaml');
  return text.split('\n').flatMap((line, at) => {
    const source = line.includes('image:') ? lineOf?.(at + 1) : undefined;
    return source === undefined ? [] : [[at + 1, source]];
  });
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

  test('by the lines around it, where several could be meant', async () => {
    const text = rendered(
      'spec:\n  - name: web\n    tty: true\n    image: x:1\n  - name: b\n    image: x:1',
    );
    const template = [
      'spec:',
      '  {{- if .Values.first }}',
      '  - name: first',
      '    image: {{ .Values.image }}',
      '  {{- end }}',
      '  - name: {{ .Values.name }}',
      '    tty: true',
      '    {{- include "more" . }}',
      '    image: {{ .Values.image }}',
      '  - name: b',
      '    image: {{ .Values.image }}',
    ].join('\n');
    expect(await lines(text, template)).toEqual([
      [6, 9],
      [8, 11],
    ]);
  });

  test('by what a branch of a condition says, where all are alike', async () => {
    const template = [
      'spec:',
      '  {{- if and .Values.tag .Values.sha }}',
      '  image: "{{ .Values.name }}:{{ .Values.tag }}@sha256:{{ .Values.sha }}"',
      '  {{- else if .Values.tag }}',
      '  image: "{{ .Values.name }}:{{ .Values.tag }}"',
      '  {{- else }}',
      '  image: "{{ .Values.name }}"',
      '  {{- end }}',
      '  tty: true',
    ].join('\n');
    expect(await lines(rendered('spec:\n  image: "x:1"\n  tty: true'), template)).toEqual([[4, 5]]);
    expect(await lines(rendered('spec:\n  image: "x"\n  tty: true'), template)).toEqual([[4, 7]]);
  });

  test('only where it is as far to the right', async () => {
    const template = '{{ include "containers" . }}\n  image: {{ .Values.image }}';
    expect(await lines(rendered('  image: x:1\n      image: x:1'), template)).toEqual([[3, 2]]);
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
