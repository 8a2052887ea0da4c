import { defineKind, type Draft, type ObjectOf } from '../../machinery/kind.ts';
import { boolean, list, struct } from '../../machinery/schema.ts';
import { LocalObjectReference } from './local-object-reference.ts';
import { ObjectReference } from './object-reference.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ServiceAccount = defineKind({
  group: '',
  version: 'v1',
  kind: 'ServiceAccount',
  plural: 'serviceaccounts',
  namespaced: true,
  doc: 'An identity for pods.',
  shortNames: ['sa'],
  subresources: {
    token: { verbs: ['create'], kind: { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest' } },
  },
  type: 'io.k8s.api.core.v1.ServiceAccount',
  fields: {
    automountServiceAccountToken: boolean(4, { pointer: true, doc: 'Whether its pods get a token.' }),
    imagePullSecrets: list(3, LocalObjectReference, {
      listType: 'atomic',
      doc: 'Credentials for the images of its pods.',
    }),
    metadata: struct(1, ObjectMeta, { required: true }),
    secrets: list(2, ObjectReference, {
      listType: 'map',
      mapKeys: ['name'],
      patchStrategy: 'merge',
      patchMergeKey: 'name',
    }),
  },
  columns: [
    nameColumn,
    text('Secrets', 'Number of secrets that belong to it.', ({ secrets }) => (secrets ?? []).length),
    ageColumn,
  ],
  returnsDeleted: true,
  prepareForCreate(account) {
    keepNamesOfSecrets(account);
  },
  prepareForUpdate(account) {
    keepNamesOfSecrets(account);
  },
  warnings: ({ metadata }, old) =>
    metadata.annotations?.[mountableAnnotation] !== undefined &&
    old?.metadata.annotations?.[mountableAnnotation] === undefined
      ? [
          `metadata.annotations[${mountableAnnotation}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets`,
        ]
      : [],
});
export type ServiceAccount = ObjectOf<typeof ServiceAccount>;

const mountableAnnotation = 'kubernetes.io/enforce-mountable-secrets';

/** They are of the same namespace, and nothing else of the references counts. */
function keepNamesOfSecrets(account: { secrets?: Draft<ObjectReference>[] | undefined }): void {
  if (account.secrets) account.secrets = account.secrets.map(({ name }) => (name === undefined ? {} : { name }));
}
