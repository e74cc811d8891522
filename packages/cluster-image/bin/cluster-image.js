#!/usr/bin/env node
import { run } from '../dist/command/run.js';

run();
