import { distributionLayout, openStore } from '@cluster-image/storage';
import {
  referringContract,
  removableContract,
  spoolContract,
  temporaryDirectory,
} from '@cluster-image/testing';
import { simulatedDisk } from './simulated-disk.ts';
import { unsynced } from './unsynced.ts';

const implementations = {
  'a registry directory': async () => ({
    registry: distributionLayout(await temporaryDirectory(), { fs: unsynced }),
  }),
  'a registry directory on a simulated disk': async () => ({
    registry: distributionLayout('/disk', { fs: simulatedDisk().fs }),
  }),
  'the content store': async () => ({
    registry: openStore(await temporaryDirectory(), unsynced).registry,
  }),
};

for (const [name, open] of Object.entries(implementations)) {
  removableContract(name, open);
  referringContract(name, open);
  spoolContract(name, open);
}
