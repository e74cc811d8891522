export * from './credentials.ts';
export * from './handler.ts';
export * from './listen.ts';
export * from './network.ts';
export * from './route.ts';
export type { Proxy, TransportOptions } from './transport.ts';
