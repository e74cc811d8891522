import { BlockList, isIP } from 'node:net';

/** Proxies as the usual environment variables name them. */
export interface Proxies {
  readonly http?: string;
  readonly https?: string;
  /** Hosts, domains and networks (`10.0.0.0/8`) that are reached without one, separated by commas. */
  readonly no?: string;
}

/** The proxy through which a URL may be reached; undefined where none is configured for it. */
export function proxyFor(url: URL, proxy: Proxies = {}): string | undefined {
  const found = url.protocol === 'https:' ? proxy.https : proxy.http;
  return found && !isInNetworks(url.hostname, proxy.no ?? '') ? found : undefined;
}

/** Hosts and domains are left to the client library, which does not know networks. */
function isInNetworks(hostname: string, list: string): boolean {
  const address = hostname.replace(/^\[|\]$/g, '');
  const family = isIP(address);
  if (family === 0) return false;
  const networks = new BlockList();
  for (const entry of list.split(/[\s,]+/)) {
    const [, network = '', prefix = ''] = /^(.+)\/(\d{1,3})$/.exec(entry) ?? [];
    const of = isIP(network);
    if (of !== 0 && Number(prefix) <= (of === 4 ? 32 : 128)) {
      networks.addSubnet(network, Number(prefix), of === 4 ? 'ipv4' : 'ipv6');
    }
  }
  return networks.check(address, family === 4 ? 'ipv4' : 'ipv6');
}
