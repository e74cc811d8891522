import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Desk, desk } from '../desk.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** The command as a process of its own. */
function started({ root, environment }: Desk, ...args: readonly string[]): ChildProcess {
  const child = spawn(
    process.execPath,
    ['--import', here('processes/sources.ts'), here('processes/command.ts'), ...args],
    { cwd: root, env: { ...environment.variables }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

async function said(stream: ChildProcess['stdout']): Promise<string> {
  let text = '';
  for await (const chunk of stream ?? []) text += chunk;
  return text;
}

describe('the process', () => {
  test('exits with the code of what failed, and prints only what is to be read', async () => {
    const at = await desk();
    const child = started(at, 'inspect', 'gone:1', '--json');
    const ended = once(child, 'close');
    const [out, err] = await Promise.all([said(child.stdout), said(child.stderr)]);
    expect([...(await ended), out]).toEqual([1, null, '']);
    expect(err).toBe(
      'error: the store has no image docker.io/library/gone:1\n' +
        'To read it from its registry, write docker://docker.io/library/gone:1.\n',
    );
  });

  test.each(['SIGINT', 'SIGTERM'] as const)('ends at %s with 130', async (signal) => {
    const at = await desk({ rules: [{ match: { kind: 'blob' }, fault: { drop: 'silence' } }] });
    const from = `${at.host}/acme/app:1`;
    const child = started(at, 'pull', from, '--plain-http', at.host);
    const err = said(child.stderr);
    while (at.upstream.requests('blob').length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    child.kill(signal);
    const [code] = await once(child, 'close');
    expect([code, await err]).toEqual([130, expect.stringContaining('error: interrupted\n')]);
  });

  test('ends well where whoever reads it has had enough', async () => {
    const at = await desk();
    const child = started(at, 'inspect', `docker://${at.host}/acme/app:1`, '--plain-http', at.host);
    child.stdout?.destroy();
    const err = said(child.stderr);
    const [code] = await once(child, 'close');
    expect([code, await err]).toEqual([0, '']);
  });
});
