import { faultRegistry, registryContract } from '@cluster-image/testing';
import { clientOf } from './client.ts';

registryContract('a remote registry', async () => {
  const server = await faultRegistry();
  return { registry: clientOf(server).registry() };
});
