import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ClusterTrustBundleSpec = object('io.k8s.api.certificates.v1alpha1.ClusterTrustBundleSpec', {
  signerName: string(1),
  trustBundle: string(2, { required: true, always: true }),
});
export type ClusterTrustBundleSpec = TypeOf<typeof ClusterTrustBundleSpec>;

export const ClusterTrustBundle = defineKind({
  group: 'certificates.k8s.io',
  version: 'v1alpha1',
  kind: 'ClusterTrustBundle',
  plural: 'clustertrustbundles',
  namespaced: false,
  served: false,
  type: 'io.k8s.api.certificates.v1alpha1.ClusterTrustBundle',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, ClusterTrustBundleSpec, { required: true, always: true }),
  },
});
export type ClusterTrustBundle = ObjectOf<typeof ClusterTrustBundle>;
