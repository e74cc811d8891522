import { handler, listen, network } from '@cluster-image/distribution';
import { createContext } from '@cluster-image/oci';
import { distributionLayout, openStore } from '@cluster-image/storage';
import { registryContract, temporaryDirectory, unsynced } from '@cluster-image/testing';

const registries = {
  'a registry directory': (root: string) => distributionLayout(root, { fs: unsynced }),
  'a content store': (root: string) => openStore(root, unsynced).registry,
};

for (const [name, open] of Object.entries(registries)) {
  registryContract(`what our client pushes through our server into ${name}`, async () => {
    const registry = open(await temporaryDirectory());
    const { url, close } = await listen(handler(registry, { pushes: registry }));
    const client = network({
      context: createContext(),
      hosts: { [url.host]: { plainHttp: true } },
    });
    return {
      registry: client.registry(url.host),
      async close() {
        await client.close();
        await close(0);
      },
    };
  });
}
