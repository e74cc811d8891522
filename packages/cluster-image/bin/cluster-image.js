#!/usr/bin/env node
import module from 'node:module';

// A third of what it takes to start.
module.enableCompileCache();
const { run } = await import('../dist/bin/run.js');
run();
