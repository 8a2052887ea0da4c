import type { Job } from '#api/batch/v1/job.ts';
import type { PodFailurePolicyRule } from '#api/batch/v1/job-spec.ts';
import type { Pod } from '#api/core/v1/pod.ts';

export interface FailureVerdict {
  readonly action: string;
  readonly message: string;
}

/** What the job's policy makes of a failed pod: the first rule that matches, else it counts. */
export function judgeFailure({ spec }: Job, pod: Pod): FailureVerdict {
  for (const [number, rule] of (spec?.podFailurePolicy?.rules ?? []).entries()) {
    const message = rule.onExitCodes ? exitCodeMatch(rule, pod, number) : conditionMatch(rule, pod, number);
    if (message !== undefined) return { action: rule.action, message };
  }
  return { action: 'Count', message: '' };
}

function exitCodeMatch(rule: PodFailurePolicyRule, { metadata, status }: Pod, number: number): string | undefined {
  const { containerName, operator, values } = rule.onExitCodes ?? { operator: '', values: [] };
  for (const each of [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])]) {
    const exitCode = each.state.terminated?.exitCode;
    if (exitCode === undefined || exitCode === 0) continue;
    if (containerName !== undefined && containerName !== '' && containerName !== each.name) continue;
    if (values.includes(exitCode) === (operator === 'In'))
      return `Container ${each.name} for pod ${metadata.namespace}/${metadata.name} failed with exit code ${exitCode} matching ${rule.action} rule at index ${number}`;
  }
  return undefined;
}

function conditionMatch(rule: PodFailurePolicyRule, { metadata, status }: Pod, number: number): string | undefined {
  for (const wanted of rule.onPodConditions ?? [])
    for (const condition of status?.conditions ?? [])
      if (condition.type === wanted.type && condition.status === (wanted.status ?? 'True'))
        return `Pod ${metadata.namespace}/${metadata.name} has condition ${wanted.type} matching ${rule.action} rule at index ${number}`;
  return undefined;
}
