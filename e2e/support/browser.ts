import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { z } from 'zod';

/** A page in Chromium, without a window. */
export interface Page {
  /** Opens a URL, and returns once all of it is there. */
  open(url: string): Promise<void>;
  /** What an expression comes to in the page. */
  evaluate(expression: string): Promise<unknown>;
  /** Makes the window so wide, in pixels. */
  width(pixels: number): Promise<void>;
  /** Every URL that was asked for. */
  readonly requests: readonly string[];
  close(): Promise<void>;
}

const message = z.object({
  id: z.number().optional(),
  method: z.string().optional(),
  params: z.looseObject({ request: z.object({ url: z.string() }).optional() }).optional(),
  result: z
    .looseObject({
      result: z.object({ value: z.unknown().optional() }).optional(),
      frameId: z.string().optional(),
    })
    .optional(),
  error: z.object({ message: z.string() }).optional(),
});

/** Speaks to Chromium by its own protocol. https://chromedevtools.github.io/devtools-protocol/ */
export async function browse(directory: string): Promise<Page> {
  const child = spawn('timeout', [
    ...['120', 'chromium', '--headless', '--no-sandbox', '--disable-gpu'],
    ...['--disable-background-networking', '--no-first-run', '--remote-debugging-port=0'],
    ...[`--user-data-dir=${directory}`, 'about:blank'],
  ]);
  const browser = new URL(await endpointIn(child.stderr));
  const pages = z
    .array(z.looseObject({ type: z.string(), webSocketDebuggerUrl: z.string() }))
    .parse(await (await fetch(`http://${browser.host}/json/list`)).json());
  const url = pages.find(({ type }) => type === 'page')?.webSocketDebuggerUrl;
  if (url === undefined) throw new Error('chromium has no page');
  const socket = new WebSocket(url);
  await once(socket, 'open');
  const requests: string[] = [];
  const waiting = new Map<number, (answer: z.infer<typeof message>) => void>();
  let loaded = Promise.withResolvers<void>();
  let sent = 0;
  socket.addEventListener('message', ({ data }) => {
    const said = message.parse(JSON.parse(String(data)));
    if (said.id !== undefined) waiting.get(said.id)?.(said);
    const asked = said.params?.request?.url;
    if (said.method === 'Network.requestWillBeSent' && asked !== undefined) requests.push(asked);
    if (said.method === 'Page.loadEventFired') loaded.resolve();
  });

  async function send(method: string, params: object = {}): Promise<z.infer<typeof message>> {
    sent += 1;
    const id = sent;
    socket.send(JSON.stringify({ id, method, params }));
    const answer = await new Promise<z.infer<typeof message>>((resolve) =>
      waiting.set(id, resolve),
    );
    if (answer.error) throw new Error(`${method}: ${answer.error.message}`);
    return answer;
  }

  await send('Network.enable');
  await send('Page.enable');
  return {
    requests,
    async open(url) {
      loaded = Promise.withResolvers();
      await send('Page.navigate', { url });
      await loaded.promise;
    },
    async evaluate(expression) {
      const { result } = await send('Runtime.evaluate', { expression, returnByValue: true });
      return result?.result?.value;
    },
    async width(width) {
      const metrics = { width, height: 800, deviceScaleFactor: 1, mobile: false };
      await send('Emulation.setDeviceMetricsOverride', metrics);
    },
    async close() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      // It may be gone before it has answered.
      socket.send(JSON.stringify({ id: 0, method: 'Browser.close' }));
      const timer = setTimeout(() => child.kill(), 10_000);
      await ended;
      clearTimeout(timer);
    },
  };
}

async function endpointIn(stderr: AsyncIterable<Buffer>): Promise<string> {
  let text = '';
  for await (const chunk of stderr) {
    text += chunk;
    const [, url] = /listening on (ws:\S+)/.exec(text) ?? [];
    if (url !== undefined) return url;
  }
  throw new Error(`chromium did not come up:\n${text}`);
}
