import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { boolean, int64, list, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { checkImmutable, checkOneOf, sameValue } from '../../machinery/checks.ts';
import { boolean as booleanColumn, nameColumn } from '../../machinery/columns.ts';
import { checkCsiDriverName } from '../../core/v1/volume-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const TokenRequest = object('io.k8s.api.storage.v1.TokenRequest', {
  audience: string(1, { required: true, always: true }),
  expirationSeconds: int64(2, { pointer: true }),
});
export type TokenRequest = TypeOf<typeof TokenRequest>;

export const CSIDriverSpec = object('io.k8s.api.storage.v1.CSIDriverSpec', {
  attachRequired: boolean(1, { pointer: true, default: true }),
  fsGroupPolicy: string(5, { pointer: true, default: 'ReadWriteOnceWithFSType' }),
  nodeAllocatableUpdatePeriodSeconds: int64(9, { pointer: true }),
  podInfoOnMount: boolean(2, { pointer: true, default: false }),
  preventPodSchedulingIfMissing: boolean(11, { pointer: true }),
  requiresRepublish: boolean(7, { pointer: true, default: false }),
  seLinuxMount: boolean(8, { pointer: true, default: false }),
  serviceAccountTokenInSecrets: boolean(10, { pointer: true }),
  storageCapacity: boolean(4, { pointer: true, default: false }),
  tokenRequests: list(6, TokenRequest, { listType: 'atomic' }),
  volumeLifecycleModes: list(3, types.string, { listType: 'set' }),
});
export type CSIDriverSpec = TypeOf<typeof CSIDriverSpec>;

export const CSIDriver = defineKind({
  group: 'storage.k8s.io',
  version: 'v1',
  kind: 'CSIDriver',
  plural: 'csidrivers',
  namespaced: false,
  returnsDeleted: true,
  doc: 'What a storage driver can do.',
  type: 'io.k8s.api.storage.v1.CSIDriver',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, CSIDriverSpec, { required: true, always: true }),
  },
  metadataChecks: { update: ['changed'] },
  columns: [
    nameColumn,
    booleanColumn('AttachRequired', 'Whether volumes are attached first.', ({ spec }) => spec.attachRequired),
    booleanColumn('PodInfoOnMount', 'Whether it is told for which pod it mounts.', ({ spec }) => spec.podInfoOnMount),
    booleanColumn('StorageCapacity', 'Whether free space counts in scheduling.', ({ spec }) => spec.storageCapacity),
  ],
  requiresResourceVersion: true,
  prepareForCreate({ metadata, spec }) {
    // Upstream counts changes alone.
    delete metadata.generation;
    // Behind the feature gate VolumeLimitScaling, which is off.
    delete spec.preventPodSchedulingIfMissing;
  },
  prepareForUpdate({ spec }, old) {
    if (old.spec.preventPodSchedulingIfMissing === undefined) delete spec.preventPodSchedulingIfMissing;
  },
  default({ spec }) {
    if ((spec.volumeLifecycleModes ?? []).length === 0) spec.volumeLifecycleModes = ['Persistent'];
  },
  validate({ metadata, spec }, report) {
    checkCsiDriverName(metadata.name ?? '', report.at('name'));
    const at = report.at('spec');
    checkOneOf(spec.fsGroupPolicy, ['File', 'None', 'ReadWriteOnceWithFSType'], at.at('fsGroupPolicy'));
    const audiences = new Set<string>();
    for (const [index, { audience, expirationSeconds }] of (spec.tokenRequests ?? []).entries()) {
      const request = at.at('tokenRequests').index(index);
      if (audiences.has(audience)) request.at('audience').duplicate(audience);
      audiences.add(audience);
      if (expirationSeconds === undefined) continue;
      if (expirationSeconds < 600)
        request.at('expirationSeconds').invalid(expirationSeconds, 'may not specify a duration less than 10 minutes');
      if (expirationSeconds > 2 ** 32)
        request
          .at('expirationSeconds')
          .invalid(expirationSeconds, 'may not specify a duration larger than 2^32 seconds');
    }
    for (const mode of spec.volumeLifecycleModes ?? [])
      checkOneOf(mode, ['Persistent', 'Ephemeral'], at.at('volumeLifecycleModes'));
    const period = spec.nodeAllocatableUpdatePeriodSeconds;
    if (period !== undefined && period < 10)
      at.at('nodeAllocatableUpdatePeriodSeconds').invalid(period, 'must be greater than or equal to 10 seconds');
  },
  warnings({ spec }, old) {
    const { tokenRequests = [], serviceAccountTokenInSecrets } = spec;
    if (tokenRequests.length === 0 || serviceAccountTokenInSecrets !== undefined) return [];
    if (old && sameValue(tokenRequests, old.spec.tokenRequests)) return [];
    return [
      'spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes',
    ];
  },
  validateUpdate({ spec }, old, report) {
    // Upstream's path has this name.
    checkImmutable(spec.attachRequired, old.spec.attachRequired, report.at('spec', 'attachedRequired'));
    checkImmutable(spec.volumeLifecycleModes, old.spec.volumeLifecycleModes, report.at('spec', 'volumeLifecycleModes'));
  },
});
export type CSIDriver = ObjectOf<typeof CSIDriver>;
