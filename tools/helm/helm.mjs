#!/usr/bin/env node
import { standFor } from './stand-for.mjs';

await standFor('helm', 'https://helm.sh/docs/intro/install/');
