import { originText } from '../lock/check.ts';
import type { Discovery, Origin, ValueOrigin } from './discovery.ts';

/**
 * Why images are there, for people: below each what rendered it, below that the template with its line
 * and the line of what was rendered, below that the values it is put together from.
 */
export function chainLines({ images, bases, suspects, unresolved }: Discovery): readonly string[] {
  const told = [
    ...[...images, ...bases].map(({ reference, archive, origins }) => ({
      title: archive === undefined ? reference : `${reference}  (out of ${archive})`,
      origins,
    })),
    ...suspects.map(({ text, reason, origins }) => ({
      title: `${text}  (looks like an image, and is not packed: ${reason})`,
      origins,
    })),
    ...unresolved.map(({ text, reason, origin }) => ({
      title: `${text}  (cannot be resolved: ${reason})`,
      origins: [origin],
    })),
  ];
  return told.flatMap(({ title, origins }) => [title, ...chainsOf(origins)]);
}

function chainsOf(origins: readonly Origin[]): readonly string[] {
  const byCommand = Map.groupBy(origins, (origin) => commandOf(origin)?.command);
  return [...byCommand].flatMap(([command, group]) => {
    if (command === undefined) return group.map((origin) => `  ${originText(origin)}`);
    return [`  ${command}`, ...group.flatMap(templateLines)];
  });
}

interface Rendered {
  readonly command: string;
  /** Where it is from, as far as it is known. */
  readonly place: string;
}

/** What rendered something; undefined for what is just read. */
function commandOf({ file, line, via, rendered }: Origin): Rendered | undefined {
  if (via === undefined || rendered === undefined) return undefined;
  const template = /^(.*): (\S+)$/s.exec(via);
  if (template) return { command: template[1] ?? '', place: `${template[2]} in ${file}` };
  return { command: via, place: line === undefined ? file : `${file}:${line}` };
}

function templateLines(origin: Origin): readonly string[] {
  const { rendered, values = [] } = origin;
  const place = commandOf(origin)?.place ?? origin.file;
  const width = Math.max(0, ...values.map(({ key }) => key.length));
  return [
    `    ${place}, line ${rendered} of what is rendered`,
    ...values.map((value) => `      ${value.key.padEnd(width)}  ${placeOf(value)}`),
  ];
}

function placeOf({ file, line, via }: ValueOrigin): string {
  const place = line === undefined ? file : `${file}:${line}`;
  return via === undefined ? place : `${via} in ${place}`;
}
