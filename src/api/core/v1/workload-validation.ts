import { checkMessages, checkNonNegative, checkOneOf } from '../../machinery/checks.ts';
import { isLabelValue, isPercent, isQualifiedName } from '../../machinery/names.ts';
import { validateLabelSelector } from '../../machinery/object-meta-validation.ts';
import { compileLabelSelector, type Labels } from '../../machinery/selector.ts';
import type { Report } from '../../machinery/validation.ts';
import type { LabelSelector } from '../../meta/v1/label-selector.ts';
import { validatePodTemplate } from './pod-spec-validation.ts';
import type { PodTemplateSpec } from './pod-template-spec.ts';

export interface Workload {
  readonly selector?: LabelSelector | undefined;
  readonly template: PodTemplateSpec;
}

/** The selector itself. `kind` stands in the message for an empty one. `report` stands at the selector. */
export function validateWorkloadSelector(selector: LabelSelector | undefined, kind: string, report: Report): void {
  if (!selector) {
    report.required();
    return;
  }
  validateLabelSelector(selector, report);
  checkNotEmptySelector(selector, kind, report);
}

export function checkNotEmptySelector(selector: LabelSelector, kind: string, report: Report): void {
  if (isEmptySelector(selector)) report.invalid(selector, `empty selector is invalid for ${kind}`);
}

/** Pods that a controller keeps running: its selector must select them and they must restart. `report` stands at the spec. */
export function validateKeptTemplate(workload: Workload, kind: string, report: Report): void {
  const { selector, template } = workload;
  if (!isSoundSelector(selector)) {
    report.at('selector').invalid(selector, 'invalid label selector');
    return;
  }
  checkSelectsTemplate(workload, report);
  validatePodTemplate(template, report.at('template'));
  checkKeptPod(template, kind, report.at('template', 'spec'));
}

/** `report` stands at the spec of the controller. An absent selector selects nothing. */
export function checkSelectsTemplate({ selector, template }: Workload, report: Report): void {
  const labels = template.metadata?.labels;
  if (selector && isEmptySelector(selector)) return;
  if (!compileLabelSelector(selector)(labels ?? {}))
    report.at('template', 'metadata', 'labels').invalid(labels ?? null, '`selector` does not match template `labels`');
}

/** `report` stands at the spec of the template. */
export function checkKeptPod({ spec }: PodTemplateSpec, kind: string, report: Report): void {
  if (spec.restartPolicy !== 'Always') report.at('restartPolicy').notSupported(spec.restartPolicy, ['Always']);
  if (spec.activeDeadlineSeconds !== undefined)
    report.at('activeDeadlineSeconds').forbidden(`activeDeadlineSeconds in ${kind} is not Supported`);
}

/** False for selectors that upstream cannot turn into one it can match with. */
export function isSoundSelector(selector: LabelSelector | undefined): boolean {
  const labels = Object.entries(selector?.matchLabels ?? {});
  return (
    labels.every(([key, value]) => isQualifiedName(key).length === 0 && isLabelValue(value).length === 0) &&
    (selector?.matchExpressions ?? []).every(({ key, operator, values }) => {
      const count = (values ?? []).length;
      const isCounted =
        operator === 'In' || operator === 'NotIn'
          ? count > 0
          : (operator === 'Exists' || operator === 'DoesNotExist') && count === 0;
      const isWritten = (values ?? []).every(value => isLabelValue(value).length === 0);
      return isCounted && isWritten && isQualifiedName(key ?? '').length === 0;
    })
  );
}

export function isEmptySelector({ matchLabels, matchExpressions }: LabelSelector): boolean {
  return Object.keys(matchLabels ?? {}).length + (matchExpressions ?? []).length === 0;
}

/** `maxSurge`, `maxUnavailable`: a number or a percentage. */
export function checkIntOrPercent(value: number | string | undefined, report: Report): void {
  if (typeof value === 'string') checkMessages(isPercent(value), value, report);
  else checkNonNegative(value, report);
}

export function checkAtMostAll(value: number | string | undefined, report: Report): void {
  if (typeof value === 'string' && isPercent(value).length === 0 && Number.parseInt(value, 10) > 100)
    report.invalid(value, 'must not be greater than 100%');
}

/** A percentage counts as its number: only whether it is zero is asked. */
export function amountOf(value: number | string | undefined): number {
  if (typeof value !== 'string') return value ?? 0;
  return Number.parseInt(value, 10) || 0;
}

/** Counts in a status: none negative, and none of `parts` above `replicas`. `report` stands at the status. */
export function validateReplicaCounts(
  status: object,
  counts: readonly string[],
  parts: readonly string[],
  report: Report,
): void {
  const numbers = status as Readonly<Record<string, number | undefined>>;
  for (const name of counts) checkNonNegative(numbers[name], report.at(name));
  for (const name of parts)
    if ((numbers[name] ?? 0) > (numbers['replicas'] ?? 0))
      report.at(name).invalid(numbers[name], 'cannot be greater than status.replicas');
  if (parts.includes('availableReplicas') && (numbers['availableReplicas'] ?? 0) > (numbers['readyReplicas'] ?? 0))
    report.at('availableReplicas').invalid(numbers['availableReplicas'], 'cannot be greater than readyReplicas');
}

export function checkNotDecremented(value: number | undefined, old: number | undefined, report: Report): void {
  if (old !== undefined && (value ?? -1) < old) report.invalid(value ?? 0, 'cannot be decremented');
}

/** Labels that the server completes must be what it would have made them. `report` stands at metadata. */
export function checkHasLabel(labels: Labels | undefined, key: string, value: string, report: Report): void {
  const at = report.at('labels').key(key);
  const actual = labels?.[key];
  if (actual === undefined) at.required(`must be '${value}'`);
  else if (actual !== value) at.invalid(labels, `must be '${value}'`);
}

export function checkPolicy(policy: string | undefined, report: Report): void {
  checkOneOf(policy ?? '', ['Retain', 'Delete'], report);
}
