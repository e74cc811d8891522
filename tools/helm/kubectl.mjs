#!/usr/bin/env node
import { standFor } from './stand-for.mjs';

await standFor('kubectl', 'https://kubernetes.io/docs/tasks/tools/');
