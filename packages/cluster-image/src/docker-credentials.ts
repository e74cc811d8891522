import { join } from 'node:path';
import type { Credential, Credentials } from '@cluster-image/distribution';
import { type Context, jsonOf, OciError, readAll, throwIfAborted } from '@cluster-image/oci';
import { file } from '@cluster-image/storage';
import { z } from 'zod';
import { type Environment, homeOf } from './environment.ts';

const authSchema = z.looseObject({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
  registrytoken: z.string().optional(),
});

/** https://github.com/docker/cli/blob/master/cli/config/configfile/file.go */
const configSchema = z.looseObject({
  auths: z.record(z.string(), authSchema).optional(),
  credsStore: z.string().optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
});

/** The most that docker's config file may hold, in bytes. */
const configLimit = 1024 * 1024;

/** How long a helper may take, in milliseconds, and how much it may say, in bytes. */
const helperTimeout = 10_000;
const helperLimit = 64 * 1024;

/**
 * Credentials as `docker login` left them, read when a registry first asks for some.
 *
 * @param timeout how long a helper may take, in milliseconds
 */
export function dockerCredentials(
  environment: Environment,
  context: Context,
  timeout = helperTimeout,
): Credentials {
  const { variables } = environment;
  const home = homeOf(environment);
  const directory = variables.DOCKER_CONFIG || (home && join(home, '.docker'));
  if (!directory) return async () => undefined;
  const path = join(directory, 'config.json');
  let config: Promise<z.infer<typeof configSchema>> | undefined;
  return async (host) => {
    config ??= readConfig(path);
    const { auths = {}, credHelpers = {}, credsStore } = await config;
    const helperKey = Object.keys(credHelpers).find((key) => hostOf(key) === host);
    const helper = helperKey === undefined ? credsStore : credHelpers[helperKey];
    const told = helper ? await askHelper(helper, host, environment, context, timeout) : undefined;
    if (told) return told;
    for (const [key, entry] of Object.entries(auths)) {
      const found = hostOf(key) === host && credentialOf(entry, path, host);
      if (found) return found;
    }
    return undefined;
  };
}

async function readConfig(path: string): Promise<z.infer<typeof configSchema>> {
  const content = await file(path);
  if (!content) return {};
  const isRead = content.size <= configLimit;
  const parsed = configSchema.safeParse(isRead && jsonOf(await readAll(content, configLimit)));
  if (parsed.success) return parsed.data;
  throw new OciError('INPUT_INVALID', `${path} is not a docker config file`, {
    hint: 'Mend it, or remove it and log in again.',
  });
}

/** The registry that a key of the config file is about; Docker Hub has several. */
function hostOf(key: string): string {
  const host = key.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
  return ['index.docker.io', 'registry-1.docker.io'].includes(host) ? 'docker.io' : host;
}

function credentialOf(
  entry: z.infer<typeof authSchema>,
  source: string,
  host: string,
): Credential | undefined {
  if (entry.registrytoken) return { source, registryToken: entry.registrytoken };
  if (entry.identitytoken) return { source, identityToken: entry.identitytoken };
  const decoded = Buffer.from(entry.auth ?? '', 'base64')
    .toString('utf8')
    .replace(/\0+$/, '');
  const colon = decoded.indexOf(':');
  const username = colon > 0 ? decoded.slice(0, colon) : entry.username;
  const password = colon > 0 ? decoded.slice(colon + 1) : entry.password;
  if (username && password !== undefined) return { source, basic: { username, password } };
  if (!entry.auth) return undefined;
  throw new OciError('INPUT_INVALID', `${source}: the entry for ${host} is not name:password`, {
    hint: 'Log in to the registry again.',
  });
}

const answerSchema = z.looseObject({ Username: z.string(), Secret: z.string() });

/** https://github.com/docker/docker-credential-helpers#development */
async function askHelper(
  name: string,
  host: string,
  { variables }: Environment,
  context: Context,
  timeout: number,
): Promise<Credential | undefined> {
  const helper = `docker-credential-${name}`;
  const passOver = (why: string): undefined => {
    context.report({
      type: 'warning',
      message: `${helper}: ${why}; ${host} is asked without credentials`,
    });
  };
  if (!/^[A-Za-z0-9._-]+$/.test(name)) return passOver('not the name of a helper');
  // Loaded now, for most have no helpers.
  const { execa } = await import('execa');
  const result = await execa(helper, ['get'], {
    input: host === 'docker.io' ? 'https://index.docker.io/v1/' : host,
    env: { ...variables },
    extendEnv: false,
    timeout,
    maxBuffer: helperLimit,
    reject: false,
    cancelSignal: context.signal,
    killSignal: 'SIGKILL',
    // What it started may hold its output open.
    killDescendants: true,
  });
  throwIfAborted(context.signal);
  if (result.exitCode !== 0) {
    const isUnknown = /credentials not found/i.test(`${result.stdout}`);
    return isUnknown ? undefined : passOver(result.timedOut ? 'took too long' : 'failed');
  }
  const answer = answerSchema.safeParse(jsonOf(result.stdout)).data;
  if (!answer?.Secret) return passOver('gave no credentials');
  if (answer.Username === '<token>') return { source: helper, identityToken: answer.Secret };
  return { source: helper, basic: { username: answer.Username, password: answer.Secret } };
}
