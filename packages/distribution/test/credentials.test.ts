import { mayShowCredential } from '@cluster-image/distribution';
import { describe, expect, test } from 'vitest';

describe('A01 a credential', () => {
  test.each([
    ['https://registry-1.docker.io', 'https://auth.docker.io/token'],
    ['https://registry.gitlab.com', 'https://gitlab.com/jwt/auth'],
    ['https://quay.io', 'https://quay.io/v2/auth'],
    ['https://ghcr.io', 'https://ghcr.io/token'],
    ['https://team.azurecr.io', 'https://team.azurecr.io/oauth2/token'],
    [
      'https://registry.cn-hangzhou.aliyuncs.com',
      'https://dockerauth.cn-hangzhou.aliyuncs.com/auth',
    ],
    ['https://harbor.example.co.uk', 'https://auth.example.co.uk/token'],
    ['https://registry:5000', 'https://registry:5001/token'],
    ['http://localhost:5000', 'http://localhost:5001/token'],
    ['http://registry.example.com', 'https://registry.example.com/token'],
  ])('of %s may be shown to %s', (registry, realm) => {
    expect(mayShowCredential(new URL(registry), new URL(realm), [])).toBe(true);
  });

  test.each([
    ['https://registry.example.com', 'https://evil.example.org/token'],
    ['https://registry.example.co.uk', 'https://evil.co.uk/token'],
    ['https://mine.github.io', 'https://yours.github.io/token'],
    ['https://registry.example.com', 'http://registry.example.com/token'],
    ['https://registry.example.com', 'http://auth.example.com/token'],
    ['https://registry.example.com', 'https://169.254.169.254/token'],
    ['https://registry.example.com', 'https://127.0.0.1/token'],
    ['https://registry.example.com', 'https://[::1]/token'],
    ['https://registry.example.com', 'https://localhost/token'],
    ['https://registry.example.com', 'https://registry.example.com.evil.org/token'],
    ['https://10.0.0.1', 'https://10.0.0.2/token'],
    ['https://registry', 'https://auth/token'],
  ])('of %s may not be shown to %s', (registry, realm) => {
    expect(mayShowCredential(new URL(registry), new URL(realm), [])).toBe(false);
  });

  test('may be shown to whom it was allowed to by name, over HTTPS', () => {
    const registry = new URL('https://registry.example.com');
    const allowed = ['auth.example.org', 'other.example.org:8443'];
    const may = (realm: string) => mayShowCredential(registry, new URL(realm), allowed);
    expect(may('https://auth.example.org/token')).toBe(true);
    expect(may('https://auth.example.org:8443/token')).toBe(true);
    expect(may('https://other.example.org:8443/token')).toBe(true);
    expect(may('https://other.example.org/token')).toBe(false);
    expect(may('http://auth.example.org/token')).toBe(false);
  });
});
