export { createNodes, createNodesV2, type PluginOptions } from './plugin.ts';
