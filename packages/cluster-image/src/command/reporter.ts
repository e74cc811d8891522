import type { Event } from '@cluster-image/oci';
import { eventLine } from '../event-line.ts';
import { printable } from '../printable.ts';
import { formatSize } from '../sizes.ts';

export interface Reporter {
  report(event: Event): void;
  /** Leaves the screen as it should be when the work is over. */
  end(): void;
}

/** How often the moving line is drawn, in milliseconds. */
const drawEvery = 100;

/**
 * Prints what happens, for people: one line an image when it is finished, and on a terminal a last
 * line that moves meanwhile.
 */
export async function reporter(stream: NodeJS.WriteStream): Promise<Reporter> {
  const live = stream.isTTY ? (await import('log-update')).createLogUpdate(stream) : undefined;
  const running = new Set<string>();
  let stage = '';
  let total = 0;
  let done = 0;
  let moved = 0;
  let drawn = 0;

  function line(text: string): void {
    live?.clear();
    stream.write(`${printable(text)}\n`);
    draw(true);
  }

  function draw(now = false): void {
    if (!live || (!now && Date.now() - drawn < drawEvery)) return;
    drawn = Date.now();
    if (stage === '') return;
    const names = [...running].slice(0, 3).map((name) => name.split('/').at(-1));
    const count = total > 0 ? ` ${done}/${total}` : '';
    const width = Math.max(20, (stream.columns ?? 80) - 1);
    const text = `${stage}${count}  ${formatSize(moved)}  ${names.join(' ')}`;
    live(printable(text).slice(0, width));
  }

  return {
    report(event) {
      const text = eventLine(event);
      if (event.type === 'stage') begin(event.name, event.total ?? 0);
      if (event.type === 'image' && event.state === 'start') running.add(event.reference);
      if (event.type === 'image' && event.state !== 'start') {
        running.delete(event.reference);
        done += 1;
      }
      if (event.type === 'blob') moved += event.moved ?? 0;
      if (text === undefined) draw();
      else line(text);
    },
    end() {
      stage = '';
      live?.clear();
    },
  };

  function begin(name: string, count: number): void {
    stage = name;
    total = count;
    done = 0;
    moved = 0;
    running.clear();
  }
}
