import { type BuildSketch, plainSources } from './dockerfile.ts';
import { jsonIn, objectIn, stringIn, stringsIn } from './json.ts';

/** What a `cluster-image.json` says of an image that has no build file; undefined where it says nothing. */
export function saidImage(text: string | undefined): BuildSketch | undefined {
  const { image } = objectIn(jsonIn(text));
  if (typeof image !== 'object' || image === null) return undefined;
  const { files, from } = objectIn(image);
  const base = stringIn(from) ?? 'scratch';
  return {
    needsEngine: false,
    copies: plainSources(Object.keys(objectIn(files))),
    bases: base.includes('$') ? [] : [base],
  };
}

/** The platforms that a `cluster-image.json` names; undefined where it names none. */
export function saidPlatforms(text: string | undefined): readonly string[] | undefined {
  const { platforms } = objectIn(jsonIn(text));
  const plain = stringsIn(platforms).filter((name) => /^\w[\w.-]*(?:\/\w[\w.-]*){1,2}$/.test(name));
  return plain.length > 0 ? [...new Set(plain)] : undefined;
}
