import {
  validateReviewVersions,
  validateWebhookClient,
} from '../../admissionregistration/v1/webhook-client-validation.ts';
import { checkImmutable, sameValue } from '../../machinery/checks.ts';
import { isDNS1035Label, isDNS1123Subdomain } from '../../machinery/names.ts';
import type { ObjectMeta } from '../../meta/v1/object-meta.ts';
import type { Report } from '../../machinery/validation.ts';
import type {
  CustomResourceColumnDefinition,
  CustomResourceConversion,
  CustomResourceDefinitionNames,
  CustomResourceDefinitionSpec,
  CustomResourceDefinitionStatus,
  CustomResourceDefinitionVersion,
  CustomResourceSubresources,
} from './custom-resource-definition.ts';
import { caBundleProblem } from './ca-bundle.ts';
import { versionInGo } from './schema-go-form.ts';
import { beforeSchemaValidation, validateRootSchema } from './schema-validation.ts';
import { hasDefaults } from './schema-parts.ts';
import { validateSelectableFields } from './selectable-field-validation.ts';

interface Definition {
  readonly metadata: ObjectMeta;
  readonly spec: CustomResourceDefinitionSpec;
  readonly status: CustomResourceDefinitionStatus;
}

/** To be waited for before a definition is validated. */
export async function beforeDefinitionValidation({ spec }: Definition): Promise<void> {
  for (const { schema } of spec.versions ?? [])
    if (schema?.openAPIV3Schema) await beforeSchemaValidation(schema.openAPIV3Schema);
}

/** Everything that holds at creation and at every update. */
function validateDefinition({ spec, status }: Definition, report: Report, old?: Definition): void {
  validateSpec(spec, report.at('spec'), old?.spec);
  validateNames(status.acceptedNames, report.at('status', 'acceptedNames'));
  validateStoredVersions(status.storedVersions ?? [], spec.versions ?? [], report.at('status', 'storedVersions'));
  if (spec.preserveUnknownFields === true) {
    const instead = 'set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead';
    report.at('spec', 'preserveUnknownFields').invalid(true, `cannot set to true, ${instead}`);
  }
}

export function validateDefinitionUpdate(definition: Definition, old: Definition, report: Report): void {
  validateDefinition(definition, report, old);
  const { metadata, spec } = definition;
  const annotation = metadata.annotations?.[approvalKey];
  if (annotation !== old.metadata.annotations?.[approvalKey]) validateApproval(definition, report);
  const at = report.at('spec');
  if (isEstablished(old.status)) {
    checkImmutable(spec.scope, old.spec.scope, at.at('scope'));
    checkImmutable(spec.names.kind, old.spec.names.kind, at.at('names', 'kind'));
    validateCaBundle(spec.conversion, old.spec.conversion, at.at('conversion', 'webhookClientConfig', 'caBundle'));
  }
  checkImmutable(spec.group, old.spec.group, at.at('group'));
  checkImmutable(spec.names.plural, old.spec.names.plural, at.at('names', 'plural'));
}

export function validateDefinitionStatus({ status }: Definition, report: Report): void {
  validateNames(status.acceptedNames, report.at('status', 'acceptedNames'));
}

export function isEstablished({ conditions }: CustomResourceDefinitionStatus): boolean {
  return (conditions ?? []).some(({ type, status }) => type === 'Established' && status === 'True');
}

function validateSpec(
  spec: CustomResourceDefinitionSpec,
  report: Report,
  old: CustomResourceDefinitionSpec | undefined,
): void {
  const versions = spec.versions ?? [];
  const wasAccepted = ({ name, schema }: CustomResourceDefinitionVersion) =>
    (old?.versions ?? []).some(each => each.name === name && sameValue(each.schema, schema));
  validateGroup(spec.group, report.at('group'));
  validateScope(spec.scope, report.at('scope'));
  for (const [position, { schema }] of versions.entries()) {
    if (schema?.openAPIV3Schema === undefined) {
      report.at('versions').index(position).at('schema', 'openAPIV3Schema').required();
    }
  }
  if (spec.preserveUnknownFields === true && versions.some(({ schema }) => hasDefaults(schema?.openAPIV3Schema ?? {})))
    report.at('preserveUnknownFields').invalid(true, 'must be false in order to use defaults in the schema');
  // What all versions share is reported once, where it stood before versions could differ.
  const [first] = versions;
  const shared = {
    schema: first !== undefined && versions.every(each => sameValue(each.schema, first.schema)),
    subresources: first !== undefined && versions.every(each => sameValue(each.subresources, first.subresources)),
    columns:
      first !== undefined &&
      versions.every(each => sameValue(each.additionalPrinterColumns, first.additionalPrinterColumns)),
    selectable: first !== undefined && versions.every(each => sameValue(each.selectableFields, first.selectableFields)),
  };
  for (const [position, version] of versions.entries()) {
    const at = report.at('versions').index(position);
    const messages = isDNS1035Label(version.name);
    if (messages.length > 0) at.at('name').invalid(version.name, messages.join(','));
    validateDeprecation(version, at.at('deprecationWarning'));
    if (!shared.schema) validateVersionSchema(version, at.at('schema'), wasAccepted(version));
    if (!shared.subresources) validateSubresources(version.subresources, at.at('subresources'));
    if (!shared.columns) validateColumns(version.additionalPrinterColumns, at.at('additionalPrinterColumns'));
    if (!shared.selectable) {
      validateSelectableFields(version.selectableFields, version.schema?.openAPIV3Schema, at.at('selectableFields'));
    }
  }
  if (versions.filter(({ storage }) => storage).length !== 1 || hasTwin(versions)) {
    validateStorageVersion(versions, report.at('versions'));
  }
  if (first !== undefined && first.name !== '') {
    const messages = isDNS1035Label(first.name);
    if (messages.length > 0) report.at('version').invalid(first.name, messages.join(','));
  }
  for (const name of ['plural', 'singular', 'kind', 'listKind'] as const) {
    if ((spec.names[name] ?? '') === '') report.at('names', name).required();
  }
  validateNames(spec.names, report.at('names'));
  if (first !== undefined) {
    if (shared.schema) {
      const hasStatus = versions.some(({ subresources }) => subresources?.status !== undefined);
      const root = first.schema?.openAPIV3Schema;
      const at = report.at('validation', 'openAPIV3Schema');
      if (root !== undefined) validateRootSchema(root, hasStatus, at, versions.every(wasAccepted));
    }
    if (shared.subresources) validateSubresources(first.subresources, report.at('subresources'));
    if (shared.columns) validateColumns(first.additionalPrinterColumns, report.at('additionalPrinterColumns'));
    if (shared.selectable) {
      validateSelectableFields(first.selectableFields, first.schema?.openAPIV3Schema, report.at('selectableFields'));
    }
  }
  validateConversion(spec.conversion, report.at('conversion'));
}

function validateGroup(group: string, report: Report): void {
  const messages = isDNS1123Subdomain(group);
  if (group === '') report.required();
  else if (messages.length > 0) report.invalid(group, messages.join(','));
  else if (!group.includes('.')) report.invalid(group, 'should be a domain with at least one dot');
}

const scopes = ['Cluster', 'Namespaced'];

function validateScope(scope: string, report: Report): void {
  if (scope === '') report.required();
  else if (!scopes.includes(scope)) report.notSupported(scope, scopes);
}

function hasTwin(versions: readonly CustomResourceDefinitionVersion[]): boolean {
  return new Set(versions.map(({ name }) => name)).size < versions.length;
}

function validateStorageVersion(versions: readonly CustomResourceDefinitionVersion[], report: Report): void {
  const shown = versions.length === 0 ? null : versions.map(versionInGo);
  if (hasTwin(versions)) report.invalid(shown, 'must contain unique version names');
  if (versions.filter(({ storage }) => storage).length !== 1) {
    report.invalid(shown, 'must have exactly one version marked as storage version');
  }
}

function validateVersionSchema(
  { schema, subresources }: CustomResourceDefinitionVersion,
  report: Report,
  wasAccepted: boolean,
): void {
  if (schema?.openAPIV3Schema === undefined) return;
  const hasStatus = subresources?.status !== undefined;
  validateRootSchema(schema.openAPIV3Schema, hasStatus, report.at('openAPIV3Schema'), wasAccepted);
}

const warningLengthMax = 256;

function validateDeprecation(
  { deprecated, deprecationWarning }: CustomResourceDefinitionVersion,
  report: Report,
): void {
  if (deprecationWarning === undefined) return;
  if (deprecated !== true) {
    report.invalid(deprecationWarning, 'can only be set for deprecated versions');
    return;
  }
  const size = new TextEncoder().encode(deprecationWarning).length;
  if (size > warningLengthMax) report.invalid(deprecationWarning, `must be <= ${warningLengthMax} characters long`);
  if (size === 0) report.invalid(deprecationWarning, 'must not be an empty string');
  const strange = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.exec(deprecationWarning);
  if (strange !== null) {
    const where = new TextEncoder().encode(deprecationWarning.slice(0, strange.index)).length;
    const what = 'must only contain printable UTF-8 characters; non-printable character found at index';
    report.invalid(deprecationWarning, `${what} ${where}`);
  }
}

function validateNames(names: CustomResourceDefinitionNames, report: Report): void {
  const { plural, singular = '', kind, listKind = '' } = names;
  checkLabel(plural, report.at('plural'));
  checkLabel(singular, report.at('singular'));
  checkKindName(kind, report.at('kind'));
  checkKindName(listKind, report.at('listKind'));
  for (const [position, name] of (names.shortNames ?? []).entries()) {
    const messages = isDNS1035Label(name);
    if (messages.length > 0) report.at('shortNames').index(position).invalid(name, messages.join(','));
  }
  if (kind !== '' && kind === listKind) {
    report.at('listKind').invalid(listKind, 'kind and listKind may not be the same');
  }
  for (const [position, name] of (names.categories ?? []).entries()) {
    const messages = isDNS1035Label(name);
    if (messages.length > 0) report.at('categories').index(position).invalid(name, messages.join(','));
  }
}

function checkLabel(name: string, report: Report): void {
  const messages = isDNS1035Label(name);
  if (name !== '' && messages.length > 0) report.invalid(name, messages.join(','));
}

function checkKindName(name: string, report: Report): void {
  const messages = isDNS1035Label(name.toLowerCase());
  if (name === '' || messages.length === 0) return;
  report.invalid(name, `may have mixed case, but should otherwise match: ${messages.join(',')}`);
}

const columnTypes = ['boolean', 'date', 'integer', 'number', 'string'];
const columnFormats = ['byte', 'date', 'date-time', 'double', 'float', 'int32', 'int64', 'password'];

function validateColumns(columns: readonly CustomResourceColumnDefinition[] | undefined, report: Report): void {
  for (const [position, { name, type, format = '', jsonPath }] of (columns ?? []).entries()) {
    const at = report.index(position);
    if (name === '') at.at('name').required();
    const oneOf = `must be one of ${columnTypes.join(',')}`;
    if (type === '') at.at('type').required(oneOf);
    else if (!columnTypes.includes(type)) at.at('type').invalid(type, oneOf);
    if (format !== '' && !columnFormats.includes(format)) {
      at.at('format').invalid(format, `must be one of ${columnFormats.join(',')}`);
    }
    if (jsonPath === '') at.at('JSONPath').required();
    else checkSimplePath(jsonPath, at.at('JSONPath'));
  }
}

function checkSimplePath(path: string, report: Report): boolean {
  if (path.startsWith('.')) return true;
  report.invalid(path, 'must be a simple json path starting with .');
  return false;
}

function validateSubresources(subresources: CustomResourceSubresources | undefined, report: Report): void {
  const scale = subresources?.scale;
  if (scale === undefined) return;
  const at = report.at('scale');
  checkReplicasPath(scale.specReplicasPath, '.spec', at.at('specReplicasPath'));
  checkReplicasPath(scale.statusReplicasPath, '.status', at.at('statusReplicasPath'));
  const { labelSelectorPath: path = '' } = scale;
  if (path === '' || !checkSimplePath(path, at.at('labelSelectorPath'))) return;
  if (!path.startsWith('.spec.') && !path.startsWith('.status.')) {
    at.at('labelSelectorPath').invalid(path, 'should be a json path under either .spec or .status');
  }
}

function checkReplicasPath(path: string, root: string, report: Report): void {
  if (path === '') report.required();
  else if (checkSimplePath(path, report) && !path.startsWith(`${root}.`)) {
    report.invalid(path, `should be a json path under ${root}`);
  }
}

const strategies = ['None', 'Webhook'];

function validateConversion(conversion: CustomResourceConversion | undefined, report: Report): void {
  if (conversion === undefined) return;
  const { strategy, webhook } = conversion;
  if (strategy === '') report.at('strategy').required();
  else if (!strategies.includes(strategy)) report.at('strategy').notSupported(strategy, strategies);
  const versions = webhook?.conversionReviewVersions ?? [];
  if (strategy === 'Webhook') {
    const at = report.at('webhookClientConfig');
    if (webhook?.clientConfig === undefined) at.required('required when strategy is set to Webhook');
    else validateWebhookClient(webhook.clientConfig, at);
    validateReviewVersions(versions, report.at('conversionReviewVersions'));
    return;
  }
  const misplaced = 'should not be set when strategy is not set to Webhook';
  if (webhook?.clientConfig !== undefined) report.at('webhookClientConfig').forbidden(misplaced);
  if (versions.length > 0) report.at('conversionReviewVersions').forbidden(misplaced);
}

/** Before it is established, and where it was broken already, a broken one is only a condition. */
function validateCaBundle(
  { strategy, webhook }: CustomResourceConversion,
  old: CustomResourceConversion,
  report: Report,
): void {
  const bundle = webhook?.clientConfig?.caBundle;
  if (strategy !== 'Webhook' || caBundleProblem(old.webhook?.clientConfig?.caBundle) !== undefined) return;
  const problem = caBundleProblem(bundle);
  if (problem !== undefined) report.invalid(bundle ?? '', problem);
}

function validateStoredVersions(
  stored: readonly string[],
  versions: readonly CustomResourceDefinitionVersion[],
  report: Report,
): void {
  if (stored.length === 0) {
    report.invalid(null, 'must have at least one stored version');
    return;
  }
  // Each name counts once: a twin of the storage version is reported here, too.
  const unseen = new Set(stored);
  for (const { name, storage } of versions) {
    if (!unseen.delete(name) && storage) report.invalid(stored, `must have the storage version ${name}`);
  }
  for (const [position, name] of stored.entries()) {
    if (versions.some(version => version.name === name)) continue;
    const until = `until a storage migration ensures no data remains persisted in ${name} and removes ${name} from status.storedVersions`;
    const why = `${name} was previously a storage version, and must remain in spec.versions ${until}`;
    report.index(position).invalid(name, `missing from spec.versions; ${why}`);
  }
}

const approvalKey = 'api-approved.kubernetes.io';
const protectedGroup = /(^|\.)(k8s|kubernetes)\.io$/;

export function validateDefinitionCreate(definition: Definition, report: Report): void {
  const { metadata, spec } = definition;
  if (metadata.name !== undefined && metadata.name !== `${spec.names.plural}.${spec.group}`)
    report.at('metadata', 'name').invalid(metadata.name, 'must be spec.names.plural+"."+spec.group');
  validateDefinition(definition, report);
  validateApproval(definition, report);
}

/** Groups of the Kubernetes community need a note of who approved the API. */
function validateApproval({ metadata: { annotations }, spec }: Definition, report: Report): void {
  if (!protectedGroup.test(spec.group)) return;
  const approval = annotations?.[approvalKey];
  const at = report.at('metadata', 'annotations').key(approvalKey);
  const must = `protected groups must have approval annotation "${approvalKey}"`;
  const see = 'see https://github.com/kubernetes/enhancements/pull/1111';
  if (approval === undefined) at.required(`${must}, ${see}`);
  else if (!approval.startsWith('unapproved') && !/^[a-z][a-z\d+.-]*:\/\/[^/]/i.test(approval)) {
    at.invalid(approval, `${must} with either a URL or a reason starting with "unapproved", ${see}`);
  }
}
