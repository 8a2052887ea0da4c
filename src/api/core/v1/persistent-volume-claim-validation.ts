import {
  checkDnsLabel,
  checkDnsSubdomain,
  checkImmutable,
  checkMessages,
  checkOneOf,
  sameValue,
} from '../../machinery/checks.ts';
import { isQualifiedName } from '../../machinery/names.ts';
import { canonicalQuantity } from '../../machinery/quantity.ts';
import { validateLabelSelector, validateTemplateMetadata } from '../../machinery/object-meta-validation.ts';
import type { WithSpec } from '../../machinery/kind.ts';
import type { Report } from '../../machinery/validation.ts';
import type { PersistentVolumeClaimSpec } from './persistent-volume-claim-spec.ts';
import { checkResourceQuantity, compareTexts, type ResourceList } from './pod-resources.ts';
import type { PersistentVolumeClaimStatus } from './persistent-volume-claim.ts';
import type { PersistentVolumeClaimTemplate } from './pod-spec.ts';

export const accessModes = ['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod'];
export const volumeModes = ['Block', 'Filesystem'];
export const storageClassAnnotation = 'volume.beta.kubernetes.io/storage-class';

/** `report` stands at the template of an ephemeral volume. */
export function validateClaimTemplate(template: PersistentVolumeClaimTemplate, report: Report): void {
  validateTemplateMetadata(template.metadata, report.at('metadata'));
  validateClaimSpec(template.spec, report.at('spec'));
}

/** `report` stands at the spec. `keepsGroup`: the stored claim has a group already, which is taken as it is. */
export function validateClaimSpec(spec: PersistentVolumeClaimSpec, report: Report, { keepsGroup = false } = {}): void {
  if ((spec.accessModes ?? []).length === 0) report.at('accessModes').required('at least 1 access mode is required');
  validateLabelSelector(spec.selector, report.at('selector'));
  checkAccessModes(spec.accessModes ?? [], report.at('accessModes'));
  const storage = spec.resources?.requests?.['storage'];
  const size = report.at('resources').key('storage');
  if (storage === undefined) size.required();
  else if (compareTexts(storage, '0') <= 0)
    size.invalid(canonicalQuantity(storage) ?? storage, 'must be greater than zero');
  else checkResourceQuantity('storage', storage, size);
  if (spec.storageClassName) checkDnsSubdomain(spec.storageClassName, report.at('storageClassName'));
  if (spec.volumeMode !== undefined) checkOneOf(spec.volumeMode, volumeModes, report.at('volumeMode'));
  for (const name of ['dataSource', 'dataSourceRef'] as const) {
    const source = spec[name];
    if (source) validateDataSource(source, keepsGroup, report.at(name));
  }
  const { dataSource, dataSourceRef } = spec;
  const namespace = dataSourceRef?.namespace;
  if (namespace) {
    checkDnsLabel(namespace, report.at('dataSourceRef', 'namespace'));
    if (dataSource) report.invalid({}, 'may not be specified when dataSourceRef.namespace is specified');
  } else if (dataSource && dataSourceRef) {
    const isSame =
      dataSource.kind === dataSourceRef.kind &&
      dataSource.name === dataSourceRef.name &&
      dataSource.apiGroup === dataSourceRef.apiGroup;
    // Upstream prints a path that has no fields to print.
    if (!isSame) report.invalid({}, 'must match dataSourceRef');
  }
  if (spec.volumeAttributesClassName)
    checkDnsSubdomain(spec.volumeAttributesClassName, report.at('volumeAttributesClassName'));
}

export function checkAccessModes(modes: readonly string[], report: Report): void {
  for (const mode of modes) checkOneOf(mode, accessModes, report);
  const others = modes.filter(mode => mode !== 'ReadWriteOncePod' && accessModes.includes(mode));
  if (modes.includes('ReadWriteOncePod') && others.length > 0)
    report.forbidden('may not use ReadWriteOncePod with other access modes');
}

function validateDataSource(
  source: { readonly apiGroup?: string | undefined; readonly kind: string; readonly name: string },
  keepsGroup: boolean,
  report: Report,
): void {
  if (!source.name) report.at('name').required();
  if (!source.kind) report.at('kind').required();
  if (!source.apiGroup && source.kind !== 'PersistentVolumeClaim')
    report.invalid(source.kind ?? '', "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
  if (source.apiGroup && !keepsGroup) checkDnsSubdomain(source.apiGroup, report.at('apiGroup'));
}

interface ClaimStatus {
  readonly phase?: string | undefined;
  readonly capacity?: ResourceList | undefined;
  readonly currentVolumeAttributesClassName?: string | undefined;
}
type Claim = WithSpec<PersistentVolumeClaimSpec, ClaimStatus>;

/** Only the size and the class of attributes of a bound claim may change, and what upgrades filled in later. */
export function validateClaimUpdate(claim: Claim, old: Claim, report: Report): void {
  const { spec } = claim;
  const oldClass = old.metadata.annotations?.[storageClassAnnotation];
  const newClass = claim.metadata.annotations?.[storageClassAnnotation];
  const isUpgradeFromAnnotation =
    oldClass !== undefined &&
    old.spec.storageClassName === undefined &&
    spec.storageClassName === oldClass &&
    (newClass === undefined || newClass === oldClass);
  if (!isUpgradeFromAnnotation && oldClass !== newClass)
    report.at('metadata', 'annotations', storageClassAnnotation).invalid(newClass ?? '', 'field is immutable');
  const isUpgradeFromNothing =
    spec.storageClassName !== undefined &&
    old.spec.storageClassName === undefined &&
    (oldClass === undefined || oldClass === spec.storageClassName);
  const isBound = claim.status?.phase === 'Bound';
  const wanted: PersistentVolumeClaimSpec = {
    ...old.spec,
    ...(!old.spec.volumeName && { volumeName: spec.volumeName }),
    ...((isUpgradeFromAnnotation || isUpgradeFromNothing) && { storageClassName: spec.storageClassName }),
    ...(isBound && { volumeAttributesClassName: spec.volumeAttributesClassName }),
    ...(isBound && { resources: withStorage(old.spec.resources, spec.resources?.requests?.['storage']) }),
  };
  if (!sameValue(spec, wanted))
    report
      .at('spec')
      .forbidden(
        'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims',
      );
  const size = spec.resources?.requests?.['storage'];
  const isSmaller = compareTexts(size, old.spec.resources?.requests?.['storage']) < 0;
  if (isSmaller && compareTexts(size, old.status?.capacity?.['storage']) <= 0)
    report.at('spec', 'resources', 'requests', 'storage').forbidden('field can not be less than status.capacity');
  checkImmutable(spec.volumeMode, old.spec.volumeMode, report.at('volumeMode'));
  if (spec.volumeAttributesClassName === old.spec.volumeAttributesClassName) return;
  if (old.status?.currentVolumeAttributesClassName === undefined) return;
  const attributes = report.at('spec', 'volumeAttributesClassName');
  const when = 'is forbidden when status.currentVolumeAttributesClassName is not nil';
  if (spec.volumeAttributesClassName === undefined) attributes.forbidden(`update to nil ${when}`);
  else if (spec.volumeAttributesClassName === '') attributes.forbidden(`update to empty string ${when}`);
}

const resizeStates = [
  'ControllerResizeInProgress',
  'ControllerResizeInfeasible',
  'NodeResizeInProgress',
  'NodeResizeInfeasible',
  'NodeResizePending',
];

/** `report` stands at the status. */
export function validateClaimStatus(
  { capacity, allocatedResourceStatuses, allocatedResources }: PersistentVolumeClaimStatus,
  report: Report,
): void {
  for (const [resource, amount] of Object.entries(capacity ?? {}))
    checkAmount(amount, report.at('capacity').key(resource));
  const states = report.at('allocatedResourceStatuses');
  for (const [resource, state] of Object.entries(allocatedResourceStatuses ?? {})) {
    isClaimResource(resource, states);
    // Upstream shows the resource here, not its state.
    if (!resizeStates.includes(state)) states.notSupported(resource, resizeStates.toSorted());
  }
  const allocated = report.at('allocatedResources');
  for (const [resource, amount] of Object.entries(allocatedResources ?? {}))
    if (isClaimResource(resource, allocated) && checkAmount(amount, allocated.key(resource)))
      checkResourceQuantity('storage', amount, allocated.key(resource));
}

function checkAmount(amount: string, report: Report): boolean {
  if (compareTexts(amount, '0') >= 0) return true;
  report.invalid(amount, 'must be a valid resource quantity');
  return false;
}

/** Of Kubernetes' own resources only storage. */
function isClaimResource(name: string, report: Report): boolean {
  const messages = isQualifiedName(name);
  checkMessages(messages, name, report);
  if (messages.length > 0) return false;
  const isForeign = name.includes('/') && !name.includes('kubernetes.io/');
  if (isForeign || name === 'storage') return true;
  report.notSupported(name, ['storage']);
  return false;
}

function withStorage(
  resources: PersistentVolumeClaimSpec['resources'],
  storage: string | undefined,
): PersistentVolumeClaimSpec['resources'] {
  if (storage === undefined) return resources;
  return { ...resources, requests: { ...resources?.requests, storage } };
}
