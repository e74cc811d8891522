export { createDependencies } from './inference/dependencies.ts';
export type { PluginOptions } from './inference/options.ts';
export { createNodes, createNodesV2 } from './plugin.ts';
