import { createHash } from 'node:crypto';
import { OciError, readText } from '@cluster-image/oci';
import { file } from '@cluster-image/storage';
import { compare } from 'bcryptjs';
import PQueue from 'p-queue';

/** The most that a file of passwords may hold, in bytes. */
const fileLimit = 1024 * 1024;

/** How many passwords that were right are remembered. */
const mostKnown = 1000;

/** Tells whether a name and a password belong together. */
export type Passwords = (user: string, password: string) => Promise<boolean>;

/**
 * The names and passwords of a file that `htpasswd -B` wrote (bcrypt, as docker-registry has it). Throws
 * USAGE where there is no such file, INPUT_INVALID, naming the line, for what is none.
 */
export async function readHtpasswd(path: string): Promise<Passwords> {
  const content = await file(path);
  if (!content) throw new OciError('USAGE', `there is no file ${path}`);
  const hashes = parse(await readText(content, fileLimit), path);
  // To compare takes long on purpose, and clients send a password with every request.
  const known = new Set<string>();
  const queue = new PQueue({ concurrency: 1 });
  return async (user, password) => {
    const proof = createHash('sha256')
      .update(JSON.stringify([user, password]))
      .digest('hex');
    if (known.has(proof)) return true;
    const isRight = await queue.add(() => compare(password, hashes.get(user) ?? noPassword));
    if (!isRight || !hashes.has(user)) return false;
    if (known.size >= mostKnown) known.clear();
    known.add(proof);
    return true;
  };
}

/** Compared for who is not known, so that time does not tell who is. */
const noPassword = `$2b$10$${'.'.repeat(53)}`;

function parse(text: string, path: string): ReadonlyMap<string, string> {
  const hashes = new Map<string, string>();
  for (const [at, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const [, user, hash] = /^([^:]+):(\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53})\s*$/.exec(line) ?? [];
    if (user === undefined || hash === undefined) {
      throw new OciError('INPUT_INVALID', `${path}:${at + 1} is not NAME:BCRYPT`, {
        hint: 'Write it with `htpasswd -B`.',
      });
    }
    hashes.set(user, hash);
  }
  return hashes;
}
