import { describe, expect, test } from 'vitest';
import { proxyFor } from '../src/proxy.ts';

const proxy = { http: 'http://plain:3128', https: 'http://secure:3128' };

describe('C31 a proxy', () => {
  test('is that for the scheme, and none where none is configured', () => {
    expect(proxyFor(new URL('http://a.example'), proxy)).toBe(proxy.http);
    expect(proxyFor(new URL('https://a.example'), proxy)).toBe(proxy.https);
    expect(proxyFor(new URL('https://a.example'), { http: proxy.http })).toBeUndefined();
    expect(proxyFor(new URL('http://a.example'), { https: proxy.https })).toBeUndefined();
    expect(proxyFor(new URL('http://a.example'))).toBeUndefined();
  });

  test.each([
    ['http://10.1.2.3:5000', '10.0.0.0/8', true],
    ['http://10.1.2.3', 'example.com, 192.168.0.0/16 10.0.0.0/8', true],
    ['http://11.1.2.3', '10.0.0.0/8', false],
    ['http://[fd00::1]:5000', 'fd00::/8', true],
    ['http://[fe00::1]', 'fd00::/8', false],
    ['http://10.1.2.3', '10.0.0.0/64', false],
    ['http://10.1.2.3', 'ten/8', false],
    ['http://ten.example', '0.0.0.0/0', false],
  ])('to %s is passed by for %s: %s', (url, no, isPassed) => {
    expect(proxyFor(new URL(url), { ...proxy, no })).toBe(isPassed ? undefined : proxy.http);
  });
});
