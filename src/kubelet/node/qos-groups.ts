import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Pod } from '#api/core/v1/pod.ts';
import { aggregateRequests, qosClass } from '#api/core/v1/pod-resources.ts';
import { milliValue } from '#api/machinery/quantity.ts';
import { type CgroupTree, findCgroups, limitCgroup } from '#base/kernel/cgroup.ts';
import type { Log } from '#base/log.ts';
import { cpuShares } from '../pods/resources.ts';

export interface QosGroupsOptions {
  /** The group of all pods of the node. */
  readonly parent: string;
  /** What pods may have together; absent: everything. */
  readonly memoryBytes: number | undefined;
  readonly cpuMilli: number;
  readonly log: Log;
  readonly pods: () => Iterable<Pod>;
  readonly cgroups?: CgroupTree | undefined;
}

/**
 * The weights of the groups that pods are in: those that asked for nothing get next to nothing when the others want all,
 * and those that asked for something get together what they asked for.
 */
export class QosGroups {
  readonly #options: QosGroupsOptions;
  readonly #cgroups: CgroupTree | undefined;
  #due = false;

  constructor(options: QosGroupsOptions) {
    this.#options = options;
    this.#cgroups = options.cgroups ?? findCgroups();
  }

  /** A pod has come, has gone, or has been resized. Many at once make one change. */
  changed(): void {
    if (this.#due || !this.#cgroups) return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      this.#apply();
    });
  }

  #apply(): void {
    const { parent, memoryBytes, cpuMilli, log, pods } = this.#options;
    const burstable = [...pods()].filter(({ spec }) => spec && qosClass(spec) === 'Burstable');
    const requested = burstable.reduce((sum, { spec }) => sum + milliValue(aggregateRequests(spec)['cpu']), 0);
    try {
      this.#limit(parent, { cpuShares: cpuShares(cpuMilli), ...(memoryBytes !== undefined && { memoryBytes }) });
      this.#limit(`${parent}/burstable`, { cpuShares: cpuShares(requested) });
      this.#limit(`${parent}/besteffort`, { cpuShares: cpuShares(0) });
    } catch (error) {
      // The last pod may just have taken its group along.
      log.debug('cannot weigh the groups of pods', { error });
    }
  }

  #limit(path: string, limits: Parameters<typeof limitCgroup>[2]): void {
    const tree = this.#cgroups;
    const [hierarchy = ''] = tree ? [tree.controller('cpu')] : [];
    if (tree && hierarchy !== '' && existsSync(join(hierarchy, path))) limitCgroup(tree, path, limits);
  }
}
