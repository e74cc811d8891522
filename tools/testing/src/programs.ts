import { binary, isSupported } from '../../helm/binaries.mjs';

/** Unpacks helm and kubectl before tests begin, lest several do so at once, in the time of theirs. */
export default async function setup(): Promise<void> {
  if (isSupported) await Promise.all([binary('helm'), binary('kubectl')]);
}
