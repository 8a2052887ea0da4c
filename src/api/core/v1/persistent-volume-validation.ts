import { checkDnsLabel, checkDnsSubdomain, checkImmutable, checkOneOf, sameValue } from '../../machinery/checks.ts';
import { canonicalQuantity } from '../../machinery/quantity.ts';
import type { Report } from '../../machinery/validation.ts';
import { checkAccessModes, volumeModes } from './persistent-volume-claim-validation.ts';
import type { PersistentVolumeSpec, SecretReference } from './persistent-volume-spec.ts';
import { compareTexts } from './pod-resources.ts';
import { validateNodeSelector } from './scheduling-validation.ts';
import {
  checkCsiDriverName,
  checkNoBacksteps,
  checkPortalLength,
  requireFields,
  validateSharedSource,
  validateStorageOs,
} from './volume-validation.ts';

const sourceNames = [
  'hostPath',
  'gcePersistentDisk',
  'awsElasticBlockStore',
  'glusterfs',
  'flocker',
  'nfs',
  'rbd',
  'quobyte',
  'cephfs',
  'iscsi',
  'cinder',
  'fc',
  'flexVolume',
  'azureFile',
  'vsphereVolume',
  'photonPersistentDisk',
  'portworxVolume',
  'azureDisk',
  'scaleIO',
  'local',
  'storageos',
  'csi',
] as const;

const reclaimPolicies = ['Delete', 'Recycle', 'Retain'];

/** In upstream's order. `inline`: described in a VolumeAttachment instead of being an object. */
export function validateVolumeSpec(
  spec: PersistentVolumeSpec,
  name: string,
  report: Report,
  { inline = false } = {},
): void {
  const outOfPlace = 'may not be specified in the context of inline volumes';
  if (inline) {
    if (spec.claimRef) report.at('claimRef').forbidden(outOfPlace);
    if (Object.keys(spec.capacity ?? {}).length > 0) report.at('capacity').forbidden(outOfPlace);
    if (!spec.csi) report.at('csi').required('has to be specified in the context of inline volumes');
  }
  if ((spec.accessModes ?? []).length === 0) report.at('accessModes').required();
  checkAccessModes(spec.accessModes ?? [], report.at('accessModes'));
  const policy = spec.persistentVolumeReclaimPolicy;
  if (!inline) {
    validateCapacity(spec, report.at('capacity'));
    if (policy) checkOneOf(policy, reclaimPolicies, report.at('persistentVolumeReclaimPolicy'));
  } else if (policy && policy !== 'Retain')
    report.at('persistentVolumeReclaimPolicy').forbidden('may only be Retain in the context of inline volumes');
  if (spec.nodeAffinity && inline) report.at('nodeAffinity').forbidden(outOfPlace);
  else if (spec.nodeAffinity) {
    const { required } = spec.nodeAffinity;
    if (required) validateNodeSelector(required, report.at('nodeAffinity', 'required'));
    else report.at('nodeAffinity', 'required').required('must specify required node constraints');
  }
  validateSource(spec, name, report);
  if (spec.hostPath && /^\/+\.?$/.test(spec.hostPath.path) && policy === 'Recycle')
    report.at('persistentVolumeReclaimPolicy').forbidden("may not be 'recycle' for a hostPath mount of '/'");
  if (spec.storageClassName && inline) report.at('storageClassName').forbidden(outOfPlace);
  else if (spec.storageClassName) checkDnsSubdomain(spec.storageClassName, report.at('storageClassName'));
  const { volumeMode } = spec;
  if (volumeMode !== undefined && !inline) checkOneOf(volumeMode, volumeModes, report.at('volumeMode'));
  else if (volumeMode !== undefined && volumeMode !== 'Filesystem')
    report
      .at('volumeMode')
      .forbidden('may not specify volumeMode other than Filesystem in the context of inline volumes');
  if (spec.volumeAttributesClassName === undefined) return;
  const attributes = report.at('volumeAttributesClassName');
  if (spec.volumeAttributesClassName === '') attributes.required('an empty string is disallowed');
  else checkDnsSubdomain(spec.volumeAttributesClassName, attributes);
  if (!spec.csi) report.at('csi').required('has to be specified when using volumeAttributesClassName');
}

/** What a volume is stays what it is; only how it is used may change. */
export function validateVolumeSpecUpdate(spec: PersistentVolumeSpec, old: PersistentVolumeSpec, report: Report): void {
  const isExpandable = old.csi && !old.csi.controllerExpandSecretRef && spec.csi;
  const csi = isExpandable ? { ...spec.csi, controllerExpandSecretRef: undefined } : spec.csi;
  const isSame = sourceNames.every(name => sameValue(name === 'csi' ? csi : spec[name], old[name]));
  if (!isSame)
    report.at('spec', 'persistentvolumesource').forbidden('spec.persistentvolumesource is immutable after creation');
  checkImmutable(spec.volumeMode, old.volumeMode, report.at('volumeMode'));
  if (old.nodeAffinity && !sameValue(withNewLabels(old.nodeAffinity), withNewLabels(spec.nodeAffinity)))
    report
      .at('nodeAffinity')
      .invalid(spec.nodeAffinity, 'field is immutable, except for updating from beta label to GA');
  if (old.volumeAttributesClassName !== undefined && spec.volumeAttributesClassName === undefined)
    report.at('spec', 'volumeAttributesClassName').forbidden('update from non-nil value to nil is forbidden');
}

function validateCapacity({ capacity = {} }: PersistentVolumeSpec, report: Report): void {
  const names = Object.keys(capacity);
  if (names.length === 0) report.required();
  if (names.length !== 1 || names[0] !== 'storage') report.notSupported(capacity, ['storage']);
  for (const [name, amount] of Object.entries(capacity)) {
    if (compareTexts(amount, '0') < 0) report.key(name).invalid(amount, 'must be a valid resource quantity');
    if (compareTexts(amount, '0') <= 0)
      report.key(name).invalid(canonicalQuantity(amount) ?? amount, 'must be greater than zero');
  }
}

function validateSource(spec: PersistentVolumeSpec, name: string, report: Report): void {
  const given = sourceNames.filter(source => spec[source] !== undefined);
  if (given.length === 0) report.required('must specify a volume type');
  for (const [position, source] of given.entries()) {
    if (position === 0 || source === 'flexVolume')
      validateOneSource(
        spec,
        source,
        name,
        report,
        report.at(source === 'gcePersistentDisk' ? 'persistentDisk' : source),
      );
    else report.at(source === 'cephfs' ? 'cephFS' : source).forbidden('may not specify more than 1 volume type');
  }
}

function validateOneSource(
  spec: PersistentVolumeSpec,
  source: (typeof sourceNames)[number],
  name: string,
  volume: Report,
  report: Report,
): void {
  switch (source) {
    case 'cephfs':
      if ((spec.cephfs?.monitors ?? []).length === 0) report.at('monitors').required();
      return;
    case 'cinder':
      requireFields(report, { volumeID: spec.cinder?.volumeID });
      requireSecret(spec.cinder?.secretRef, report.at('secretRef'));
      return;
    case 'azureFile':
      requireFields(report, { secretName: spec.azureFile?.secretName, shareName: spec.azureFile?.shareName });
      if (spec.azureFile?.secretNamespace === '') report.at('secretNamespace').required();
      return;
    case 'storageos':
      validateStorageOs(spec.storageos ?? {}, report);
      if (spec.storageos?.secretRef && !spec.storageos.secretRef.namespace)
        report.at('secretRef', 'namespace').required();
      return;
    case 'local':
      if (!spec.local?.path) report.at('path').required();
      else checkNoBacksteps(spec.local.path, report.at('path'));
      if (!spec.nodeAffinity) volume.at('nodeAffinity').required('Local volume requires node affinity');
      return;
    case 'iscsi':
      if (spec.iscsi?.initiatorName !== undefined)
        checkPortalLength(name, spec.iscsi.targetPortal, report.at('targetportal'), spec.iscsi.targetPortal);
      validateSharedSource(spec, source, report);
      if (spec.iscsi?.secretRef && !spec.iscsi.secretRef.name) report.at('secretRef', 'name').required();
      return;
    case 'glusterfs': {
      validateSharedSource(spec, source, report);
      const namespace = spec.glusterfs?.endpointsNamespace;
      if (namespace === '')
        report
          .at('endpointsNamespace')
          .invalid(namespace, 'if the endpointnamespace is set, it must be a valid namespace name');
      else if (namespace !== undefined) checkDnsLabel(namespace, report.at('endpointsNamespace'));
      return;
    }
    case 'csi':
      checkCsiDriverName(spec.csi?.driver ?? '', report.at('driver'));
      requireFields(report, { volumeHandle: spec.csi?.volumeHandle });
      for (const reference of [
        'controllerPublishSecretRef',
        'controllerExpandSecretRef',
        'nodePublishSecretRef',
        'nodeExpandSecretRef',
      ] as const)
        checkSecret(spec.csi?.[reference], report.at(reference));
      return;
    default:
      validateSharedSource(spec, source, report);
  }
}

function requireSecret(secret: SecretReference | undefined, report: Report): void {
  if (secret) requireFields(report, { name: secret.name, namespace: secret.namespace });
}

function checkSecret(secret: SecretReference | undefined, report: Report): void {
  if (!secret) return;
  requireSecret(secret, report);
  if (secret.name) checkDnsSubdomain(secret.name, report.at('name'));
  if (secret.namespace) checkDnsLabel(secret.namespace, report.at('namespace'));
}

const newLabels: Readonly<Record<string, string>> = {
  'failure-domain.beta.kubernetes.io/zone': 'topology.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region': 'topology.kubernetes.io/region',
  'beta.kubernetes.io/os': 'kubernetes.io/os',
  'beta.kubernetes.io/arch': 'kubernetes.io/arch',
  'beta.kubernetes.io/instance-type': 'node.kubernetes.io/instance-type',
};

/** Labels lost their beta names; volumes may follow. */
function withNewLabels(affinity: PersistentVolumeSpec['nodeAffinity']): unknown {
  return affinity?.required?.nodeSelectorTerms?.map(term => ({
    ...term,
    matchExpressions: term.matchExpressions?.map(each => ({ ...each, key: newLabels[each.key] ?? each.key })),
  }));
}
