import { startAutoscaler } from '#autoscaler/autoscaler.ts';
import type { AutoscalerOptions } from '#autoscaler/options.ts';
import type { Clock } from '#base/clock.ts';
import type { Lifetime } from '#base/lifetime.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import { loopbackAdmin } from '#auth/user.ts';
import type { ControlPlane } from './control-plane.ts';
import type { ClusterAutoscalerArguments } from './flags/cluster-autoscaler.ts';
import type { KubeSchedulerArguments } from './flags/kube-scheduler.ts';
import { startHollowNodeGroups } from './hollow-node-groups.ts';
import { schedulerConfigurationOf } from './scheduler-configuration.ts';

/** Groups of simulated nodes and the autoscaler over them, where the flags name groups. */
export async function startAutoscaling(
  { clientOf, informers }: ControlPlane,
  flags: ClusterAutoscalerArguments,
  scheduler: KubeSchedulerArguments,
  outside: { readonly clock: Clock; readonly random: Random; readonly log: Log; readonly lifetime: Lifetime },
): Promise<void> {
  const { nodes = [], 'hollow-shape': shapes = [] } = flags;
  if (nodes.length === 0) return;
  const { clock, random, lifetime } = outside;
  const log = outside.log.child('cluster-autoscaler');
  const hollow = clientOf(loopbackAdmin, 'kubelet');
  const options = nodes.map(group => {
    const own = shapes.filter(each => each.name === group.name);
    return {
      ...group,
      capacity: Object.assign({}, ...own.map(each => each.capacity)) as Record<string, string>,
      labels: Object.assign({}, ...own.map(each => each.labels)) as Record<string, string>,
    };
  });
  const groups = await startHollowNodeGroups(options, { client: hollow, clock, random, log, lifetime });
  lifetime.own(
    startAutoscaler({
      client: clientOf(loopbackAdmin, 'cluster-autoscaler'),
      informers,
      groups,
      configuration: schedulerConfigurationOf(scheduler),
      options: optionsFrom(flags),
      clock,
      random,
      log,
    }),
  );
}

function optionsFrom(flags: ClusterAutoscalerArguments): Partial<AutoscalerOptions> {
  const known = {
    scanIntervalMs: flags['scan-interval'],
    scaleDownEnabled: flags['scale-down-enabled'],
    scaleDownUnneededMs: flags['scale-down-unneeded-time'],
    scaleDownUnreadyMs: flags['scale-down-unready-time'],
    scaleDownDelayAfterAddMs: flags['scale-down-delay-after-add'],
    scaleDownDelayAfterDeleteMs: flags['scale-down-delay-after-delete'],
    scaleDownDelayAfterFailureMs: flags['scale-down-delay-after-failure'],
    scaleDownUtilizationThreshold: flags['scale-down-utilization-threshold'],
    maxNodeProvisionMs: flags['max-node-provision-time'],
    skipNodesWithLocalStorage: flags['skip-nodes-with-local-storage'],
    skipNodesWithSystemPods: flags['skip-nodes-with-system-pods'],
  };
  return Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined));
}
