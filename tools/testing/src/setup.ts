import { expect } from 'vitest';

// `npx` and npm scripts run on the Node that the `node` package brings. Without its install script
// they silently fall back to whatever is on the PATH, and everything here would test the wrong one.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
expect(
  major > 22 || (major === 22 && minor >= 19),
  `tests need Node 22.19 or later, this is ${process.version}; run them with \`npm test\``,
).toBe(true);
