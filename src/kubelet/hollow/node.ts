import { kubernetesVersion } from '#api/machinery/version.ts';
import { formatTime } from '#api/machinery/time.ts';
import { declaredFeatures } from '../node/declared-features.ts';

export interface HollowNodeShape {
  readonly name: string;
  readonly address: string;
  readonly capacity: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
}

export const defaultCapacity: Readonly<Record<string, string>> = {
  cpu: '32',
  memory: '256Gi',
  'ephemeral-storage': '1Ti',
  pods: '110',
};

/** The Node object that a hollow node registers. */
export function hollowNode({ name, address, capacity, labels }: HollowNodeShape, nowMs: number) {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      labels: {
        'beta.kubernetes.io/arch': 'amd64',
        'beta.kubernetes.io/os': 'linux',
        'kubernetes.io/arch': 'amd64',
        'kubernetes.io/hostname': name,
        'kubernetes.io/os': 'linux',
        ...labels,
      },
    },
    spec: {},
    status: {
      addresses: [
        { type: 'InternalIP', address },
        { type: 'Hostname', address: name },
      ],
      capacity,
      allocatable: capacity,
      conditions: hollowConditions(nowMs, nowMs),
      daemonEndpoints: { kubeletEndpoint: { Port: 10250 } },
      declaredFeatures,
      nodeInfo: {
        architecture: 'amd64',
        bootID: '',
        containerRuntimeVersion: `windlass-hollow://${kubernetesVersion.gitVersion.slice(1)}`,
        kernelVersion: '',
        kubeProxyVersion: kubernetesVersion.gitVersion,
        kubeletVersion: kubernetesVersion.gitVersion,
        machineID: '',
        operatingSystem: 'linux',
        osImage: 'hollow',
        systemUUID: '',
      },
    },
  };
}

export function hollowConditions(nowMs: number, sinceMs: number) {
  const good = (type: string, status: string, reason: string, message: string) => ({
    type,
    status,
    reason,
    message,
    lastHeartbeatTime: formatTime(nowMs),
    lastTransitionTime: formatTime(sinceMs),
  });
  return [
    good('MemoryPressure', 'False', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'),
    good('DiskPressure', 'False', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'),
    good('PIDPressure', 'False', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'),
    good('Ready', 'True', 'KubeletReady', 'kubelet is posting ready status'),
  ];
}
