import { formatReference, OciError, parseReference } from '@cluster-image/oci';
import { isFilledInLater, isTemplate } from './image-text.ts';

/** How much speaks for a text being meant as an image. */
export type Certainty =
  /** The image of a container, or of a volume. */
  | 'proven'
  /** A rule says so. */
  | 'told'
  /** It is what `image` names, or it is composed as charts do it. */
  | 'likely'
  /** Likewise, but as little as a word. */
  | 'vague'
  /** Composed of a name alone. */
  | 'no version'
  /** Composed, under a name that does not speak of images. */
  | 'unnamed';

/** Why what reads as a reference is yet no image for sure. */
const doubts: Readonly<Record<Certainty, string | undefined>> = {
  proven: undefined,
  told: undefined,
  likely: undefined,
  vague: 'neither host nor version, in an object that is not known',
  // A chart would fill in a tag of its own, and not latest.
  'no version': 'neither tag nor digest',
  unnamed: 'a repository and a tag, of what is not told',
};

export type Judgement =
  | { readonly is: 'image'; readonly reference: string }
  | { readonly is: 'suspect' | 'unresolved'; readonly text: string; readonly reason: string };

/**
 * What becomes of a text that somebody may mean as an image; undefined where that is nothing.
 *
 * @param where the place it is at, in words
 * @param isDoubtful whatever is at the place may be no image
 */
export function judge(
  text: string,
  certainty: Certainty,
  where: string,
  isDoubtful = false,
): Judgement | undefined {
  const isMeant = !isDoubtful && (certainty === 'proven' || certainty === 'told');
  // What a rule tells of may also be had from elsewhere than a registry.
  if (certainty === 'told' && /^(?:[a-z+]+:\/\/|git@)/.test(text)) return undefined;
  if (isFilledInLater(text)) {
    return { is: 'suspect', text, reason: `filled in on the cluster: ${where}` };
  }
  if (isTemplate(text)) {
    if (isDoubtful || certainty === 'unnamed') return { is: 'suspect', text, reason: where };
    return { is: 'unresolved', text, reason: 'a template that is not filled in' };
  }
  try {
    const reference = formatReference(parseReference(text));
    if (isDoubtful) return { is: 'suspect', text: reference, reason: where };
    const reason = doubts[certainty];
    return reason === undefined ? { is: 'image', reference } : { is: 'suspect', text, reason };
  } catch (error) {
    if (!(error instanceof OciError)) throw error;
    if (certainty === 'unnamed') return undefined;
    if (isMeant) return { is: 'unresolved', text, reason: error.message };
    return { is: 'suspect', text, reason: 'not an image reference' };
  }
}
