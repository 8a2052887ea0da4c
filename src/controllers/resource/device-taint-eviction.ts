import { Pod } from '#api/core/v1/pod.ts';
import { toleratesDeviceTaint } from '#api/resource/pod-claims.ts';
import { ResourceClaim, type DeviceRequestAllocationResult } from '#api/resource/v1/resource-claim.ts';
import { ResourceSlice, type DeviceTaint } from '#api/resource/v1/resource-slice.ts';
import { keyOf } from '#client/informer.ts';
import { event, patch, remove, wake } from '../actions.ts';
import { defineController } from '../controller.ts';
import { isTerminal } from '../core/pod-state.ts';
import type { Read } from '../reads.ts';
import { timeText } from '../time.ts';
import { claimKeysOf } from './resource-claim.ts';

/** Evicts pods whose devices have NoExecute taints that their claims do not tolerate, or not for so long. KEP-5055. */
export const deviceTaintEvictionController = defineController({
  name: 'device-taint-eviction-controller',
  reconciles: Pod,
  concerns: pod => claimKeysOf(pod).length > 0 && pod.metadata.deletionTimestamp === undefined && !isTerminal(pod),
  changed: (pod, old) =>
    claimKeysOf(pod).length !== claimKeysOf(old).length || pod.spec?.nodeName !== old.spec?.nodeName,
  reads: { tainted: taintedDevices() },
  writes: [Pod],
  decide(pod, { tainted, nowMs }) {
    const atMs = deviceEvictionMs(tainted);
    if (atMs === undefined) return [];
    if (atMs > nowMs) return [wake(atMs)];
    const { uid } = pod.metadata;
    const condition = {
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'DeletionByDeviceTaintManager',
      message: 'Device Taint manager: deleting due to NoExecute taint',
      lastTransitionTime: timeText(nowMs),
    };
    return [
      event(pod, 'Normal', 'DeviceTaintManagerEviction', 'Marking for deletion'),
      patch(Pod, pod, { metadata: { uid }, status: { conditions: [condition] } }, { subresource: 'status' }),
      remove(Pod, pod),
    ];
  },
});

/** A device that a pod uses, with its taints. */
export interface TaintedDevice {
  readonly result: Pick<DeviceRequestAllocationResult, 'tolerations'>;
  readonly taints: readonly DeviceTaint[];
  /** For taints that do not say themselves since when they are there. */
  readonly sinceMs: number;
}

/** When the first of the devices is lost; undefined: never. */
export function deviceEvictionMs(devices: readonly TaintedDevice[]): number | undefined {
  let atMs: number | undefined;
  for (const { result, taints, sinceMs } of devices)
    for (const taint of taints) {
      if (taint.effect !== 'NoExecute') continue;
      const matching = (result.tolerations ?? []).filter(each => toleratesDeviceTaint(each, taint));
      const seconds = matching.flatMap(({ tolerationSeconds }) => Number(tolerationSeconds ?? Number.NaN));
      const forever = matching.length > 0 && seconds.some(Number.isNaN);
      if (forever && seconds.every(Number.isNaN)) continue;
      const fromMs = taint.timeAdded === undefined ? sinceMs : Date.parse(taint.timeAdded);
      const limits = seconds.filter(each => !Number.isNaN(each));
      const lostMs = fromMs + (limits.length === 0 ? 0 : Math.max(0, Math.min(...limits)) * 1000);
      atMs = Math.min(atMs ?? Number.POSITIVE_INFINITY, lostMs);
    }
  return atMs;
}

function taintedDevices(): Read<Pod, readonly TaintedDevice[]> {
  return {
    kinds: [ResourceClaim, ResourceSlice],
    open({ informers, subject, clock, wake: wakePod }) {
      const claims = informers.of(ResourceClaim);
      const slices = informers.of(ResourceSlice);
      const byClaim = subject.index('resource-claim', claimKeysOf);
      const byPool = claims.index('pool', ({ status }) =>
        (status?.allocation?.devices?.results ?? []).map(({ driver, pool }) => `${driver}/${pool}`),
      );
      const ofPool = slices.index('pool', slice => [poolOf(slice)]);
      const seen = new WeakMap<DeviceTaint, number>();
      const wakeUsers = (claim: ResourceClaim) => {
        for (const key of byClaim.get(keyOf(claim)).keys()) wakePod(key);
      };
      const wakePool = (slice: ResourceSlice) => {
        for (const claim of byPool.get(poolOf(slice)).values()) wakeUsers(claim);
      };
      claims.subscribe({ added: wakeUsers, updated: wakeUsers });
      slices.subscribe({
        added(slice) {
          if (hasTaints(slice)) wakePool(slice);
        },
        updated(slice, old) {
          if (hasTaints(slice) || hasTaints(old)) wakePool(slice);
        },
      });
      const taintsOf = ({ driver, pool, device }: DeviceRequestAllocationResult): readonly DeviceTaint[] => {
        const known = [...ofPool.get(`${driver}/${pool}`).values()];
        const generation = Math.max(...known.map(({ spec }) => Number(spec.pool.generation)));
        const newest = known.filter(({ spec }) => Number(spec.pool.generation) === generation);
        const found = newest.flatMap(({ spec }) => spec.devices ?? []).find(each => each.name === device);
        return found?.taints ?? [];
      };
      return pod => {
        const tainted: TaintedDevice[] = [];
        for (const key of claimKeysOf(pod)) {
          const claim = claims.objects.get(key);
          // Who does not use it yet loses nothing.
          if (!claim?.status?.reservedFor?.some(each => each.uid === pod.metadata.uid)) continue;
          for (const result of claim.status.allocation?.devices?.results ?? []) {
            const taints = taintsOf(result).filter(({ effect }) => effect === 'NoExecute');
            const [first] = taints;
            if (!first) continue;
            const sinceMs = seen.get(first) ?? clock.now();
            seen.set(first, sinceMs);
            tainted.push({ result, taints, sinceMs });
          }
        }
        return tainted;
      };
    },
  };
}

function poolOf({ spec }: ResourceSlice): string {
  return `${spec.driver}/${spec.pool.name}`;
}

function hasTaints({ spec }: ResourceSlice): boolean {
  return (spec.devices ?? []).some(({ taints = [] }) => taints.some(({ effect }) => effect === 'NoExecute'));
}
