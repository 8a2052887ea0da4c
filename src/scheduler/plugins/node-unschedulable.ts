import type { NodeInfo } from '../node-info.ts';
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
  explain: (_pod, node) => ({
    details: ['the node is cordoned'],
    remedies: [
      {
        change: `${node.name} were uncordoned (kubectl uncordon ${node.name})`,
        apply: trial => ({ ...trial, node: uncordoned(trial.node) }),
      },
    ],
  }),
};

function uncordoned(node: NodeInfo): NodeInfo {
  const taints = node.node.spec.taints?.filter(taint => taint.key !== 'node.kubernetes.io/unschedulable');
  const { unschedulable: _, ...spec } = node.node.spec;
  return node.with({ ...node.node, spec: { ...spec, ...(taints && { taints }) } });
}
