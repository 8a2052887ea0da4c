import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, map, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { checkMessages } from '../../machinery/checks.ts';
import type { Draft } from '../../machinery/kind.ts';
import { canonicalQuantity, milliValue } from '../../machinery/quantity.ts';
import { isQualifiedName } from '../../machinery/names.ts';
import type { Report } from '../../machinery/validation.ts';
import {
  checkContainerResourceName,
  checkResourceName,
  compareTexts,
  isOvercommitAllowed,
  type ResourceList,
} from './pod-resources.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const LimitRangeItem = object('io.k8s.api.core.v1.LimitRangeItem', {
  default: map(4, types.resourceQuantity),
  defaultRequest: map(5, types.resourceQuantity),
  max: map(2, types.resourceQuantity),
  maxLimitRequestRatio: map(6, types.resourceQuantity),
  min: map(3, types.resourceQuantity),
  type: string(1, { required: true, always: true }),
});
export type LimitRangeItem = TypeOf<typeof LimitRangeItem>;

export const LimitRangeSpec = object('io.k8s.api.core.v1.LimitRangeSpec', {
  limits: list(1, LimitRangeItem, { required: true, always: true, listType: 'atomic' }),
});
export type LimitRangeSpec = TypeOf<typeof LimitRangeSpec>;

export const LimitRange = defineKind({
  group: '',
  version: 'v1',
  kind: 'LimitRange',
  plural: 'limitranges',
  namespaced: true,
  doc: 'Bounds and defaults for what the pods of a namespace ask for.',
  shortNames: ['limits'],
  type: 'io.k8s.api.core.v1.LimitRange',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, LimitRangeSpec, { always: true }),
  },
  metadataChecks: { update: ['new'] },
  createOnUpdate: true,
  hasGeneration: false,
  default({ spec }) {
    for (const limit of spec.limits ?? []) if (limit.type === 'Container') defaultLimits(limit);
  },
  validate({ spec }, report) {
    validateLimits(spec.limits ?? [], report.at('spec', 'limits'));
  },
});
export type LimitRange = ObjectOf<typeof LimitRange>;

function defaultLimits(limit: Draft<LimitRangeItem>): void {
  limit.default = { ...limit.max, ...limit.default };
  limit.defaultRequest = { ...limit.min, ...limit.default, ...limit.defaultRequest };
}

function validateLimits(limits: readonly LimitRangeItem[], report: Report): void {
  const types = new Set<string>();
  for (const [index, limit] of limits.entries()) {
    const at = report.index(index);
    const messages = isQualifiedName(limit.type ?? '');
    checkMessages(messages, limit.type ?? '', at.at('type'));
    const isStandard = ['Pod', 'Container', 'PersistentVolumeClaim'].includes(limit.type);
    if (messages.length === 0 && !limit.type.includes('/') && !isStandard)
      at.at('type').invalid(limit.type, 'must be a standard limit type or fully qualified');
    if (types.has(limit.type)) at.at('type').duplicate(limit.type);
    types.add(limit.type);
    validateLimit(limit, at);
  }
}

function validateLimit(limit: LimitRangeItem, report: Report): void {
  const isPod = limit.type === 'Pod';
  const checkName = isPod || limit.type === 'Container' ? checkContainerResourceName : checkResourceName;
  for (const name of ['max', 'min', 'default', 'defaultRequest', 'maxLimitRequestRatio'] as const) {
    const list = limit[name] ?? {};
    if (isPod && name.startsWith('default')) {
      if (Object.keys(list).length > 0) report.at(name).forbidden("may not be specified when `type` is 'Pod'");
    } else for (const resource of Object.keys(list)) checkName(resource, report.at(name).key(resource));
  }
  const hasStorage = limit.min?.['storage'] !== undefined || limit.max?.['storage'] !== undefined;
  if (limit.type === 'PersistentVolumeClaim' && !hasStorage)
    report.at('limits').required('either minimum or maximum storage value is required, but neither was provided');
  const { max, min, default: defaults, defaultRequest, maxLimitRequestRatio } = limit;
  const resources = new Set(
    [max, min, defaults, defaultRequest, maxLimitRequestRatio].flatMap(list => Object.keys(list ?? {})),
  );
  for (const resource of resources) validateBounds(limit, resource, report);
}

function validateBounds(limit: LimitRangeItem, resource: string, report: Report): void {
  const of = (list: ResourceList | undefined) => (list && Object.hasOwn(list, resource) ? list[resource] : undefined);
  const isPod = limit.type === 'Pod';
  const [min, max, ratio] = [of(limit.min), of(limit.max), of(limit.maxLimitRequestRatio)];
  const value = isPod ? undefined : of(limit.default);
  const request = isPod ? undefined : of(limit.defaultRequest);
  const show = (text: string) => canonicalQuantity(text) ?? text;
  /** The first must not be above the second; both are named in the message. */
  const ordered = (low: Bound, high: Bound, field: string, shown: string | undefined) => {
    if (low.text === undefined || high.text === undefined || compareTexts(low.text, high.text) <= 0) return;
    report
      .at(field)
      .key(resource)
      .invalid(shown, `${low.name} value ${show(low.text)} is greater than ${high.name} value ${show(high.text)}`);
  };
  const bounds = {
    min: { name: 'min', text: min },
    max: { name: 'max', text: max },
    request: { name: 'default request', text: request },
    limit: { name: 'default limit', text: value },
    default: { name: 'default', text: value },
  };
  ordered(bounds.min, bounds.max, 'min', min);
  ordered(bounds.min, bounds.request, 'defaultRequest', request);
  ordered(bounds.request, bounds.max, 'defaultRequest', request);
  ordered(bounds.request, bounds.limit, 'defaultRequest', request);
  ordered(bounds.min, bounds.default, 'default', min);
  ordered(bounds.default, bounds.max, 'default', max);
  if (ratio !== undefined) {
    const at = report.at('maxLimitRequestRatio').key(resource);
    if (compareTexts(ratio, '1') < 0) at.invalid(ratio, `ratio ${show(ratio)} is less than 1`);
    if (min !== undefined && max !== undefined) {
      const most = milliValue(max) / milliValue(min);
      if (milliValue(ratio) / 1000 > most)
        at.invalid(ratio, `ratio ${show(ratio)} is greater than max/min = ${most.toFixed(6)}`);
    }
  }
  if (
    !isOvercommitAllowed(resource) &&
    value !== undefined &&
    request !== undefined &&
    compareTexts(value, request) !== 0
  )
    report
      .at('defaultRequest')
      .key(resource)
      .invalid(
        request,
        `default value ${show(value)} must equal to defaultRequest value ${show(request)} in ${resource}`,
      );
}

interface Bound {
  readonly name: string;
  readonly text: string | undefined;
}
