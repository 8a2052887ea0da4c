import { ReplicaSet } from '#api/apps/v1/replica-set.ts';
import { StatefulSet } from '#api/apps/v1/stateful-set.ts';
import { ReplicationController } from '#api/core/v1/replication-controller.ts';
import { Service } from '#api/core/v1/service.ts';
import type { Informers } from '#client/informers.ts';
import { workloadsFrom, type Workloads } from './workloads.ts';

/** What pods belong to, as the informers know it. */
export function followWorkloads(informers: Informers): {
  readonly workloads: Workloads;
  readonly synced: Promise<unknown>;
} {
  const services = informers.of(Service);
  const replicaSets = informers.of(ReplicaSet);
  const statefulSets = informers.of(StatefulSet);
  const controllers = informers.of(ReplicationController);
  return {
    workloads: workloadsFrom({
      servicesIn: namespace => services.inNamespace(namespace).values(),
      replicaSet: key => replicaSets.objects.get(key),
      statefulSet: key => statefulSets.objects.get(key),
      replicationController: key => controllers.objects.get(key),
    }),
    synced: Promise.all([services, replicaSets, statefulSets, controllers].map(each => each.synced)),
  };
}
