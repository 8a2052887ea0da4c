import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { create, update } from '../actions.ts';
import { defineController } from '../controller.ts';
import { watched } from '../reads.ts';
import { sameApartFromZeros } from '../same.ts';

const name = 'kube-root-ca.crt';
const annotations = {
  'kubernetes.io/description':
    'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.',
};

/** Every namespace has the certificate authority of the cluster, for pods to check the API server by. */
export const rootCaController = defineController({
  name: 'root-ca-cert-publisher',
  reconciles: Namespace,
  concerns: namespace =>
    namespace.status?.phase !== 'Terminating' && namespace.metadata.deletionTimestamp === undefined,
  reads: {
    published: watched<Namespace, ConfigMap, ConfigMap | undefined>(
      ConfigMap,
      maps => namespace => maps.get(name, namespace.metadata.name),
      map => (map.metadata.name === name ? [map.metadata.namespace ?? ''] : []),
    ),
  },
  writes: [ConfigMap],
  decide({ metadata }, { published, settings }) {
    if (settings.caCertPem === '') return [];
    const data = { 'ca.crt': settings.caCertPem };
    if (!published)
      return [
        create(ConfigMap, {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: { name, namespace: metadata.name, annotations },
          data,
        }),
      ];
    const described = Object.entries(annotations).every(
      ([key, text]) => published.metadata.annotations?.[key] === text,
    );
    if (described && sameApartFromZeros(published.data, data)) return [];
    return [
      update(ConfigMap, {
        ...published,
        metadata: { ...published.metadata, annotations: { ...published.metadata.annotations, ...annotations } },
        data,
      }),
    ];
  },
});
