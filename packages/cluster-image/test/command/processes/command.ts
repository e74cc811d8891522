import { run } from '../../../src/command/run.ts';

run();
