import type { Toleration } from '#api/core/v1/toleration.ts';
import type { Plugin } from '../plugin.ts';
import { withSpec } from '../pod-info.ts';

const rejection = { plugin: 'TaintToleration', reasons: ['node(s) had untolerated taint(s)'], unresolvable: true };

interface TaintLike {
  readonly key: string;
  readonly value?: string | undefined;
  readonly effect: string;
}

export const taintToleration: Plugin = {
  name: 'TaintToleration',
  weight: 3,
  normalize: 'reversed',
  filter(pod, { node }) {
    const untolerated = node.spec.taints?.some(
      taint =>
        (taint.effect === 'NoSchedule' || taint.effect === 'NoExecute') && !tolerates(pod.pod.spec.tolerations, taint),
    );
    return untolerated ? rejection : undefined;
  },
  explain(pod, { node }) {
    const untolerated = (node.spec.taints ?? []).filter(
      taint =>
        (taint.effect === 'NoSchedule' || taint.effect === 'NoExecute') && !tolerates(pod.pod.spec.tolerations, taint),
    );
    return {
      details: untolerated.map(taint => `taint ${textOf(taint)} is not tolerated`),
      remedies: untolerated.map(taint => ({
        change: `it tolerated ${textOf(taint)}`,
        apply: trial => {
          const { tolerations = [] } = trial.pod.pod.spec;
          const { key, value, effect } = taint;
          const added = { key, operator: 'Equal' as const, ...(value !== undefined && { value }), effect };
          return { ...trial, pod: withSpec(trial.pod, { tolerations: [...tolerations, added] }) };
        },
      })),
    };
  },
  /** The fewer soft taints a pod does not tolerate, the better. */
  score(pod, { node }) {
    let untolerated = 0;
    for (const taint of node.spec.taints ?? [])
      if (taint.effect === 'PreferNoSchedule' && !tolerates(pod.pod.spec.tolerations, taint)) untolerated++;
    return untolerated;
  },
};

/** As kubectl writes taints: `key=value:effect`. */
function textOf({ key, value, effect }: TaintLike): string {
  return `${key}${value ? `=${value}` : ''}:${effect}`;
}

export function tolerates(tolerations: readonly Toleration[] | undefined, taint: TaintLike): boolean {
  return tolerations?.some(toleration => toleratesTaint(toleration, taint)) ?? false;
}

function toleratesTaint(toleration: Toleration, taint: TaintLike): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  switch (toleration.operator || 'Equal') {
    case 'Exists':
      return true;
    case 'Equal':
      return toleration.key !== undefined && toleration.key !== '' && (toleration.value ?? '') === (taint.value ?? '');
    // KEP-5471
    case 'Lt':
      return isInteger(taint.value) && isInteger(toleration.value) && Number(taint.value) < Number(toleration.value);
    case 'Gt':
      return isInteger(taint.value) && isInteger(toleration.value) && Number(taint.value) > Number(toleration.value);
    default:
      return false;
  }
}

function isInteger(text: string | undefined): boolean {
  return text !== undefined && /^-?\d+$/.test(text);
}
