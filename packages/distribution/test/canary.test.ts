import type { Credential, NetworkOptions } from '@cluster-image/distribution';
import { bytes, digestOf, type OciError, type Registry } from '@cluster-image/oci';
import {
  type Answer,
  type FaultRegistry,
  type FaultRegistryOptions,
  type FaultRule,
  faultRegistry,
  imageFixture,
  type LoggedRequest,
  noise,
  putFixture,
} from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { clientOf, read } from './client.ts';

const image = imageFixture();
const upload = noise('upload', 1000);
const evil = 'localhost';

/** One secret for each origin that may ask, whoever of them may see it. */
const secrets = {
  '127.0.0.1': 'canary-of-the-registry',
  localhost: 'canary-of-another-registry',
  '127.0.0.9': 'canary-of-a-third-registry',
};

const elsewhere = ({ host }: LoggedRequest) => host.replace('127.0.0.1', evil);

const toStorage: FaultRule = {
  match: { kind: 'blob' },
  fault: {
    answer: (right, request) =>
      right.status === 401
        ? right
        : {
            status: 307,
            headers: {
              location: `http://${elsewhere(request)}${request.target.replace('/v2/', '/cdn/')}`,
            },
            body: new Uint8Array(),
          },
  },
};

const storageChallenges: FaultRule = {
  match: { kind: 'cdn' },
  fault: {
    answer: (_, { host }) => ({
      status: 401,
      headers: {
        'www-authenticate': ['Basic realm="cdn"', `Bearer realm="http://${host}/token"`],
      },
      body: new Uint8Array(),
    }),
  },
};

const uploadsElsewhere: FaultRule = {
  match: { kind: 'uploads' },
  fault: {
    answer: (right, request) => ({
      ...right,
      headers: {
        ...right.headers,
        ...(right.status === 202 && {
          location: `http://${elsewhere(request)}${right.headers.location}`,
        }),
      },
    }),
  },
};

const pagesElsewhere: FaultRule = {
  match: { kind: 'tags' },
  fault: {
    answer: (right, request) => ({
      ...right,
      headers: {
        ...right.headers,
        ...(right.status === 200 && {
          link: `<http://${elsewhere(request)}/v2/team/app/tags/list?last=1.0>; rel="next"`,
        }),
      },
    }),
  },
};

const tokenRedirects: FaultRule = {
  match: { kind: 'token' },
  fault: { redirect: (request) => `http://${elsewhere(request)}/token` },
};

const scenarios: readonly (readonly [string, FaultRegistryOptions])[] = (
  ['basic', 'bearer'] as const
).flatMap((scheme) => {
  const users = Object.values(secrets).flatMap((secret) => [`me:${secret}`, `refresh-${secret}`]);
  const auth = { scheme, users };
  const challenges = (own: string) => [own.replace('127.0.0.1', evil)];
  return [
    [`${scheme}, as it should be`, { auth }],
    [`${scheme}, refused`, { auth: { scheme, users: [] } }],
    [`${scheme}, token server elsewhere`, { auth: { ...auth, challenges } }],
    [`${scheme}, token server redirects`, { auth, rules: [tokenRedirects] }],
    [
      `${scheme}, token server fails`,
      { auth, rules: [{ match: { kind: 'token' }, fault: { status: 500 } }] },
    ],
    [
      `${scheme}, token server refuses`,
      { auth, rules: [{ match: { kind: 'token' }, fault: { status: 401 } }] },
    ],
    [`${scheme}, blobs elsewhere`, { auth, rules: [toStorage] }],
    [
      `${scheme}, blobs elsewhere behind a challenge`,
      { auth, rules: [toStorage, storageChallenges] },
    ],
    [`${scheme}, uploads elsewhere`, { auth, rules: [uploadsElsewhere] }],
    [`${scheme}, pages elsewhere`, { auth, rules: [pagesElsewhere] }],
    [`${scheme}, everything echoed`, { auth, rules: [{ fault: { answer: echo } }] }],
    [
      `${scheme}, nothing works`,
      { auth, rules: [{ match: { method: 'GET' }, fault: { drop: 'rst' } }] },
    ],
  ] satisfies [string, FaultRegistryOptions][];
});

/** A refusal that repeats what it was asked, as debugging proxies do. */
function echo(right: Answer, request: LoggedRequest): Answer {
  const none = new Uint8Array();
  if (right.status === 401) return { ...right, headers: challengeOf(request), body: none };
  const message = `you sent Authorization: ${request.headers.authorization} to me`;
  const body = Buffer.from(JSON.stringify({ errors: [{ code: 'DENIED', message }] }));
  return request.kind === 'token' ? right : { status: 403, headers: {}, body };
}

function challengeOf({ host, kind }: LoggedRequest): Record<string, string> {
  return kind === 'token' ? {} : { 'www-authenticate': `Bearer realm="http://${host}/token"` };
}

const kinds = {
  basic: (secret: string): Credential => ({
    source: 'the test',
    basic: { username: 'me', password: secret },
  }),
  refresh: (secret: string): Credential => ({
    source: 'the test',
    identityToken: `refresh-${secret}`,
  }),
  token: (secret: string): Credential => ({
    source: 'the test',
    registryToken: `given-${secret}`,
  }),
};

/** Everything that a client does with a registry, and what fails of it. */
async function useAll(registry: Registry): Promise<readonly OciError[]> {
  const { root } = image;
  const layer = root.layers[0];
  if (!layer) throw new Error('no layer');
  const results = await Promise.allSettled([
    registry.resolve('team/app', '1.0'),
    registry.manifest('team/app', root.digest),
    registry.blob('team/app', root.config.digest),
    registry.blob('team/app', layer.digest, layer.size).then(read),
    registry.putBlob('team/app', digestOf(upload), bytes(upload), 'other/app'),
    registry.putManifest('team/app', root, '2.0'),
    Array.fromAsync(registry.tags('team/app')),
    Array.fromAsync(registry.repositories()),
  ]);
  return results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
}

/** All the ways in which a secret may be written. */
function formsOf(secret: string): readonly string[] {
  return [
    secret,
    encodeURIComponent(secret),
    Buffer.from(`me:${secret}`).toString('base64'),
    Buffer.from(secret).toString('base64').replace(/=+$/, ''),
  ];
}

function holds(value: unknown, secret: string): boolean {
  const text = JSON.stringify(value);
  return formsOf(secret).some((form) => text.includes(form));
}

function told(error: unknown): unknown {
  if (!(error instanceof Error)) return String(error);
  const { message, stack, cause } = error;
  return [
    message,
    stack,
    'hint' in error ? error.hint : '',
    cause === undefined ? '' : told(cause),
  ];
}

/** Which origins saw what they should not have. */
function leaksOf({ log }: FaultRegistry): readonly string[] {
  return log.flatMap((request) => {
    const name = request.host.replace(/:\d+$/, '');
    const foreign = Object.entries(secrets).filter(([owner]) => owner !== name);
    const seen = foreign.filter(([, secret]) => holds(request, secret)).map(([owner]) => owner);
    // Tokens are the registry's own, too; only the token server elsewhere gives them out there.
    const isForeignToken = name !== '127.0.0.1' && /canary-token/.test(JSON.stringify(request));
    return [...seen, ...(isForeignToken ? ['a token'] : [])].map((what) => `${name} saw ${what}`);
  });
}

describe.each(Object.entries(kinds))('A14 P6 a secret (%s)', (_, credentialOf) => {
  test.each(scenarios)('is seen by nobody else: %s', async (_, options) => {
    const server = await faultRegistry(options);
    await putFixture(server.registry, 'team/app', image, '1.0');
    const credentials: NetworkOptions['credentials'] = async (host) => {
      const name = host.replace(/:\d+$/, '');
      const secret = Object.entries(secrets).find(([owner]) => owner === name)?.[1];
      return secret === undefined ? undefined : credentialOf(secret);
    };
    const { registry, events } = clientOf(server, { credentials });
    const errors = await useAll(registry());
    expect(leaksOf(server)).toEqual([]);
    for (const secret of [...Object.values(secrets), 'canary-token']) {
      expect(holds(errors.map(told), secret)).toBe(false);
      expect(holds(events, secret)).toBe(false);
    }
  });
});

test.each([
  ['basic', 'basic'],
  ['basic', 'bearer'],
  ['refresh', 'bearer'],
] as const)('A14 P6 a secret (%s) is seen by the registry it is for (%s)', async (kind, scheme) => {
  const secret = secrets['127.0.0.1'];
  const users = [`me:${secret}`, `refresh-${secret}`];
  const server = await faultRegistry({ auth: { scheme, users } });
  await putFixture(server.registry, 'team/app', image, '1.0');
  const { registry } = clientOf(server, { credentials: async () => kinds[kind](secret) });
  expect(await useAll(registry())).toEqual([]);
  expect(holds(server.log, secret)).toBe(true);
});

test('A14 P6 the search for secrets finds one that is seen', async () => {
  const basic = { username: 'me', password: secrets['127.0.0.9'] };
  const users = [`me:${basic.password}`];
  const server = await faultRegistry({ auth: { scheme: 'bearer', users } });
  const credentials = async () => ({ source: 'the test', basic });
  const { registry } = clientOf(server, { credentials });
  await registry(server.hostAt(evil)).resolve('team/app', '1.0');
  expect(leaksOf(server)).toEqual([
    'localhost saw 127.0.0.9',
    'localhost saw a token',
    'localhost saw a token',
  ]);
});
