import { Node } from '#api/core/v1/node.ts';
import type { AdmissionPlugin } from '../admission.ts';
import { concerns, draftOf } from '../request.ts';

const notReady = 'node.kubernetes.io/not-ready';

/** A new node takes no pods until it has said that it is ready. */
export const taintNodesByCondition: AdmissionPlugin = {
  name: 'TaintNodesByCondition',
  handles: request => concerns(request, Node, 'CREATE'),
  admit(request) {
    const node = draftOf(Node, request);
    node.spec ??= {};
    const taints = node.spec.taints ?? [];
    if (taints.some(each => each.key === notReady && each.effect === 'NoSchedule')) return;
    node.spec.taints = [...taints, { key: notReady, effect: 'NoSchedule' }];
  },
};
