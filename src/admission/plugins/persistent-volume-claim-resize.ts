import { compareQuantities, parseQuantity, zeroQuantity } from '#api/machinery/quantity.ts';
import { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import { StorageClass } from '#api/storage/v1/storage-class.ts';
import type { AdmissionPlugin } from '../admission.ts';
import { concerns, forbidden, objectOf, oldOf } from '../request.ts';
import { find, type Sources } from '../sources.ts';

/** A claim grows only when it is bound and its class says that its volumes can. */
export function persistentVolumeClaimResize(sources: Sources): AdmissionPlugin {
  const classes = sources.informers.of(StorageClass);
  return {
    name: 'PersistentVolumeClaimResize',
    handles: request => concerns(request, PersistentVolumeClaim, 'UPDATE'),
    async validate(request) {
      const old = oldOf(PersistentVolumeClaim, request);
      const size = (claim: PersistentVolumeClaim | undefined) =>
        parseQuantity(claim?.spec?.resources?.requests?.['storage'] ?? '0') ?? zeroQuantity;
      if (compareQuantities(size(objectOf(PersistentVolumeClaim, request)), size(old)) <= 0) return;
      if (old?.status?.phase !== 'Bound')
        throw forbidden(request, 'Only bound persistent volume claims can be expanded');
      const className =
        old.metadata.annotations?.['volume.beta.kubernetes.io/storage-class'] ?? old.spec?.storageClassName ?? '';
      const storageClass = className === '' ? undefined : await find(sources, classes, className);
      if (!storageClass?.allowVolumeExpansion)
        throw forbidden(
          request,
          'only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize',
        );
    },
  };
}
