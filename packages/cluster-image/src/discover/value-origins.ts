import { allParts, type ChartPart } from './chart-parts.ts';
import type { Findings, Origin, ValueOrigin } from './discovery.ts';
import { scalarsIn } from './values.ts';
import { valuesBehind } from './values-behind.ts';

/**
 * The same findings, their origins telling the values of the chart that each text is put together from,
 * as far as that can be told. The values that the template mentions go before others.
 *
 * @param path where the chart is in the context
 */
export async function withValueOrigins(
  { images, suspects, unresolved }: Findings,
  chart: ChartPart,
  path: string,
): Promise<Findings> {
  const explained = async (text: string, origin: Origin): Promise<Origin> => {
    const values = await valueOrigins(text, chart, placeOf(origin, path));
    return values.length === 0 ? origin : { ...origin, values };
  };
  const each = <T extends { readonly origins: readonly Origin[] }>(
    all: readonly T[],
    textOf: (one: T) => string,
  ): Promise<readonly T[]> =>
    Promise.all(
      all.map(async (one) => ({
        ...one,
        origins: await Promise.all(one.origins.map((origin) => explained(textOf(one), origin))),
      })),
    );
  return {
    images: await each(images, ({ reference }) => reference),
    suspects: await each(suspects, ({ text }) => text),
    unresolved: await Promise.all(
      unresolved.map(async (one) => ({ ...one, origin: await explained(one.text, one.origin) })),
    ),
  };
}

interface TemplatePlace {
  /** In the whole chart: `charts/redis/templates/a.yaml`. */
  readonly template: string;
  readonly line: number | undefined;
}

/** A template is a file of the context, or is said behind the command that rendered it. */
function placeOf({ file, line, via = '' }: Origin, path: string): TemplatePlace {
  if (file.startsWith(`${path}/`)) return { template: file.slice(path.length + 1), line };
  return { template: /: (\S+)$/.exec(via)?.[1] ?? '', line: undefined };
}

async function valueOrigins(
  text: string,
  chart: ChartPart,
  { template, line }: TemplatePlace,
): Promise<readonly ValueOrigin[]> {
  const part = allParts(chart)
    .filter(({ path }) => template.startsWith(`${path}/`))
    .reduce((found, one) => (one.path.length > found.path.length ? one : found), chart);
  const inner = part === chart ? template : template.slice(part.path.length + 1);
  const source = (await part.text(inner)) ?? '';
  const mentioned = mentionedIn(line === undefined ? source : (source.split('\n')[line - 1] ?? ''));
  const appVersion = part.description.entries.get('appVersion');
  const found = valuesBehind(text, {
    all: scalarsIn(await part.values()),
    isMentioned: ({ path }) => mentioned.some((keys) => keys.every((key, at) => path[at] === key)),
    ...(appVersion?.kind === 'scalar' && { appVersion }),
  });
  const told = found.map(({ key, origin }): ValueOrigin => ({ ...origin, key }));
  return [...new Map(told.map((origin) => [JSON.stringify(origin), origin])).values()];
}

/** `.Values.image.tag` is `image`, `tag`. */
function mentionedIn(template: string): readonly (readonly string[])[] {
  return [...template.matchAll(/\.Values((?:\.[A-Za-z_]\w*)+)/g)].map(([, path = '']) =>
    path.slice(1).split('.'),
  );
}
