import { type LookupAddress, lookup as lookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { BlockList, isIP, type LookupFunction } from 'node:net';

const privateAddresses = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 3],
] as const) {
  privateAddresses.addSubnet(network, prefix, 'ipv4');
}
for (const [network, prefix] of [
  ['::', 127],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
] as const) {
  privateAddresses.addSubnet(network, prefix, 'ipv6');
}

/** Whether an IP address belongs to a machine or network that is not the public internet, or to many at once. */
export function isPrivateAddress(address: string): boolean {
  const bare = address.replace(/^\[|\]$/g, '').replace(/^::ffff:(?=\d+\.)/i, '');
  const family = isIP(bare);
  return family !== 0 && privateAddresses.check(bare, family === 4 ? 'ipv4' : 'ipv6');
}

/** Whether a host is, or resolves to, a private address; one that does not resolve is not. */
export async function isPrivateHost(hostname: string): Promise<boolean> {
  const bare = hostname.replace(/^\[|\]$/g, '');
  if (isIP(bare)) return isPrivateAddress(bare);
  try {
    const found = await lookup(bare, { all: true });
    return found.some(({ address }) => isPrivateAddress(address));
  } catch {
    return false;
  }
}

/**
 * Resolves names, and refuses those that lead to private addresses. The check stands where the
 * connection is made, so a name that resolves differently a moment later does not get past it.
 */
export const publicLookup: LookupFunction = (hostname, options, callback) => {
  lookupAddress(hostname, { ...options, all: true }, (error, found) => {
    const addresses: readonly LookupAddress[] = error ? [] : found;
    const inner = addresses.find(({ address }) => isPrivateAddress(address));
    const refused = inner && new PrivateAddressError(hostname, inner.address);
    const failure = error ?? refused ?? null;
    const [first] = addresses;
    if (options.all) callback(failure, failure ? [] : [...addresses]);
    else callback(failure, failure ? '' : (first?.address ?? ''), first?.family);
  });
};

export class PrivateAddressError extends Error {
  readonly code = 'PRIVATE_ADDRESS';

  constructor(hostname: string, address: string) {
    super(`${hostname} leads to the private address ${address}`);
  }
}
