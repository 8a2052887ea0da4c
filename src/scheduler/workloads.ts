import { ReplicaSet } from '#api/apps/v1/replica-set.ts';
import { StatefulSet } from '#api/apps/v1/stateful-set.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import { ReplicationController } from '#api/core/v1/replication-controller.ts';
import { Service } from '#api/core/v1/service.ts';
import { keyFrom } from '#client/informer.ts';
import type { LabelSelector } from '#api/meta/v1/label-selector.ts';

/** Which other pods a pod counts as one of. */
export interface Workloads {
  /** Selects the pods of the pod's Services and of what controls it; `undefined` when there are none. */
  selectorOf(pod: Pod): LabelSelector | undefined;
}

export const noWorkloads: Workloads = { selectorOf: () => undefined };

/** What of the API the selectors are made of. */
export interface WorkloadObjects {
  servicesIn(namespace: string): Iterable<Service>;
  /** By `namespace/name`. */
  replicaSet(key: string): ReplicaSet | undefined;
  statefulSet(key: string): StatefulSet | undefined;
  replicationController(key: string): ReplicationController | undefined;
}

export function workloadsFrom(objects: WorkloadObjects): Workloads {
  return {
    selectorOf(pod) {
      const { namespace = '', labels = {}, ownerReferences } = pod.metadata;
      let matchLabels: Record<string, string> | undefined;
      for (const { spec } of objects.servicesIn(namespace)) {
        const wanted = Object.entries(spec.selector ?? {});
        if (wanted.length === 0 || !wanted.every(([key, value]) => labels[key] === value)) continue;
        matchLabels = { ...matchLabels, ...spec.selector };
      }
      const owner = ownerReferences?.find(each => each.controller === true);
      const above = owner && selectorOfOwner(objects, owner.kind, keyFrom(owner.name, namespace));
      if (!above) return matchLabels && { matchLabels };
      return { ...above, matchLabels: { ...matchLabels, ...above.matchLabels } };
    },
  };
}

function selectorOfOwner(objects: WorkloadObjects, kind: string, key: string): LabelSelector | undefined {
  switch (kind) {
    case ReplicaSet.kind:
      return objects.replicaSet(key)?.spec.selector;
    case StatefulSet.kind:
      return objects.statefulSet(key)?.spec.selector;
    case ReplicationController.kind: {
      const { selector } = objects.replicationController(key)?.spec ?? {};
      return selector && { matchLabels: selector };
    }
    default:
      return undefined;
  }
}
