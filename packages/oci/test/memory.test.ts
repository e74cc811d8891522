import { memory } from '@cluster-image/oci';
import { registryContract } from '@cluster-image/testing';

registryContract('memory', async () => ({ registry: memory() }));
