import type { Plugin } from '../plugin.ts';
import { tolerates } from './taint-toleration.ts';

const rejection = { plugin: 'NodeUnschedulable', reasons: ['node(s) were unschedulable'], unresolvable: true };

/** A cordoned node takes only pods that tolerate its taint. */
export const nodeUnschedulable: Plugin = {
  name: 'NodeUnschedulable',
  filter(pod, { node }) {
    if (node.spec.unschedulable !== true) return undefined;
    const taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };
    return tolerates(pod.pod.spec.tolerations, taint) ? undefined : rejection;
  },
};
