import {
  checkDnsSubdomain,
  checkLabelValue,
  checkOneOf,
  checkPositive,
  checkQualifiedName,
} from '../../machinery/checks.ts';
import { isDNS1123Label, isLabelValue } from '../../machinery/names.ts';
import { validateLabelSelector } from '../../machinery/object-meta-validation.ts';
import type { Report } from '../../machinery/validation.ts';
import type { LabelSelector } from '../../meta/v1/label-selector.ts';
import type { NodeSelectorRequirement, NodeSelectorTerm } from './node-selector-term.ts';
import type { NodeSelector } from './node-selector.ts';
import type { Affinity, PodAffinity, PodAffinityTerm, TopologySpreadConstraint } from './pod-spec.ts';
import type { Toleration } from './toleration.ts';
import type { TopologySelectorTerm } from './topology-selector-term.ts';

/** `report` stands at `tolerations`. */
export function validateTolerations(tolerations: readonly Toleration[], report: Report): void {
  for (const [index, toleration] of tolerations.entries()) validateToleration(toleration, report.index(index));
}

function validateToleration(toleration: Toleration, report: Report): void {
  const { key = '', operator = '', value = '', effect = '', tolerationSeconds } = toleration;
  if (key !== '') checkQualifiedName(key, report.at('key'));
  else if (operator !== 'Exists')
    report
      .at('operator')
      .invalid(operator, 'operator must be Exists when `key` is empty, which means "match all values and all keys"');
  if (tolerationSeconds !== undefined && effect !== 'NoExecute')
    report.at('effect').invalid(effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
  if (operator === '' || operator === 'Equal') {
    const messages = isLabelValue(value);
    if (messages.length > 0) report.at('operator').invalid(value, messages.join(';'));
  } else if (operator === 'Exists') {
    if (value !== '') report.at('operator').invalid(value, "value must be empty when `operator` is 'Exists'");
  } else {
    // KEP-5471 is off by default, and named all the same.
    const comparisons = operator === 'Lt' || operator === 'Gt' ? ['Lt', 'Gt'] : [];
    report.at('operator').notSupported(operator, ['Equal', 'Exists', ...comparisons]);
  }
  if (effect !== '') checkTaintEffect(effect, report.at('effect'));
}

export function checkTaintEffect(effect: string | undefined, report: Report): void {
  if (!effect) report.required();
  else checkOneOf(effect, ['NoSchedule', 'PreferNoSchedule', 'NoExecute'], report);
}

/** `report` stands at `affinity`. */
export function validateAffinity(affinity: Affinity | undefined, report: Report): void {
  const { nodeAffinity, podAffinity, podAntiAffinity } = affinity ?? {};
  if (nodeAffinity) {
    const { requiredDuringSchedulingIgnoredDuringExecution: required } = nodeAffinity;
    const at = report.at('nodeAffinity');
    if (required) validateNodeSelector(required, at.at('requiredDuringSchedulingIgnoredDuringExecution'));
    const preferred = nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    for (const [index, { weight, preference }] of preferred.entries()) {
      const term = at.at('preferredDuringSchedulingIgnoredDuringExecution').index(index);
      checkWeight(weight, term.at('weight'));
      validateNodeSelectorTerm(preference ?? {}, term.at('preference'), { checkValues: false });
    }
  }
  if (podAffinity) validatePodAffinity(podAffinity, report.at('podAffinity'));
  if (podAntiAffinity) validatePodAffinity(podAntiAffinity, report.at('podAntiAffinity'));
}

export function validateNodeSelector(selector: NodeSelector, report: Report): void {
  const terms = selector.nodeSelectorTerms ?? [];
  if (terms.length === 0) report.at('nodeSelectorTerms').required('must have at least one node selector term');
  for (const [index, term] of terms.entries())
    validateNodeSelectorTerm(term, report.at('nodeSelectorTerms').index(index));
}

function validateNodeSelectorTerm(term: NodeSelectorTerm, report: Report, { checkValues = true } = {}): void {
  for (const [index, requirement] of (term.matchExpressions ?? []).entries())
    validateNodeLabelRequirement(requirement, report.at('matchExpressions').index(index), checkValues);
  for (const [index, requirement] of (term.matchFields ?? []).entries())
    validateNodeFieldRequirement(requirement, report.at('matchFields').index(index));
}

function validateNodeLabelRequirement(
  { key = '', operator, values = [] }: NodeSelectorRequirement,
  report: Report,
  checkValues: boolean,
): void {
  const at = report.at('values');
  if (operator === 'In' || operator === 'NotIn') {
    if (values.length === 0) at.required("must be specified when `operator` is 'In' or 'NotIn'");
  } else if (operator === 'Exists' || operator === 'DoesNotExist') {
    if (values.length > 0) at.forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
  } else if (operator === 'Gt' || operator === 'Lt') {
    if (values.length !== 1) at.required("must be specified single value when `operator` is 'Lt' or 'Gt'");
  } else report.at('operator').invalid(operator ?? '', 'not a valid selector operator');
  checkQualifiedName(key, report.at('key'));
  if (checkValues) for (const [index, value] of values.entries()) checkLabelValue(value, at.index(index));
}

function validateNodeFieldRequirement({ key, operator, values = [] }: NodeSelectorRequirement, report: Report): void {
  if (operator === 'In' || operator === 'NotIn') {
    if (values.length !== 1)
      report.at('values').required("must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
  } else report.at('operator').invalid(operator ?? '', 'not a valid selector operator');
  if (key !== 'metadata.name') report.at('key').invalid(key ?? '', 'not a valid field selector key');
  else for (const [index, value] of values.entries()) checkDnsSubdomain(value, report.at('values').index(index));
}

function validatePodAffinity(affinity: PodAffinity, report: Report): void {
  const required = affinity.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  for (const [index, term] of required.entries())
    validatePodAffinityTerm(term, report.at('requiredDuringSchedulingIgnoredDuringExecution').index(index));
  const preferred = affinity.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  for (const [index, { weight, podAffinityTerm }] of preferred.entries()) {
    const at = report.at('preferredDuringSchedulingIgnoredDuringExecution').index(index);
    checkWeight(weight, at.at('weight'));
    validatePodAffinityTerm(podAffinityTerm ?? { topologyKey: '' }, at.at('podAffinityTerm'));
  }
}

function checkWeight(weight: number | undefined, report: Report): void {
  if (weight === undefined || weight <= 0 || weight > 100) report.invalid(weight ?? 0, 'must be in the range 1-100');
}

function validatePodAffinityTerm(term: PodAffinityTerm, report: Report): void {
  validateLabelSelector(term.labelSelector, report.at('labelSelector'));
  validateLabelSelector(term.namespaceSelector, report.at('namespaceSelector'));
  for (const namespace of term.namespaces ?? [])
    for (const message of isDNS1123Label(namespace)) report.at('namespace').invalid(namespace, message);
  validateMatchLabelKeys(term.matchLabelKeys ?? [], term.mismatchLabelKeys ?? [], term.labelSelector, report);
  if (!term.topologyKey) report.at('topologyKey').required('can not be empty');
  checkQualifiedName(term.topologyKey ?? '', report.at('topologyKey'));
}

/** The server merges these keys into the selector, so one of them in `matchLabels` too is not wrong. */
function validateMatchLabelKeys(
  keys: readonly string[],
  mismatched: readonly string[],
  selector: LabelSelector | undefined,
  report: Report,
): void {
  for (const [name, list] of [
    ['matchLabelKeys', keys],
    ['mismatchLabelKeys', mismatched],
  ] as const) {
    if (list.length === 0) continue;
    if (!selector) report.at(name).forbidden('must not be specified when labelSelector is not set');
    else for (const [index, key] of list.entries()) checkQualifiedName(key, report.at(name).index(index));
  }
  const selected = new Set(Object.keys(selector?.matchLabels ?? {}));
  for (const { key } of selector?.matchExpressions ?? []) {
    if (keys.includes(key) && selected.has(key))
      report.index(keys.lastIndexOf(key)).invalid(key, 'exists in both matchLabelKeys and labelSelector');
    selected.add(key);
  }
  for (const [index, key] of keys.entries())
    if (mismatched.includes(key))
      report.at('matchLabelKeys').index(index).invalid(key, 'exists in both matchLabelKeys and mismatchLabelKeys');
}

/** `report` stands at `topologySpreadConstraints`. */
export function validateTopologySpread(constraints: readonly TopologySpreadConstraint[], report: Report): void {
  for (const [index, constraint] of constraints.entries()) {
    const at = report.index(index);
    const { maxSkew, topologyKey, whenUnsatisfiable, minDomains } = constraint;
    checkPositive(maxSkew ?? 0, at.at('maxSkew'));
    if (!topologyKey) at.at('topologyKey').required('can not be empty');
    checkOneOf(whenUnsatisfiable ?? '', ['DoNotSchedule', 'ScheduleAnyway'], at.at('whenUnsatisfiable'));
    const isRepeated = constraints
      .slice(index + 1)
      .some(other => other.topologyKey === topologyKey && other.whenUnsatisfiable === whenUnsatisfiable);
    if (isRepeated) at.at('{topologyKey, whenUnsatisfiable}').duplicate(`{${topologyKey}, ${whenUnsatisfiable}}`);
    if (minDomains !== undefined) {
      checkPositive(minDomains, at.at('minDomains'));
      if (whenUnsatisfiable !== 'DoNotSchedule')
        at.at('minDomains').invalid(
          minDomains,
          `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${whenUnsatisfiable}`,
        );
    }
    for (const name of ['nodeAffinityPolicy', 'nodeTaintsPolicy'] as const) {
      const policy = constraint[name];
      if (policy !== undefined) checkOneOf(policy, ['Honor', 'Ignore'], at.at(name));
    }
    validateMatchLabelKeys(constraint.matchLabelKeys ?? [], [], constraint.labelSelector, at);
    validateLabelSelector(constraint.labelSelector, at.at('labelSelector'));
  }
}

/** `report` stands at `allowedTopologies`. */
export function validateTopologySelectorTerm(term: TopologySelectorTerm, report: Report): void {
  const keys = new Set<string>();
  for (const [index, requirement] of (term.matchLabelExpressions ?? []).entries()) {
    const key = requirement.key ?? '';
    const values = requirement.values ?? [];
    const at = report.at('matchLabelExpressions').index(index);
    if (values.length === 0) at.at('values').required();
    const seen = new Set<string>();
    for (const [position, value] of values.entries()) {
      if (seen.has(value)) at.at('values').index(position).duplicate(value);
      seen.add(value);
    }
    checkQualifiedName(key, at.at('key'));
    if (keys.has(key)) at.at('key').duplicate(key);
    keys.add(key);
  }
}
