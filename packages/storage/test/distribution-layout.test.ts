import { distributionLayout, ociLayout } from '@cluster-image/storage';
import { registryContract, temporaryDirectory } from '@cluster-image/testing';

registryContract('a registry directory', async () => ({
  registry: distributionLayout(await temporaryDirectory()),
}));

registryContract(
  'an OCI layout',
  async () => ({ registry: ociLayout(await temporaryDirectory()) }),
  {
    sole: true,
  },
);
