export * from './answers.ts';
export * from './credentials.ts';
export * from './guard.ts';
export * from './handler.ts';
export * from './intercept.ts';
export * from './listen.ts';
export * from './loops.ts';
export * from './metrics.ts';
export * from './network.ts';
export type { Proxies as Proxy } from './proxy.ts';
export * from './pull-through.ts';
export type { RemoteRegistry } from './remote.ts';
export * from './route.ts';
export {
  type HttpResponse,
  readText,
  type Transport,
  type TransportOptions,
  transport,
} from './transport.ts';
