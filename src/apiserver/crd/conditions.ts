import { deepEqual } from '#base/deep-equal.ts';
import type {
  CustomResourceDefinition,
  CustomResourceDefinitionCondition,
  CustomResourceDefinitionNames,
  CustomResourceDefinitionStatus,
} from '#api/apiextensions/v1/custom-resource-definition.ts';
import { caBundleProblem } from '#api/apiextensions/v1/ca-bundle.ts';
import { formatTime } from '#api/machinery/time.ts';

export type ConditionType = 'NamesAccepted' | 'Established' | 'Terminating' | 'KubernetesAPIApprovalPolicyConformant';

interface Condition {
  readonly type: ConditionType;
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
}

export function isTrue({ status }: CustomResourceDefinition, type: ConditionType): boolean {
  return (status.conditions ?? []).some(each => each.type === type && each.status === 'True');
}

type Taken = Pick<CustomResourceDefinitionNames, 'plural' | 'singular' | 'shortNames' | 'kind' | 'listKind'>;

/** The names that a definition may have, and its conditions. `others` have their names already, in the same group. */
export function observedStatus(
  definition: CustomResourceDefinition,
  others: readonly Taken[],
  nowMs: number,
): CustomResourceDefinitionStatus {
  const { accepted, condition } = acceptedNames(definition, others);
  const conditions = [
    condition,
    establishment(definition, condition.status === 'True'),
    ...approval(definition),
  ].reduce((known, each) => withCondition(known, each, nowMs), definition.status.conditions ?? []);
  return { ...definition.status, acceptedNames: accepted, conditions };
}

/** The conditions with one put in its place. Its time is that of the last change of its status. */
export function withCondition(
  conditions: readonly CustomResourceDefinitionCondition[],
  condition: Condition | undefined,
  nowMs: number,
): readonly CustomResourceDefinitionCondition[] {
  if (!condition) return conditions;
  const old = conditions.find(({ type }) => type === condition.type);
  const lastTransitionTime = old?.status === condition.status ? old.lastTransitionTime : formatTime(nowMs);
  const next = { ...condition, ...(lastTransitionTime !== undefined && { lastTransitionTime }) };
  return old ? conditions.map(each => (each === old ? { ...old, ...next } : each)) : [...conditions, next];
}

export function terminating(status: 'True' | 'False', reason: string, message: string): Condition {
  return { type: 'Terminating', status, reason, message };
}

/** Once established it stays so, whatever its names become. */
function establishment(definition: CustomResourceDefinition, namesAccepted: boolean): Condition | undefined {
  const old = definition.status.conditions?.find(({ type }) => type === 'Established');
  if (old?.status === 'True') return undefined;
  if (namesAccepted && caBundleProblem(definition.spec.conversion.webhook?.clientConfig?.caBundle) !== undefined)
    return {
      type: 'Established',
      status: 'False',
      reason: 'InvalidCABundle',
      message: 'The conversion webhook CABundle is invalid',
    };
  if (namesAccepted)
    return {
      type: 'Established',
      status: 'True',
      reason: 'InitialNamesAccepted',
      message: 'the initial names have been accepted',
    };
  return old
    ? undefined
    : { type: 'Established', status: 'False', reason: 'NotAccepted', message: 'not all names are accepted' };
}

type Names = { -readonly [Name in keyof CustomResourceDefinitionNames]: CustomResourceDefinitionNames[Name] };

/** Each name is accepted unless another definition of the group has it; one that was accepted before stays until then. */
function acceptedNames(definition: CustomResourceDefinition, others: readonly Taken[]) {
  const wanted = definition.spec.names;
  const old = definition.status.acceptedNames;
  const resources = new Set<string>();
  const kinds = new Set<string>();
  for (const { plural, singular = '', shortNames = [], kind, listKind = `${kind}List` } of others) {
    for (const name of [plural, singular, ...shortNames]) resources.add(name);
    for (const name of [kind, listKind]) kinds.add(name);
  }
  const accepted: Names = { ...old };
  let conflict: readonly [reason: string, message: string] | undefined;
  const accept = (name: 'plural' | 'singular' | 'kind' | 'listKind', taken: ReadonlySet<string>) => {
    const value = wanted[name] ?? '';
    if (value !== (old[name] ?? '') && taken.has(value)) {
      conflict = [`${name[0]?.toUpperCase()}${name.slice(1)}Conflict`, inUse(value)];
      return;
    }
    if (value !== '') accepted[name] = value;
    else delete accepted[name];
  };
  accept('plural', resources);
  accept('singular', resources);
  const { shortNames } = wanted;
  const taken = (shortNames ?? []).filter(name => resources.has(name) && old.shortNames?.includes(name) !== true);
  if (taken.length > 0) {
    const messages = taken.map(inUse);
    conflict = ['ShortNamesConflict', messages.length === 1 ? String(messages[0]) : `[${messages.join(', ')}]`];
  } else if (shortNames) accepted.shortNames = shortNames;
  else delete accepted.shortNames;
  accept('kind', kinds);
  accept('listKind', kinds);
  if (wanted.categories) accepted.categories = wanted.categories;
  else delete accepted.categories;
  const condition: Condition = conflict
    ? { type: 'NamesAccepted', status: 'False', reason: conflict[0], message: conflict[1] }
    : { type: 'NamesAccepted', status: 'True', reason: 'NoConflicts', message: 'no conflicts found' };
  return { accepted: deepEqual(accepted, old) ? old : accepted, condition };
}

function inUse(name: string): string {
  return `${JSON.stringify(name)} is already in use`;
}

const approvalKey = 'api-approved.kubernetes.io';
const protectedGroup = /(^|\.)(k8s|kubernetes)\.io$/;

/** Groups of the Kubernetes community say who approved their API: KEP-1111. */
function approval({ metadata, spec }: CustomResourceDefinition): readonly Condition[] {
  if (!protectedGroup.test(spec.group)) return [];
  const type = 'KubernetesAPIApprovalPolicyConformant';
  const note = metadata.annotations?.[approvalKey] ?? '';
  const must = `protected groups must have approval annotation "${approvalKey}"`;
  const see = 'see https://github.com/kubernetes/enhancements/pull/1111';
  if (note === '') return [{ type, status: 'False', reason: 'MissingAnnotation', message: `${must}, ${see}` }];
  if (note.startsWith('unapproved'))
    return [
      { type, status: 'False', reason: 'UnapprovedAnnotation', message: `not approved: ${JSON.stringify(note)}` },
    ];
  if (URL.parse(note)?.host === undefined || URL.parse(note)?.host === '')
    return [
      {
        type,
        status: 'False',
        reason: 'InvalidAnnotation',
        message: `${must} with either a URL or a reason starting with "unapproved", ${see}`,
      },
    ];
  return [{ type, status: 'True', reason: 'ApprovedAnnotation', message: `approved in ${note}` }];
}
