import type { SoughtAt } from './search-rules.ts';

/** A place in an object. */
export interface Place {
  /** Keys from the top of the object; sequences add none, and the value of a variable goes by its name. */
  readonly path: readonly string[];
  readonly soughtAt: SoughtAt;
  /** The object, as `ConfigMap web`. */
  readonly object?: string;
  /** The name of the container that the place is in. */
  readonly container?: string;
  /** What is here may be no image, whatever it looks like. */
  readonly isDoubtful?: boolean;
}

/** The lists of containers in a pod. */
export const containerLists: readonly string[] = [
  'containers',
  'initContainers',
  'ephemeralContainers',
];

/** The lists of a pod whose items have images. */
export const podLists: readonly string[] = [...containerLists, 'volumes'];

/** The most that is said of a place, in characters. */
const nameLimit = 200;

/** A place in the words of those who wrote what is there: `variable PROXY_IMAGE of container web`. */
export function placeName({ path, object, container }: Place): string {
  const of = container === undefined ? object : `container ${container}`;
  return [partName(path), of].filter(Boolean).join(' of ').slice(0, nameLimit);
}

function partName(path: readonly string[]): string {
  const [list, key = ''] = path.length > 1 ? path.slice(-2) : ['', ...path];
  if (key === 'args' || key === 'command') return 'an argument';
  if (list === 'env') return `variable ${key}`;
  if (list === 'annotations') return `annotation ${key}`;
  if (list === 'data' || list === 'stringData') return `the text ${key}`;
  if (path.includes('openAPIV3Schema')) return `${key} of field ${list}`;
  return path.length === 0 ? 'a text' : path.join('.');
}
