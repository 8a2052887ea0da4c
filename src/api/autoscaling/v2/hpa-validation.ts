import { checkDnsLabel, checkMessages, checkNonNegative, checkOneOf } from '../../machinery/checks.ts';
import { isPathSegmentName } from '../../machinery/names.ts';
import { checkContainerResourceName, compareTexts } from '../../core/v1/pod-resources.ts';
import type { Report } from '../../machinery/validation.ts';
import type {
  CrossVersionObjectReference,
  HorizontalPodAutoscalerSpec,
  HPAScalingRules,
  MetricIdentifier,
  MetricSpec,
  MetricTarget,
} from './horizontal-pod-autoscaler.ts';

/** `report` stands at the spec. What was accepted of `old` is accepted again. */
export function validateAutoscalerSpec(
  spec: HorizontalPodAutoscalerSpec,
  report: Report,
  old?: HorizontalPodAutoscalerSpec,
): void {
  const { minReplicas, maxReplicas, scaleTargetRef, metrics = [], behavior } = spec;
  const minLowest = old?.minReplicas === 0 ? 0 : 1;
  if (minReplicas !== undefined && minReplicas < minLowest)
    report.at('minReplicas').invalid(minReplicas, `must be greater than or equal to ${minLowest}`);
  if (!maxReplicas) report.at('maxReplicas').required('must be set and greater than 0');
  else if (maxReplicas < 0) report.at('maxReplicas').invalid(maxReplicas, 'must be greater than or equal to 1');
  if (minReplicas !== undefined && maxReplicas < minReplicas)
    report.at('maxReplicas').invalid(maxReplicas, 'must be greater than or equal to `minReplicas`');
  validateReference(scaleTargetRef, report.at('scaleTargetRef'));
  validateApiVersion(scaleTargetRef, report.at('scaleTargetRef'), old?.scaleTargetRef);
  for (const [index, metric] of metrics.entries()) validateMetric(metric, report.at('metrics').index(index));
  if (minReplicas === 0 && !metrics.some(({ type }) => type === 'Object' || type === 'External'))
    report
      .at('metrics')
      .forbidden('must specify at least one Object or External metric to support scaling to zero replicas');
  for (const name of ['scaleUp', 'scaleDown'] as const) {
    const rules = behavior?.[name];
    if (rules) validateRules(rules, report.at('behavior', name));
  }
}

function validateReference(reference: CrossVersionObjectReference, report: Report): void {
  for (const name of ['kind', 'name'] as const) {
    const value = reference[name];
    if (!value) report.at(name).required();
    else checkMessages(isPathSegmentName(value), value, report.at(name));
  }
}

/** Only one kind of the group without a name can be scaled. */
function validateApiVersion(
  { apiVersion = '', kind }: CrossVersionObjectReference,
  report: Report,
  old: CrossVersionObjectReference | undefined,
): void {
  if (old && old.kind === kind && (old.apiVersion ?? '') === apiVersion) return;
  validateGroupVersion(apiVersion, report);
  if (!apiVersion.includes('/') && kind !== 'ReplicationController')
    report.at('apiVersion').invalid(apiVersion, 'apiVersion must specify API group');
}

function validateGroupVersion(apiVersion: string, report: Report): void {
  if (apiVersion.split('/').length > 2)
    report.at('apiVersion').invalid(apiVersion, `unexpected GroupVersion string: ${apiVersion}`);
}

/** In the order in which upstream looks for them. */
const sources = {
  Object: 'object',
  External: 'external',
  Pods: 'pods',
  Resource: 'resource',
  ContainerResource: 'containerResource',
} as const;
const sourceTypes = Object.keys(sources).sort();

/** The first source that is there is judged, whatever the type says; several are too many, but for the one of the type. */
function validateMetric(metric: MetricSpec, report: Report): void {
  const type = metric.type ?? '';
  const isKnown = Object.hasOwn(sources, type);
  if (type === '') report.at('type').required('must specify a metric source type');
  if (!isKnown) report.at('type').notSupported(type, sourceTypes);
  const present = Object.values(sources).filter(name => metric[name] !== undefined);
  const [first] = present;
  if (first) validateSource(metric, first, report.at(first));
  const wanted = isKnown ? sources[type as keyof typeof sources] : undefined;
  if (!wanted) report.at('type').notSupported(type, sourceTypes);
  else if (metric[wanted] === undefined)
    report.at(wanted).required('must populate information for the given metric source');
  if (present.length < 2) return;
  for (const name of present)
    if (name !== wanted) report.at(name).forbidden('must populate the given metric source only');
}

function validateSource(metric: MetricSpec, name: (typeof sources)[keyof typeof sources], report: Report): void {
  const target = metric[name]?.target;
  if (!target) return;
  const at = report.at('target');
  switch (name) {
    case 'object':
      if (metric.object) {
        validateReference(metric.object.describedObject, report.at('describedObject'));
        validateGroupVersion(metric.object.describedObject.apiVersion ?? '', report.at('describedObject'));
        validateIdentifier(metric.object.metric, report.at('metric'));
      }
      validateTarget(target, at);
      if (target.value === undefined && target.averageValue === undefined)
        at.at('averageValue').required('must set either a target value or averageValue');
      return;
    case 'external':
      if (metric.external) validateIdentifier(metric.external.metric, report.at('metric'));
      validateTarget(target, at);
      if (target.value === undefined && target.averageValue === undefined)
        at.at('averageValue').required('must set either a target value for metric or a per-pod target');
      if (target.value !== undefined && target.averageValue !== undefined)
        at.at('value').forbidden('may not set both a target value for metric and a per-pod target');
      return;
    case 'pods':
      if (metric.pods) validateIdentifier(metric.pods.metric, report.at('metric'));
      validateTarget(target, at);
      if (target.averageValue === undefined)
        at.at('averageValue').required('must specify a positive target averageValue');
      return;
    default:
      validateResource(metric, name, report);
      validateTarget(target, at);
      if (target.averageUtilization === undefined && target.averageValue === undefined)
        at.at('averageUtilization').required('must set either a target raw value or a target utilization');
      if (target.averageUtilization !== undefined && target.averageValue !== undefined)
        at.at('averageValue').forbidden('may not set both a target raw value and a target utilization');
  }
}

function validateResource(metric: MetricSpec, name: 'resource' | 'containerResource', report: Report): void {
  const resource = metric[name]?.name;
  if (!resource) report.at('name').required('must specify a resource name');
  if (name === 'resource') return;
  if (resource) checkContainerResourceName(resource, report.at('name'));
  const container = metric.containerResource?.container;
  if (!container) report.at('container').required('must specify a container');
  else checkDnsLabel(container, report.at('container'));
}

function validateTarget(target: MetricTarget, report: Report): void {
  const { type, value, averageValue, averageUtilization } = target;
  if (!type) report.at('type').required('must specify a metric target type');
  if (!['Utilization', 'Value', 'AverageValue'].includes(type))
    report.at('type').invalid(type, 'must be either Utilization, Value, or AverageValue');
  if (value !== undefined && compareTexts(value, '0') <= 0) report.at('value').invalid(value, 'must be positive');
  if (averageValue !== undefined && compareTexts(averageValue, '0') <= 0)
    report.at('averageValue').invalid(averageValue, 'must be positive');
  if (averageUtilization !== undefined && averageUtilization < 1)
    report.at('averageUtilization').invalid(averageUtilization, 'must be greater than 0');
}

function validateIdentifier({ name }: MetricIdentifier, report: Report): void {
  if (!name) report.at('name').required('must specify a metric name');
  else checkMessages(isPathSegmentName(name), name, report.at('name'));
}

const windowSecondsMax = 3600;
const periodSecondsMax = 1800;

function validateRules(rules: HPAScalingRules, report: Report): void {
  const { stabilizationWindowSeconds: window, selectPolicy, policies = [], tolerance } = rules;
  const at = report.at('stabilizationWindowSeconds');
  if (window !== undefined && window < 0) at.invalid(window, 'must be greater than or equal to zero');
  if (window !== undefined && window > windowSecondsMax)
    at.invalid(window, `must be less than or equal to ${windowSecondsMax}`);
  if (selectPolicy !== undefined) checkOneOf(selectPolicy, ['Disabled', 'Max', 'Min'], report.at('selectPolicy'));
  if (policies.length === 0) report.at('policies').required('must specify at least one Policy');
  for (const [index, { type, value, periodSeconds }] of policies.entries()) {
    const policy = report.at('policies').index(index);
    checkOneOf(type ?? '', ['Percent', 'Pods'], policy.at('type'));
    if (value <= 0) policy.at('value').invalid(value, 'must be greater than zero');
    if (periodSeconds <= 0) policy.at('periodSeconds').invalid(periodSeconds, 'must be greater than zero');
    if (periodSeconds > periodSecondsMax)
      policy.at('periodSeconds').invalid(periodSeconds, `must be less than or equal to ${periodSecondsMax}`);
  }
  if (tolerance !== undefined && compareTexts(tolerance, '0') < 0)
    report.at('tolerance').invalid(tolerance, 'must be greater than or equal to 0');
}

/** Counts in a status. `report` stands at the status. */
export function validateAutoscalerCounts(
  {
    currentReplicas,
    desiredReplicas,
  }: { readonly currentReplicas?: number | undefined; readonly desiredReplicas?: number | undefined },
  report: Report,
): void {
  checkNonNegative(currentReplicas, report.at('currentReplicas'));
  checkNonNegative(desiredReplicas, report.at('desiredReplicas'));
}
