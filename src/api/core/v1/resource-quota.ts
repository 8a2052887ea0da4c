import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, map, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { sameValue } from '../../machinery/checks.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { goForm } from '../../machinery/go-form.ts';
import { canonicalQuantity } from '../../machinery/quantity.ts';
import type { Report } from '../../machinery/validation.ts';
import {
  checkQuotaResourceName,
  checkResourceQuantity,
  isStandardForQuota,
  type ResourceList,
} from './pod-resources.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ScopedResourceSelectorRequirement = object('io.k8s.api.core.v1.ScopedResourceSelectorRequirement', {
  operator: string(2, { required: true, always: true, enum: ['DoesNotExist', 'Exists', 'In', 'NotIn'] }),
  scopeName: string(1, {
    required: true,
    always: true,
    enum: [
      'BestEffort',
      'CrossNamespacePodAffinity',
      'NotBestEffort',
      'NotTerminating',
      'PriorityClass',
      'Terminating',
      'VolumeAttributesClass',
    ],
  }),
  values: list(3, types.string, { listType: 'atomic' }),
});
export type ScopedResourceSelectorRequirement = TypeOf<typeof ScopedResourceSelectorRequirement>;

export const ScopeSelector = object(
  'io.k8s.api.core.v1.ScopeSelector',
  {
    matchExpressions: list(1, ScopedResourceSelectorRequirement, { listType: 'atomic' }),
  },
  { mapType: 'atomic' },
);
export type ScopeSelector = TypeOf<typeof ScopeSelector>;

export const ResourceQuotaSpec = object('io.k8s.api.core.v1.ResourceQuotaSpec', {
  hard: map(1, types.resourceQuantity, { doc: 'The most of each resource.' }),
  scopeSelector: struct(3, ScopeSelector),
  scopes: list(2, types.string, { listType: 'atomic' }),
});
export type ResourceQuotaSpec = TypeOf<typeof ResourceQuotaSpec>;

export const ResourceQuotaStatus = object('io.k8s.api.core.v1.ResourceQuotaStatus', {
  hard: map(1, types.resourceQuantity),
  used: map(2, types.resourceQuantity),
});
export type ResourceQuotaStatus = TypeOf<typeof ResourceQuotaStatus>;

export const ResourceQuota = defineKind({
  group: '',
  version: 'v1',
  kind: 'ResourceQuota',
  plural: 'resourcequotas',
  namespaced: true,
  doc: 'The most that a namespace may use.',
  shortNames: ['quota'],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.core.v1.ResourceQuota',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, ResourceQuotaSpec, { always: true }),
    status: struct(3, ResourceQuotaStatus, { always: true }),
  },
  metadataChecks: { update: ['changed'] },
  columns: [
    nameColumn,
    text('Request', 'Used of what may be asked for.', ({ status }) => usageOf(status, false)),
    text('Limit', 'Used of what may be limited to.', ({ status }) => usageOf(status, true)),
    ageColumn,
  ],
  returnsDeleted: true,
  hasGeneration: false,
  validate({ spec }, report) {
    const at = report.at('spec');
    validateAmounts(spec.hard, at.at('hard'));
    validateScopes(spec, at.at('scopes'));
    if (spec.scopeSelector) validateScopeSelector(spec, at.at('scopeSelector', 'matchExpressions'));
  },
  validateUpdate({ spec }, old, report) {
    if (!sameValue([...(spec.scopes ?? [])].sort(), [...(old.spec.scopes ?? [])].sort()))
      report.at('spec', 'scopes').invalid(spec.scopes, 'field is immutable');
  },
  validateStatusUpdate({ status }, _, report) {
    validateAmounts(status.hard, report.at('status', 'hard'));
    validateAmounts(status.used, report.at('status', 'used'));
  },
});
export type ResourceQuota = ObjectOf<typeof ResourceQuota>;

function usageOf(status: ResourceQuotaStatus, isLimit: boolean): string {
  return Object.keys(status.hard ?? {})
    .sort()
    .filter(resource => resource.startsWith('limits.') === isLimit)
    .map(resource => {
      const show = (list: ResourceList | undefined) => canonicalQuantity(list?.[resource] ?? '0') ?? '0';
      return `${resource}: ${show(status.used)}/${show(status.hard)}`;
    })
    .join(', ');
}

function validateAmounts(list: ResourceList | undefined, report: Report): void {
  for (const [resource, amount] of Object.entries(list ?? {})) {
    checkQuotaResourceName(resource, report.key(resource));
    checkResourceQuantity(resource, amount, report.key(resource));
  }
}

const scopes = [
  'Terminating',
  'NotTerminating',
  'BestEffort',
  'NotBestEffort',
  'PriorityClass',
  'CrossNamespacePodAffinity',
  'VolumeAttributesClass',
];
const podCompute = ['pods', 'cpu', 'memory', 'requests.cpu', 'requests.memory', 'limits.cpu', 'limits.memory'];
const claimResources = ['persistentvolumeclaims', 'requests.storage'];

/** Each scope restricts pods, or claims, and what else is counted does not go with it. */
function isScopeFor(scope: string, resource: string): boolean {
  if (scope === 'BestEffort') return resource === 'pods';
  if (scope === 'VolumeAttributesClass') return claimResources.includes(resource);
  return [...podCompute, 'ephemeral-storage', 'requests.ephemeral-storage', 'limits.ephemeral-storage'].includes(
    resource,
  );
}

function unfitting(scope: string, spec: ResourceQuotaSpec): number {
  return Object.keys(spec.hard ?? {}).filter(name => isStandardForQuota(name) && !isScopeFor(scope, name)).length;
}

function validateScopes(spec: ResourceQuotaSpec, report: Report): void {
  const given = spec.scopes ?? [];
  for (const scope of given) {
    if (!scopes.includes(scope)) report.invalid(given, 'unsupported scope');
    for (let each = unfitting(scope, spec); each > 0; each--)
      report.invalid(given, 'unsupported scope applied to resource');
  }
  checkConflicts(given, given, report);
}

function checkConflicts(given: readonly string[], shown: unknown, report: Report): void {
  for (const scope of ['BestEffort', 'Terminating'])
    if (given.includes(scope) && given.includes(`Not${scope}`)) report.invalid(shown, 'conflicting scopes');
}

function validateScopeSelector(spec: ResourceQuotaSpec, report: Report): void {
  const requirements = spec.scopeSelector?.matchExpressions ?? [];
  for (const { scopeName, operator, values = [] } of requirements) {
    if (!scopes.includes(scopeName)) report.at('scopeName').invalid(scopeName, 'unsupported scope');
    for (let each = unfitting(scopeName, spec); each > 0; each--)
      report.invalid(goForm(ScopeSelector, spec.scopeSelector), 'unsupported scope applied to resource');
    const needsExists =
      scopes.includes(scopeName) && scopeName !== 'PriorityClass' && scopeName !== 'VolumeAttributesClass';
    if (needsExists && operator !== 'Exists')
      report
        .at('operator')
        .invalid(
          operator,
          "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
        );
    if (operator === 'In' || operator === 'NotIn') {
      if (values.length === 0)
        report
          .at('values')
          .required("must be at least one value when `operator` is 'In' or 'NotIn' for scope selector");
    } else if (operator === 'Exists' || operator === 'DoesNotExist') {
      if (values.length > 0)
        report
          .at('values')
          .invalid(values, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector");
    } else report.at('operator').invalid(operator, 'not a valid selector operator');
  }
  checkConflicts(
    requirements.map(({ scopeName }) => scopeName),
    spec.scopes ?? null,
    report,
  );
}
