import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
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
});
export type ServiceAccount = ObjectOf<typeof ServiceAccount>;
