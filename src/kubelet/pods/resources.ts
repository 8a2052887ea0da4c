import type { Container, PodSpec } from '#api/core/v1/pod-spec.ts';
import { aggregateLimits, aggregateRequests, qosClass } from '#api/core/v1/pod-resources.ts';
import type { ResourceRequirements } from '#api/core/v1/resource-requirements.ts';
import { milliValue, wholeValue } from '#api/machinery/quantity.ts';
import type { LinuxContainerResources } from '#runtime/runtime.ts';

const cpuPeriodUs = 100_000;
const sharesMin = 2;

/** Requests and limits in the kernel's terms. `memoryCapacityBytes` is the node's. */
export function containerResources(
  spec: PodSpec,
  container: Container,
  memoryCapacityBytes: number,
): LinuxContainerResources {
  return {
    ...kernelResources(container.resources),
    oomScoreAdj: oomScoreAdj(spec, container, memoryCapacityBytes),
  };
}

/** Of the pod's own cgroup: everything its containers may have together. */
export function podResources(spec: PodSpec): LinuxContainerResources {
  const requests = { ...aggregateRequests(spec), ...spec.resources?.requests };
  const everyoneIsLimited = (name: string) =>
    spec.resources?.limits?.[name] !== undefined ||
    spec.containers.every(each => each.resources?.limits?.[name] !== undefined);
  const limits = { ...aggregateLimits(spec), ...spec.resources?.limits };
  const bounded = Object.fromEntries(Object.entries(limits).filter(([name]) => everyoneIsLimited(name)));
  return kernelResources({ requests, limits: bounded });
}

function kernelResources(resources: ResourceRequirements | undefined): LinuxContainerResources {
  const { requests, limits } = resources ?? {};
  const cpu = limits?.['cpu'];
  const memory = limits?.['memory'];
  const hugepages = Object.entries(limits ?? {}).filter(([name]) => name.startsWith('hugepages-'));
  return {
    cpuShares: cpuShares(milliValue(requests?.['cpu'] ?? cpu)),
    ...(cpu !== undefined && {
      cpuPeriod: cpuPeriodUs,
      cpuQuota: Math.max(1000, (milliValue(cpu) * cpuPeriodUs) / 1000),
    }),
    ...(memory !== undefined && wholeValue(memory) > 0 && { memoryLimitBytes: wholeValue(memory) }),
    ...(hugepages.length > 0 && {
      hugepageLimits: hugepages.map(([name, limit]) => ({
        pageSize: name.slice('hugepages-'.length).replace('i', 'B'),
        limitBytes: wholeValue(limit),
      })),
    }),
  };
}

/** The weight of so many thousandths of a CPU. */
export function cpuShares(milliCpu: number): number {
  return Math.min(262_144, Math.max(sharesMin, Math.floor((milliCpu * 1024) / 1000)));
}

/** Who is killed first when memory runs out: pods that asked for nothing, then those that asked for little. */
function oomScoreAdj(spec: PodSpec, container: Container, memoryCapacityBytes: number): number {
  const qos = qosClass(spec);
  if (qos === 'Guaranteed') return -997;
  if (qos === 'BestEffort') return 1000;
  const request = wholeValue(container.resources?.requests?.['memory']);
  const score = 1000 - Math.floor((1000 * request) / Math.max(1, memoryCapacityBytes));
  if (score < 3) return 3;
  return score >= 1000 ? 999 : score;
}
