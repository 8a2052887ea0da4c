import type { LabelSelector } from '../meta/v1/label-selector.ts';
import type { LabelSelectorRequirement } from '../meta/v1/label-selector-requirement.ts';
import type { ManagedFieldsEntry, ObjectMeta, OwnerReference } from '../meta/v1/object-meta.ts';
import { sameValue } from './checks.ts';
import type { Kind } from './kind.ts';
import { checkStandardFinalizer, immutableMessage } from './checks.ts';
import {
  asPrefix,
  byteLength,
  isDNS1123Label,
  isDNS1123Subdomain,
  isLabelValue,
  isPathSegmentName,
  isQualifiedName,
} from './names.ts';
import type { Report } from './validation.ts';

type NamedKind = Pick<Kind, 'namespaced' | 'validateName' | 'metadataChecks'>;

/** Upstream's limit on all keys and values of the annotations together. */
export const annotationsBytesMax = 256 * 1024;

/** Checks the metadata of a new object. `report` stands at `metadata`; a generated name is already filled in. */
export function validateObjectMeta(kind: NamedKind, meta: ObjectMeta, report: Report): void {
  const validateName = kind.validateName ?? isDNS1123Subdomain;
  validateGenerateName(meta, validateName, report.at('generateName'));
  if (!meta.name) report.at('name').required('name or generateName is required');
  else for (const message of validateName(meta.name)) report.at('name').invalid(meta.name, message);
  validateNamespace(kind, meta, report.at('namespace'));
  if ((meta.generation ?? 0) < 0)
    report.at('generation').invalid(meta.generation, 'must be greater than or equal to 0');
  validateShared(meta, report);
  validateFinalizers(meta.finalizers ?? [], report.at('finalizers'));
  validateStandardFinalizers(kind, meta, report);
}

/** Checks the metadata of a replacement. `report` stands at `metadata`. */
export function validateObjectMetaUpdate(
  kind: NamedKind,
  meta: ObjectMeta,
  old: ObjectMeta,
  report: Report,
  path: 'update' | 'status' = 'update',
): void {
  const again = kind.metadataChecks?.[path] ?? usualChecks[path];
  const asNew = again.filter(check => check === 'new').length;
  const asChanged = again.length - asNew;
  const finalizers = report.at('finalizers');
  validateGenerateName(meta, isPathSegmentName, report.at('generateName'));
  if (asNew > 0)
    repeated(asNew, report, () =>
      validateGenerateName(meta, kind.validateName ?? isDNS1123Subdomain, report.at('generateName')),
    );
  repeated(1 + asChanged, report, () => validateChange(meta, old, report));
  repeated(2 + again.length, report, () => validateShared(meta, report));
  repeated(1 + asNew, report, () => validateFinalizers(meta.finalizers ?? [], finalizers));
  repeated(again.length, report, () => validateStandardFinalizers(kind, meta, report));
}

/** Labels of metadata, of templates and `matchLabels` of selectors. `report` stands at the map. */
export function validateLabels(labels: Readonly<Record<string, string>> | undefined, report: Report): void {
  for (const key in labels) {
    for (const message of isQualifiedName(key)) report.invalid(key, message);
    const value = labels[key] as string;
    for (const message of isLabelValue(value)) report.invalid(value, message);
  }
}

/** `report` stands at the map. */
export function validateAnnotations(annotations: Readonly<Record<string, string>> | undefined, report: Report): void {
  let size = 0;
  for (const key in annotations) {
    for (const message of isQualifiedName(key.toLowerCase())) report.invalid(key, message);
    size += byteLength(key) + byteLength(annotations[key] as string);
  }
  if (size > annotationsBytesMax) report.tooLong(annotationsBytesMax);
}

/** The metadata of what is made from a template: labels and annotations alone. */
export function validateTemplateMetadata(meta: ObjectMeta | undefined, report: Report): void {
  if (!meta) return;
  validateAnnotations(meta.annotations, report.at('annotations'));
  validateLabels(meta.labels, report.at('labels'));
  for (const [name, value] of Object.entries(meta))
    if (name !== 'annotations' && name !== 'labels' && !sameValue(value, undefined) && value !== '')
      report.at(name === 'uid' ? 'uID' : name).forbidden('cannot be set');
}

/** `report` stands at the selector. */
export function validateLabelSelector(
  selector: LabelSelector | undefined,
  report: Report,
  { allowInvalidValues = false } = {},
): void {
  if (!selector) return;
  validateLabels(selector.matchLabels, report.at('matchLabels'));
  for (const [index, requirement] of (selector.matchExpressions ?? []).entries())
    validateLabelRequirement(requirement, report.at('matchExpressions').index(index), { allowInvalidValues });
}

/** `report` stands at the requirement. */
export function validateLabelRequirement(
  { key, operator, values = [] }: LabelSelectorRequirement,
  report: Report,
  { allowInvalidValues = false, allowUnknownOperator = false } = {},
): void {
  validateSelectorValues(operator, values, report, allowUnknownOperator);
  for (const message of isQualifiedName(key ?? '')) report.at('key').invalid(key ?? '', message);
  if (allowInvalidValues) return;
  for (const [position, value] of values.entries())
    for (const message of isLabelValue(value)) report.at('values').index(position).invalid(value, message);
}

/** `report` stands at the requirement. */
export function validateSelectorValues(
  operator: string | undefined,
  values: readonly string[],
  report: Report,
  allowUnknownOperator = false,
): void {
  if (operator === 'In' || operator === 'NotIn') {
    if (values.length === 0) report.at('values').required("must be specified when `operator` is 'In' or 'NotIn'");
  } else if (operator === 'Exists' || operator === 'DoesNotExist') {
    if (values.length > 0)
      report.at('values').forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
  } else if (!allowUnknownOperator) {
    report.at('operator').invalid(operator ?? '', 'not a valid selector operator');
  }
}

const usualChecks = { update: ['new', 'changed'], status: ['changed'] } as const;

/** Says what a check finds as often as upstream's layers do. */
function repeated(times: number, { errors }: Report, check: () => void): void {
  if (times === 0) return;
  const before = errors.length;
  check();
  const found = errors.slice(before);
  for (let time = 1; time < times; time++) errors.push(...found);
}

function validateGenerateName(
  { generateName }: ObjectMeta,
  validateName: (name: string) => readonly string[],
  report: Report,
): void {
  if (!generateName) return;
  for (const message of validateName(asPrefix(generateName))) report.invalid(generateName, message);
}

function validateChange(meta: ObjectMeta, old: ObjectMeta, report: Report): void {
  if (old.deletionTimestamp)
    validateNoNewFinalizers(meta.finalizers ?? [], old.finalizers ?? [], report.at('finalizers'));
  if (!meta.resourceVersion)
    report.at('resourceVersion').invalid(meta.resourceVersion ?? '', 'must be specified for an update');
  if ((meta.generation ?? 0) < (old.generation ?? 0))
    report.at('generation').invalid(meta.generation ?? 0, 'must not be decremented');
  for (const field of immutableFields) {
    if ((meta[field] ?? empty[field]) !== (old[field] ?? empty[field]))
      report.at(field).invalid(meta[field] ?? empty[field], immutableMessage);
  }
}

const immutableFields = [
  'name',
  'namespace',
  'uid',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
] as const;

/** What Go shows for an absent value: strings are empty, times and pointers are null. */
const empty = {
  name: '',
  namespace: '',
  uid: '',
  creationTimestamp: null,
  deletionTimestamp: null,
  deletionGracePeriodSeconds: null,
} as const;

function validateNamespace(kind: NamedKind, { namespace }: ObjectMeta, report: Report): void {
  if (!kind.namespaced) {
    if (namespace) report.forbidden('not allowed on this type');
  } else if (!namespace) {
    report.required();
  } else {
    for (const message of isDNS1123Label(namespace)) report.invalid(namespace, message);
  }
}

function validateShared(meta: ObjectMeta, report: Report): void {
  validateLabels(meta.labels, report.at('labels'));
  validateAnnotations(meta.annotations, report.at('annotations'));
  validateOwnerReferences(meta.ownerReferences ?? [], report.at('ownerReferences'));
  validateManagedFields(meta.managedFields ?? [], report.at('managedFields'));
}

function validateOwnerReferences(references: readonly OwnerReference[], report: Report): void {
  let controller = '';
  for (const reference of references) {
    validateOwnerReference(reference, report);
    if (!reference.controller) continue;
    const name = `${reference.kind}/${reference.name}`;
    if (controller === '') controller = name;
    else
      report.invalid(
        references,
        `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${name}`,
      );
  }
}

/** Upstream does not say which of the references it is. */
function validateOwnerReference(reference: OwnerReference, report: Report): void {
  const { apiVersion = '', kind, name, uid } = reference;
  if (!hasVersion(apiVersion)) report.at('apiVersion').invalid(apiVersion, 'version must not be empty');
  if (!kind) report.at('kind').invalid('', 'must not be empty');
  if (!name) report.at('name').invalid('', 'must not be empty');
  if (!uid) report.at('uid').invalid('', 'must not be empty');
  if (apiVersion === 'v1' && kind === 'Event')
    report.invalid(reference, '/v1, Kind=Event is disallowed from being an owner');
}

/** `version` or `group/version`; a lone slash stands for nothing, and what has more of them has no version. */
function hasVersion(apiVersion: string): boolean {
  const parts = apiVersion.split('/');
  return parts.length <= 2 && parts.at(-1) !== '';
}

function validateFinalizers(finalizers: readonly string[], report: Report): void {
  for (const finalizer of finalizers)
    for (const message of isQualifiedName(finalizer)) report.invalid(finalizer, message);
  if (finalizers.includes('orphan') && finalizers.includes('foregroundDeletion'))
    report.invalid(finalizers, 'finalizer orphan and foregroundDeletion cannot be both set');
}

function validateStandardFinalizers({ metadataChecks }: NamedKind, { finalizers }: ObjectMeta, report: Report): void {
  if (metadataChecks?.standardFinalizers === false) return;
  for (const [index, finalizer] of (finalizers ?? []).entries())
    checkStandardFinalizer(finalizer, report.at('finalizers').index(index));
}

function validateNoNewFinalizers(finalizers: readonly string[], old: readonly string[], report: Report): void {
  const added = [...new Set(finalizers)].filter(finalizer => !old.includes(finalizer)).sort();
  if (added.length === 0) return;
  const shown = added.map(finalizer => JSON.stringify(finalizer)).join(', ');
  report.forbidden(
    `no new finalizers can be added if the object is being deleted, found new finalizers []string{${shown}}`,
  );
}

function validateManagedFields(entries: readonly ManagedFieldsEntry[], report: Report): void {
  for (const [index, { operation, fieldsType, manager, subresource }] of entries.entries()) {
    const at = report.index(index);
    if (!operation) at.at('operation').required('must not be empty');
    else if (operation !== 'Apply' && operation !== 'Update')
      at.at('operation').notSupported(operation, ['Apply', 'Update']);
    if (fieldsType && fieldsType !== 'FieldsV1') at.at('fieldsType').invalid(fieldsType, 'must be `FieldsV1`');
    validateFieldManager(manager ?? '', at.at('manager'));
    if (byteLength(subresource ?? '') > 256) at.at('subresource').tooLong(256);
  }
}

/** `fieldManager` of requests and `manager` of managedFields: at most 128 printable characters. */
export function validateFieldManager(manager: string, report: Report): void {
  if (byteLength(manager) > 128) report.tooLong(128);
  let position = 0;
  for (const character of manager) {
    if (!/[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(character)) {
      const code = (character.codePointAt(0) as number).toString(16).toUpperCase().padStart(4, '0');
      report.invalid(manager, `invalid character U+${code} (at position ${position})`);
    }
    position += byteLength(character);
  }
}
