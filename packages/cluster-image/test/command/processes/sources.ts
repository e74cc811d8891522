import { registerHooks } from 'node:module';

// Processes that tests start run the sources too, so that none of them can pass on a stale build.
const sources = new Map(
  ['oci', 'storage', 'distribution'].map((name) => [
    `@cluster-image/${name}`,
    `../../../../${name}/src/index.ts`,
  ]),
);

registerHooks({
  resolve(specifier, context, next) {
    const source = sources.get(specifier);
    return next(source ? new URL(source, import.meta.url).href : specifier, context);
  },
});
