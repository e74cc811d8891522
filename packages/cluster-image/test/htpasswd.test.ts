import { join } from 'node:path';
import { hash } from 'bcryptjs';
import { describe, expect, test } from 'vitest';
import { readHtpasswd } from '../src/htpasswd.ts';
import { contextDirectory } from './context.ts';
import { failureOf } from './failure.ts';

async function fileOf(text: string): Promise<string> {
  return join(await contextDirectory({ htpasswd: text }), 'htpasswd');
}

describe('a file of passwords', () => {
  test('tells who is who', async () => {
    const lines = [
      '# people',
      `one:${await hash('secret:1', 4)}`,
      '',
      `two:${(await hash('geheim', 4)).replace('$2b', '$2y')}`,
    ];
    const isRight = await readHtpasswd(await fileOf(lines.join('\r\n')));
    expect(await isRight('one', 'secret:1')).toBe(true);
    expect(await isRight('one', 'secret:1')).toBe(true);
    expect(await isRight('two', 'geheim')).toBe(true);
    expect(await isRight('two', 'secret:1')).toBe(false);
    expect(await isRight('one', '')).toBe(false);
    expect(await isRight('three', 'geheim')).toBe(false);
    expect(await isRight('__proto__', 'geheim')).toBe(false);
  });

  test.each([
    ['plain', 'a:b'],
    ['another hash', 'a:$apr1$x$y'],
    ['no name', `:$2b$04$${'a'.repeat(53)}`],
    ['a hash cut short', `a:$2b$04$${'a'.repeat(52)}`],
  ])('with %s is refused, by line, without repeating it', async (_, line) => {
    const error = await failureOf(readHtpasswd(await fileOf(`# first\n${line}\n`)));
    expect(error.code).toBe('INPUT_INVALID');
    expect(error.message).toMatch(/htpasswd:2 is not NAME:BCRYPT$/);
  });

  test('that is not there is told', async () => {
    expect((await failureOf(readHtpasswd('/nonexistent/htpasswd'))).code).toBe('USAGE');
  });
});
