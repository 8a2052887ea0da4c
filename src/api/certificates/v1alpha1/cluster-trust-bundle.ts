import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { checkImmutable } from '../../machinery/checks.ts';
import { nameColumn, text } from '../../machinery/columns.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';
import { validateTrustAnchors, validateTrustBundle } from '../trust-bundle-validation.ts';

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
  doc: 'Root certificates for pods to trust.',
  served: false,
  type: 'io.k8s.api.certificates.v1alpha1.ClusterTrustBundle',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, ClusterTrustBundleSpec, { required: true, always: true }),
  },
  columns: [
    nameColumn,
    text('SignerName', 'Signer whose certificates they verify.', ({ spec }) => spec.signerName || '<none>'),
  ],
  fieldSelectors: { 'spec.signerName': ({ spec }) => spec.signerName ?? '' },
  requiresResourceVersion: true,
  // The name depends on the signer.
  validateName: () => [],
  validate: validateTrustBundle,
  validateCreate: validateTrustAnchors,
  validateUpdate(bundle, old, report) {
    if (bundle.spec.trustBundle !== old.spec.trustBundle) validateTrustAnchors(bundle, report);
    checkImmutable(bundle.spec.signerName, old.spec.signerName, report.at('spec', 'signerName'));
  },
});
export type ClusterTrustBundle = ObjectOf<typeof ClusterTrustBundle>;
