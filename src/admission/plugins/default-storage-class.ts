import { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import { StorageClass } from '#api/storage/v1/storage-class.ts';
import type { AdmissionPlugin } from '../admission.ts';
import { concerns, draftOf } from '../request.ts';
import { defaultsAmong, type Sources } from '../sources.ts';

const marks = ['storageclass.kubernetes.io/is-default-class', 'storageclass.beta.kubernetes.io/is-default-class'];

/** A claim without a class gets the default one; an empty class is a choice. */
export function defaultStorageClass({ informers }: Sources): AdmissionPlugin {
  const classes = informers.of(StorageClass);
  return {
    name: 'DefaultStorageClass',
    handles: request => concerns(request, PersistentVolumeClaim, 'CREATE'),
    admit(request) {
      const claim = draftOf(PersistentVolumeClaim, request);
      if (claim.metadata.annotations?.['volume.beta.kubernetes.io/storage-class'] !== undefined) return;
      if (!claim.spec || claim.spec.storageClassName !== undefined) return;
      const [chosen] = defaultsAmong(classes.objects.values(), marks);
      if (chosen?.metadata.name) claim.spec.storageClassName = chosen.metadata.name;
    },
  };
}
