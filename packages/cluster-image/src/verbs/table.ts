import { buildVerb } from './build.ts';
import { cacheVerb } from './cache.ts';
import { discoverVerb } from './discover.ts';
import { inspectVerb } from './inspect.ts';
import { lockVerb } from './lock.ts';
import { serveVerb } from './serve.ts';
import { syncVerb } from './sync.ts';
import { copyVerb, loadVerb, pullVerb, pushVerb, saveVerb } from './transfer.ts';
import { type AnyVerb, callable } from './verb.ts';
import { verifyVerb } from './verify.ts';

/** Everything the command can do, in the order of its help. */
export const verbs: readonly AnyVerb[] = [
  callable(discoverVerb),
  callable(lockVerb),
  callable(cacheVerb),
  callable(syncVerb),
  callable(buildVerb),
  callable(pushVerb),
  callable(pullVerb),
  callable(saveVerb),
  callable(loadVerb),
  callable(copyVerb),
  callable(serveVerb),
  callable(inspectVerb),
  callable(verifyVerb),
];
