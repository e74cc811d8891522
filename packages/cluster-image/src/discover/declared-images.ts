import { wholeReference } from '@cluster-image/oci';
import { allParts, type ChartPart, conditionOf } from './chart-parts.ts';
import { withoutScheme } from './compose.ts';
import { type Findings, nothing, type Origin, together } from './discovery.ts';
import { findInDocuments } from './documents.ts';
import type { ChartSettings } from './settings.ts';
import { mapAt, readItems, textAt, type ValueMap, type ValueScalar } from './values.ts';

/** What becomes of images that are declared and not rendered. */
export type Declared = NonNullable<ChartSettings['declared']>;

/**
 * Annotations of `Chart.yaml` that have a list of images in a text, each with its `image`:
 * https://artifacthub.io/docs/topics/annotations/helm/, https://helm.sh/community/hips/hip-0015, and that
 * of https://github.com/vmware-labs/distribution-tooling-for-helm, whose locks lie beside.
 */
const annotations = ['helm.sh/images', 'artifacthub.io/images', 'images'] as const;
const locks = [
  'Images.lock',
  'images.lock',
  'images-lock.yaml',
  'images.lock.yaml',
  '.images.lock.yaml',
] as const;

/** The one annotation that says under which condition an image is needed. */
const conditional: (typeof annotations)[number] = 'helm.sh/images';

/**
 * Images that a chart, and the charts in it that are installed, declare without rendering them, as
 * operators bring them. Those of `helm.sh/images` count where their condition holds, or where they have
 * none; all others are suspects unless they are to be accepted.
 *
 * @param rendered what the chart renders to
 */
export async function declaredImages(
  chart: ChartPart,
  rendered: Findings,
  declared: Declared = 'suspect',
): Promise<Findings> {
  if (declared === 'ignore') return nothing;
  const known = new Set(rendered.images.map(({ reference }) => reference));
  const found: Findings[] = [];
  for (const part of allParts(chart)) {
    const all = [...inAnnotations(part), ...(await inLocks(part))];
    // Conditions count although another annotation has none.
    const first = new Map(all.toReversed().map(({ text, by }) => [text, by]));
    const fresh = all.filter(({ text, by }) => !known.has(text) && first.get(text) === by);
    if (fresh.length === 0 || !(await part.isEnabled())) continue;
    const values = await part.values();
    found.push(...fresh.map((declaration) => decided(declaration, values, declared)));
  }
  return together(found);
}

interface Declaration {
  /** The reference, or what is there instead of one. */
  readonly text: string;
  readonly isReference: boolean;
  /** What declares it. */
  readonly by: string;
  /** Paths to values that say whether it is needed. */
  readonly condition: string | undefined;
  readonly origin: Origin;
}

function decided(
  { text, isReference, by, condition, origin }: Declaration,
  values: ValueMap,
  declared: Declared,
): Findings {
  const suspect = (why: string): Findings => ({
    ...nothing,
    suspects: [{ text, reason: `declared by ${by}, ${why}`, origins: [origin] }],
  });
  if (!isReference) return suspect('and is not an image reference');
  const holds = by !== conditional || condition === undefined || conditionOf(condition, values);
  if (holds === false) return nothing;
  if (declared === 'accept' || (by === conditional && holds)) {
    return { ...nothing, images: [{ reference: text, origins: [origin] }] };
  }
  return suspect(holds === undefined ? `if ${condition}, which is not set` : 'and not rendered');
}

function inAnnotations(part: ChartPart): readonly Declaration[] {
  const annotated = mapAt(part.description, 'annotations');
  return annotations.flatMap((by) => {
    const annotation = annotated.entries.get(by);
    return annotation?.kind === 'scalar' ? declarationsIn(part, annotation, by) : [];
  });
}

function declarationsIn(part: ChartPart, list: ValueScalar, by: string): readonly Declaration[] {
  // The lines of a literal text are lines of the file, the first below its indicator.
  const originAt = (line: number): Origin =>
    part.originOf('Chart.yaml', list.line + (list.type === 'literal' ? line : 0));
  return readItems(list.text, originAt).flatMap((item) => {
    const image = item.kind === 'map' ? item.entries.get('image') : undefined;
    if (image?.kind !== 'scalar' || item.kind !== 'map' || image.text.trim() === '') return [];
    const condition = textAt(item, 'condition');
    return [{ ...referenceIn(image.text), by, condition, origin: image.origin }];
  });
}

async function inLocks(part: ChartPart): Promise<readonly Declaration[]> {
  const found = await Promise.all(
    locks.map(async (by) => {
      const text = await part.text(by);
      if (text === undefined) return [];
      const originAt = (line: number): Origin => part.originOf(by, line);
      const { images } = findInDocuments(text, by, { origin: originAt });
      return images.flatMap(({ reference, origins }) =>
        origins.map((origin) => ({ ...referenceIn(reference), by, condition: undefined, origin })),
      );
    }),
  );
  return found.flat();
}

function referenceIn(written: string): Pick<Declaration, 'text' | 'isReference'> {
  const text = withoutScheme(written.trim());
  const reference = wholeReference(text);
  return { text: reference ?? text, isReference: reference !== undefined };
}
