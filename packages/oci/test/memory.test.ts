import { memory } from '@cluster-image/oci';
import {
  referringContract,
  registryContract,
  removableContract,
  spoolContract,
} from '@cluster-image/testing';

const open = async () => ({ registry: memory() });

registryContract('memory', open);
removableContract('memory', open);
referringContract('memory', open);
spoolContract('memory', open);
