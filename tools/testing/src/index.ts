export * from './fixtures.ts';
export * from './registry-contract.ts';
export * from './temporary.ts';
