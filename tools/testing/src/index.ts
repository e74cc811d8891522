export * from './fault-registry.ts';
export type { Answer, Fault, FaultRule, LoggedRequest, RequestKind } from './faults.ts';
export * from './fixtures.ts';
export * from './referring-contract.ts';
export * from './registry-contract.ts';
export * from './removable-contract.ts';
export * from './spool-contract.ts';
export * from './temporary.ts';
export * from './tls.ts';
