import { Namespace } from '#api/core/v1/namespace.ts';
import { ServiceAccount } from '#api/core/v1/service-account.ts';
import { create } from '../actions.ts';
import { defineController } from '../controller.ts';
import { watched } from '../reads.ts';

const name = 'default';

/** Every namespace has a service account called default. */
export const serviceAccountController = defineController({
  name: 'service-account-controller',
  reconciles: Namespace,
  concerns: namespace =>
    namespace.status?.phase !== 'Terminating' && namespace.metadata.deletionTimestamp === undefined,
  reads: {
    account: watched<Namespace, ServiceAccount, ServiceAccount | undefined>(
      ServiceAccount,
      accounts => namespace => accounts.get(name, namespace.metadata.name),
      (account, _old, _namespaces, event) =>
        event === 'deleted' && account.metadata.name === name ? [account.metadata.namespace ?? ''] : [],
    ),
  },
  writes: [ServiceAccount],
  decide: ({ metadata }, { account }) =>
    account
      ? []
      : [
          create(ServiceAccount, {
            apiVersion: 'v1',
            kind: 'ServiceAccount',
            metadata: { name, namespace: metadata.name },
          }),
        ],
});
