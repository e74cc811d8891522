import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { clientConfig, clientNames } from '../src/client-config.ts';

const url = new URL('http://127.0.0.1:5000');
const proxy = { url, hosts: [], isProxy: true };
const textOf = (name: (typeof clientNames)[number], given: Parameters<typeof clientConfig>[1]) =>
  clientConfig(name, given).files[0]?.text ?? '';

describe('what a client is told', () => {
  test.each(['k3s', 'rke2'] as const)('%s: every host by one mirror', (name) => {
    const expected = { mirrors: { '*': { endpoint: ['http://127.0.0.1:5000'] } } };
    expect(parse(textOf(name, proxy))).toEqual(expected);
  });

  test('docker: a mirror, and that it may be spoken to without TLS', () => {
    expect(JSON.parse(textOf('docker', proxy))).toEqual({
      'registry-mirrors': ['http://127.0.0.1:5000'],
      'insecure-registries': ['127.0.0.1:5000'],
    });
    const secure = { ...proxy, url: new URL('https://registry.example:5000') };
    expect(JSON.parse(textOf('docker', secure))).toEqual({
      'registry-mirrors': ['https://registry.example:5000'],
    });
  });

  test.each(['podman', 'cri-o', 'buildkit'] as const)('%s: each host below its name', (name) => {
    const text = textOf(name, { ...proxy, hosts: ['quay.io', 'registry.local:8443'] });
    expect(text).toContain('"127.0.0.1:5000/quay.io"');
    expect(text).toContain('"127.0.0.1:5000/registry.local_8443"');
    expect(text).toMatch(/(?:insecure|http) = true/);
    const plain = textOf(name, { url, hosts: ['quay.io'], isProxy: false });
    expect(plain).toContain('"127.0.0.1:5000"');
  });

  test('sealos: where the shim finds names without their hosts', () => {
    expect(parse(textOf('sealos-shim', proxy))).toMatchObject({
      address: 'http://127.0.0.1:5000',
      shim: '/var/run/image-cri-shim.sock',
    });
  });

  test.each(clientNames)('%s: files with an end of line, and what is next', (name) => {
    const { files, next } = clientConfig(name, proxy);
    for (const { path, text } of files) expect([path[0], text.at(-1)]).toEqual(['/', '\n']);
    expect(next.length).toBeGreaterThan(0);
  });
});
