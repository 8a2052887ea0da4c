import {
  checkDomainPath,
  checkImmutable,
  checkNonNegative,
  checkOneOf,
  checkQualifiedName,
  checkRequiredOneOf,
  sameValue,
} from '../../machinery/checks.ts';
import type { WithSpec } from '../../machinery/kind.ts';
import { byteLength, isDNS1123Label } from '../../machinery/names.ts';
import { validateLabelSelector } from '../../machinery/object-meta-validation.ts';
import { labelSelectorMatches } from '../../machinery/selector.ts';
import type { Report } from '../../machinery/validation.ts';
import { validatePodTemplate } from '../../core/v1/pod-spec-validation.ts';
import type { PodTemplateSpec } from '../../core/v1/pod-template-spec.ts';
import { checkHasLabel, isSoundSelector } from '../../core/v1/workload-validation.ts';
import type {
  JobSpec,
  PodFailurePolicyOnExitCodesRequirement,
  PodFailurePolicyOnPodConditionsPattern,
  PodFailurePolicyRule,
  SuccessPolicy,
} from './job-spec.ts';
import type { JobStatus } from './job.ts';

type JobLike = WithSpec<JobSpec, JobStatus>;

export const controllerUidLabel = 'batch.kubernetes.io/controller-uid';
export const jobNameLabel = 'batch.kubernetes.io/job-name';
export const legacyControllerUidLabel = 'controller-uid';
export const legacyJobNameLabel = 'job-name';

export function validateJob(job: JobLike, report: Report): void {
  const { metadata, spec } = job;
  const at = report.at('spec');
  if (!spec.manualSelector) validateGeneratedSelector(job, report);
  validateSelectingSpec(spec, at);
  if (spec.completionMode !== 'Indexed' || !spec.completions) return;
  // The host name of the last pod: names grow with the index.
  const name = metadata.name ?? '';
  const last = `${name}-${spec.completions - 1}`;
  if (isDNS1123Label(last).length > 0)
    report.at('metadata', 'name').invalid(name, `will not able to create pod with invalid DNS label: ${last}`);
}

/** With the selector, that the jobs of a CronJob have not yet. */
function validateSelectingSpec(spec: JobSpec, report: Report): void {
  validateJobSpec(spec, report);
  validateLabelSelector(spec.selector, report.at('selector'));
  if (!spec.selector) report.at('selector').required();
  if (isSoundSelector(spec.selector) && !labelSelectorMatches(spec.selector, spec.template.metadata?.labels ?? {}))
    report
      .at('template', 'metadata', 'labels')
      .invalid(spec.template.metadata?.labels ?? null, '`selector` does not match template `labels`');
}

/** Also of the template of a CronJob. `report` stands at the spec. */
export function validateJobSpec(spec: JobSpec, report: Report): void {
  for (const name of [
    'parallelism',
    'completions',
    'activeDeadlineSeconds',
    'backoffLimit',
    'ttlSecondsAfterFinished',
    'backoffLimitPerIndex',
    'maxFailedIndexes',
  ] as const)
    checkNonNegative(spec[name], report.at(name));
  if (spec.maxFailedIndexes !== undefined && spec.backoffLimitPerIndex === undefined)
    report.at('backoffLimitPerIndex').required('when maxFailedIndexes is specified');
  if (spec.managedBy !== undefined) checkManagedBy(spec.managedBy, report.at('managedBy'));
  if (spec.completionMode !== undefined)
    checkOneOf(spec.completionMode, ['NonIndexed', 'Indexed'], report.at('completionMode'));
  if (spec.completionMode === 'Indexed') validateIndexed(spec, report);
  else if (spec.completionMode === undefined || spec.completionMode === 'NonIndexed')
    for (const name of ['backoffLimitPerIndex', 'maxFailedIndexes'] as const)
      if (spec[name] !== undefined) report.at(name).invalid(spec[name], 'requires indexed completion mode');
  validatePolicies(spec, report);
  validatePodTemplate(spec.template, report.at('template'));
  const policy = spec.template.spec.restartPolicy;
  const at = report.at('template', 'spec', 'restartPolicy');
  if (policy === 'Always') at.required('valid values: "OnFailure", "Never"');
  else if (policy !== 'OnFailure' && policy !== 'Never') at.notSupported(policy, ['OnFailure', 'Never']);
  else if (spec.podFailurePolicy && policy !== 'Never')
    at.invalid(policy, 'only "Never" is supported when podFailurePolicy is specified');
}

export function validateJobUpdate(job: JobLike, old: JobLike, report: Report): void {
  const at = report.at('spec');
  const { spec } = job;
  // Upstream looks at it once more.
  validateSelectingSpec(spec, at);
  validateCompletionsUpdate(spec, old.spec, at.at('completions'));
  checkImmutable(spec.selector, old.spec.selector, at.at('selector'));
  const isHeld = old.spec.suspend === true && old.status.startTime === undefined;
  const template = isHeld ? withScheduling(old.spec.template, spec.template) : old.spec.template;
  checkImmutable(spec.template, template, at.at('template'));
  for (const name of [
    'completionMode',
    'podFailurePolicy',
    'backoffLimitPerIndex',
    'managedBy',
    'successPolicy',
  ] as const)
    checkImmutable(spec[name], old.spec[name], at.at(name));
}

/** The server makes selector and labels; what a user wrote there must be the same. */
function validateGeneratedSelector({ metadata, spec }: JobLike, report: Report): void {
  if (!spec.selector) return;
  const { uid = '', name = '' } = metadata;
  if (uid === '') report.at('metadata', 'uid').required();
  const at = report.at('spec', 'template', 'metadata');
  const labels = spec.template.metadata?.labels;
  const generated = {
    [legacyControllerUidLabel]: uid,
    [legacyJobNameLabel]: name,
    [controllerUidLabel]: uid,
    [jobNameLabel]: name,
  };
  for (const [key, value] of Object.entries(generated)) checkHasLabel(labels, key, value, at);
  if (isSoundSelector(spec.selector) && !labelSelectorMatches(spec.selector, generated))
    report.at('spec', 'selector').invalid(spec.selector, '`selector` not auto-generated');
}

function checkManagedBy(managedBy: string, report: Report): void {
  checkDomainPath(managedBy, report);
  if (byteLength(managedBy) > 63) report.tooLong(63);
}

const indexesMax = 100_000;
const indexesMaxWithLimitPerIndex = 10_000;

function validateIndexed(spec: JobSpec, report: Report): void {
  const { completions, parallelism, maxFailedIndexes } = spec;
  if (completions === undefined) report.at('completions').required('when completion mode is Indexed');
  if (parallelism !== undefined && parallelism > indexesMax)
    report
      .at('parallelism')
      .invalid(parallelism, `must be less than or equal to ${indexesMax} when completion mode is Indexed`);
  if (maxFailedIndexes !== undefined) {
    const at = report.at('maxFailedIndexes');
    if (completions !== undefined && maxFailedIndexes > completions)
      at.invalid(maxFailedIndexes, 'must be less than or equal to completions');
    if (maxFailedIndexes > indexesMax) at.invalid(maxFailedIndexes, `must be less than or equal to ${indexesMax}`);
  }
  if (spec.backoffLimitPerIndex === undefined || completions === undefined || completions <= indexesMax) return;
  const why = `must be less than or equal to ${indexesMaxWithLimitPerIndex} when completions are above ${indexesMax} and used with backoff limit per index`;
  if (maxFailedIndexes === undefined)
    report.at('maxFailedIndexes').required(`must be specified when completions is above ${indexesMax}`);
  else if (maxFailedIndexes > indexesMaxWithLimitPerIndex) report.at('maxFailedIndexes').invalid(maxFailedIndexes, why);
  if (parallelism !== undefined && parallelism > indexesMaxWithLimitPerIndex)
    report.at('parallelism').invalid(parallelism, why);
}

function validatePolicies(spec: JobSpec, report: Report): void {
  const { podFailurePolicy, successPolicy, podReplacementPolicy } = spec;
  if (podFailurePolicy) {
    const rules = podFailurePolicy.rules ?? [];
    const at = report.at('podFailurePolicy', 'rules');
    if (rules.length > 20) at.tooMany(rules.length, 20);
    for (const [index, rule] of rules.entries()) validateFailureRule(rule, spec, at.index(index));
  }
  if (successPolicy) {
    if (spec.completionMode !== 'Indexed')
      report.at('successPolicy').invalid(successPolicy, 'requires indexed completion mode');
    else validateSuccessPolicy(successPolicy, spec, report.at('successPolicy', 'rules'));
  }
  if (podReplacementPolicy !== undefined)
    checkOneOf(
      podReplacementPolicy,
      podFailurePolicy ? ['Failed'] : ['Failed', 'TerminatingOrFailed'],
      report.at('podReplacementPolicy'),
    );
}

function validateFailureRule(rule: PodFailurePolicyRule, spec: JobSpec, report: Report): void {
  const actions = ['Count', 'FailIndex', 'FailJob', 'Ignore'];
  if (!rule.action) report.at('action').required(`valid values: ["Count" "FailIndex" "FailJob" "Ignore"]`);
  else if (rule.action === 'FailIndex' && spec.backoffLimitPerIndex === undefined)
    report.at('action').invalid(rule.action, 'requires the backoffLimitPerIndex to be set');
  else checkOneOf(rule.action, actions, report.at('action'));
  const conditions = rule.onPodConditions ?? [];
  if (rule.onExitCodes) validateExitCodes(rule.onExitCodes, spec, report.at('onExitCodes'));
  if (conditions.length > 20) report.at('onPodConditions').tooMany(conditions.length, 20);
  for (const [index, condition] of conditions.entries())
    validateConditionPattern(condition, report.at('onPodConditions').index(index));
  if (rule.onExitCodes && conditions.length > 0)
    report.invalid(rule, 'specifying both OnExitCodes and OnPodConditions is not supported');
  if (!rule.onExitCodes && conditions.length === 0)
    report.invalid(rule, 'specifying one of OnExitCodes and OnPodConditions is required');
}

function validateExitCodes(codes: PodFailurePolicyOnExitCodesRequirement, spec: JobSpec, report: Report): void {
  checkRequiredOneOf(codes.operator, ['In', 'NotIn'], report.at('operator'));
  const { containerName } = codes;
  const { containers, initContainers } = spec.template.spec;
  const names = [...(containers ?? []), ...(initContainers ?? [])].map(container => container.name);
  if (containerName !== undefined && !names.includes(containerName))
    report
      .at('containerName')
      .invalid(containerName, 'must be one of the container or initContainer names in the pod template');
  const values = codes.values ?? [];
  const at = report.at('values');
  if (values.length === 0) at.invalid(values, 'at least one value is required');
  else if (values.length > 255) at.tooMany(values.length, 255);
  for (const [index, value] of values.entries()) {
    if (codes.operator === 'In' && value === 0) at.index(index).invalid(value, 'must not be 0 for the In operator');
    if (values.indexOf(value) < index) at.index(index).duplicate(value);
  }
  if (values.some((value, index) => index > 0 && (values[index - 1] as number) > value))
    at.invalid(values, 'must be ordered');
}

function validateConditionPattern(pattern: PodFailurePolicyOnPodConditionsPattern, report: Report): void {
  checkQualifiedName(pattern.type ?? '', report.at('type'));
  checkRequiredOneOf(pattern.status, ['False', 'True', 'Unknown'], report.at('status'));
}

function validateSuccessPolicy(policy: SuccessPolicy, spec: JobSpec, report: Report): void {
  const rules = policy.rules ?? [];
  if (rules.length === 0) report.required('at least one rules must be specified when the successPolicy is specified');
  if (rules.length > 20) report.tooMany(rules.length, 20);
  for (const [index, { succeededCount, succeededIndexes }] of rules.entries()) {
    const at = report.index(index);
    if (succeededCount === undefined && succeededIndexes === undefined)
      at.required('at least one of succeededCount or succeededIndexes must be specified');
    const total = succeededIndexes === undefined ? undefined : countIndexes(succeededIndexes, spec.completions ?? 0);
    if (typeof total === 'string')
      at.at('succeededIndexes').invalid(succeededIndexes, `error parsing succeededIndexes: ${total}`);
    if (succeededCount === undefined) continue;
    const count = at.at('succeededCount');
    checkNonNegative(succeededCount, count);
    if (spec.completions !== undefined && succeededCount > spec.completions)
      count.invalid(
        succeededCount,
        `must be less than or equal to ${spec.completions} (the number of specified completions)`,
      );
    if (typeof total === 'number' && succeededCount > total)
      count.invalid(
        succeededCount,
        `must be less than or equal to ${total} (the number of indexes in the specified succeededIndexes field)`,
      );
  }
}

/** How many indexes `1,3-5` names, or what is wrong with it. */
function countIndexes(text: string, completions: number): number | string {
  const intervals = indexIntervals(text, completions);
  if (typeof intervals === 'string') return intervals;
  return intervals.reduce((total, [first, last]) => total + last - first + 1, 0);
}

/** `1,3-5` as pairs of the first and the last index, or what is wrong with it. */
export function indexIntervals(text: string, completions: number): readonly (readonly [number, number])[] | string {
  if (text === '') return [];
  const intervals: [number, number][] = [];
  let last = -1;
  for (const part of text.split(',')) {
    const limits = part.split('-');
    if (limits.length > 2)
      return `the fragment ${JSON.stringify(part)} violates the requirement that an index interval can have at most two parts separated by '-'`;
    for (const limit of limits) {
      if (!/^\+?\d+$/.test(limit)) return `cannot convert string to integer for index: ${JSON.stringify(limit)}`;
      if (Number(limit) >= completions) return `too large index: ${JSON.stringify(limit)}`;
    }
    const [from = 0, to = from] = limits.map(Number);
    if (limits.length > 1 && from >= to) return `non-increasing order, previous: ${from}, current: ${to}`;
    if (from <= last) return `non-increasing order, previous: ${last}, current: ${from}`;
    intervals.push([from, to]);
    last = to;
  }
  return intervals;
}

/** An indexed job may grow and shrink together with its parallelism. */
function validateCompletionsUpdate(spec: JobSpec, old: JobSpec, report: Report): void {
  if (spec.completions === old.completions) return;
  if (spec.completionMode !== 'Indexed') checkImmutable(spec.completions, old.completions, report);
  else if (spec.completions === undefined || spec.completions !== spec.parallelism)
    report.invalid(spec.completions, 'can only be modified in tandem with spec.parallelism');
}

/** A suspended job that never ran may still be told where to run. */
function withScheduling(old: PodTemplateSpec, template: PodTemplateSpec): PodTemplateSpec {
  const affinity = { ...old.spec.affinity, nodeAffinity: template.spec.affinity?.nodeAffinity };
  return {
    ...old,
    metadata: { ...old.metadata, labels: template.metadata?.labels, annotations: template.metadata?.annotations },
    spec: {
      ...old.spec,
      affinity: sameValue(affinity, {}) ? undefined : affinity,
      nodeSelector: template.spec.nodeSelector,
      tolerations: template.spec.tolerations,
      schedulingGates: template.spec.schedulingGates,
    },
  };
}
