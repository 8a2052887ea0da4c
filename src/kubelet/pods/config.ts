import { join } from 'node:path';
import type { Pod } from '#api/core/v1/pod.ts';
import type { Container } from '#api/core/v1/pod-spec.ts';
import { qosClass } from '#api/core/v1/pod-resources.ts';
import type {
  ContainerConfig,
  DnsConfig,
  Image,
  LinuxContainerResources,
  Mount,
  PodSandboxConfig,
  UserNamespace,
} from '#runtime/runtime.ts';
import { expand } from '../env/expansion.ts';
import { hostNames } from './hosts-file.ts';
import { annotations, containerHash, labels, nodeLabel } from './names.ts';
import type { Extras } from '../resources/allocations.ts';
import { podResources } from './resources.ts';
import { containerSecurity, sandboxSecurity } from './security.ts';

/** Where a node keeps its pods. */
export interface NodePaths {
  readonly pods: string;
  readonly logs: string;
  readonly seccomp: string;
}

export function podDirectory(paths: NodePaths, uid: string): string {
  return join(paths.pods, uid);
}

export function logDirectory(paths: NodePaths, { metadata }: Pod): string {
  return join(paths.logs, `${metadata.namespace}_${metadata.name}_${metadata.uid}`);
}

export interface NodeFacts {
  readonly nodeName: string;
  readonly clusterDomain: string;
  /** The cgroup that all pods of the node are in; empty: `/kubepods`. */
  readonly cgroupParent: string;
  readonly memoryCapacityBytes: number;
  /** Processes of one pod; -1: as many as there can be. */
  readonly podPidsLimit: number;
}

export function sandboxConfig(
  pod: Pod,
  attempt: number,
  dnsConfig: DnsConfig,
  paths: NodePaths,
  facts: NodeFacts,
  userNamespace?: UserNamespace,
): PodSandboxConfig {
  const { metadata, spec } = pod;
  const { name = '', namespace = '', uid = '' } = metadata;
  const { hostname, domain } = hostNames(pod, facts.clusterDomain);
  const ports = spec?.hostNetwork ? [] : hostPorts(pod);
  const sysctls = spec?.securityContext?.sysctls ?? [];
  return {
    metadata: { name, namespace, uid, attempt },
    ...(!spec?.hostNetwork && { hostname: spec?.setHostnameAsFQDN && domain ? `${hostname}.${domain}` : hostname }),
    logDirectory: logDirectory(paths, pod),
    dnsConfig,
    ...(ports.length > 0 && { portMappings: ports }),
    labels: {
      ...metadata.labels,
      [labels.podName]: name,
      [labels.podNamespace]: namespace,
      [labels.podUid]: uid,
      [nodeLabel]: facts.nodeName,
    },
    annotations: { ...metadata.annotations },
    linux: {
      cgroupParent: cgroupOf(pod, facts),
      securityContext: sandboxSecurity(pod, { seccompDirectory: paths.seccomp, userNamespace }),
      ...(sysctls.length > 0 && { sysctls: Object.fromEntries(sysctls.map(each => [each.name, each.value])) }),
      ...(spec && {
        resources: { ...podResources(spec), ...(facts.podPidsLimit > 0 && { pidsLimit: facts.podPidsLimit }) },
      }),
    },
  };
}

/** Pods that may be starved are in a group of their own, below those that may not. */
function cgroupOf({ metadata, spec }: Pod, { cgroupParent }: NodeFacts): string {
  const qos = spec ? qosClass(spec) : 'BestEffort';
  const group = qos === 'Guaranteed' ? '' : `/${qos.toLowerCase()}`;
  return `${cgroupParent}${group}/pod${metadata.uid}`;
}

function hostPorts(pod: Pod) {
  const sidecars = (pod.spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  return [...(pod.spec?.containers ?? []), ...sidecars].flatMap(({ ports = [] }) =>
    ports.map(({ protocol, containerPort, hostPort = 0, hostIP }) => ({
      protocol: protocol as 'TCP' | 'UDP' | 'SCTP',
      containerPort,
      hostPort,
      ...(hostIP && { hostIp: hostIP }),
    })),
  );
}

export interface ContainerParts {
  readonly pod: Pod;
  readonly container: Container;
  readonly attempt: number;
  readonly image: Image;
  readonly imageRef: string;
  readonly environment: ReadonlyMap<string, string>;
  readonly mounts: readonly Mount[];
  /** The id of the container whose processes an ephemeral one sees. */
  readonly targetId: string | undefined;
  /** What plugins add. */
  readonly extras: Extras;
  readonly resources: LinuxContainerResources;
  readonly userNamespace: UserNamespace | undefined;
}

export function containerConfig(parts: ContainerParts, paths: NodePaths, facts: NodeFacts): ContainerConfig {
  const { pod, container, attempt, imageRef, environment, mounts, targetId, extras, resources, userNamespace } = parts;
  const { metadata, spec } = pod;
  const lookUp = (name: string) => environment.get(name);
  const { name, image = '', workingDir, stdin, stdinOnce, tty, lifecycle } = container;
  const expanded = (words: readonly string[] | undefined) => words?.map(word => expand(word, lookUp));
  const command = expanded(container.command);
  const args = expanded(container.args);
  return {
    metadata: { name, attempt },
    image: { image: imageRef, userSpecifiedImage: image },
    ...(command?.length && { command }),
    ...(args?.length && { args }),
    ...(workingDir && { workingDir }),
    // What the pod says itself wins.
    envs: [...extras.envs, ...[...environment].map(([key, value]) => ({ key, value }))],
    mounts: [...extras.mounts, ...mounts],
    ...(extras.devices.length > 0 && { devices: extras.devices }),
    ...(extras.cdiDevices.length > 0 && { cdiDevices: extras.cdiDevices }),
    labels: {
      [labels.containerName]: name,
      [labels.podName]: metadata.name ?? '',
      [labels.podNamespace]: metadata.namespace ?? '',
      [labels.podUid]: metadata.uid ?? '',
      [nodeLabel]: facts.nodeName,
    },
    annotations: {
      ...extras.annotations,
      [annotations.hash]: containerHash(container),
      [annotations.restartCount]: String(attempt),
      [annotations.terminationMessagePath]: container.terminationMessagePath,
      [annotations.terminationMessagePolicy]: container.terminationMessagePolicy,
      [annotations.graceSeconds]: String(spec?.terminationGracePeriodSeconds ?? 30),
    },
    logPath: `${name}/${attempt}.log`,
    stdin: stdin ?? false,
    stdinOnce: stdinOnce ?? false,
    tty: tty ?? false,
    ...(lifecycle?.stopSignal && { stopSignal: lifecycle.stopSignal }),
    linux: {
      resources,
      securityContext: containerSecurity(pod, container, targetId, { seccompDirectory: paths.seccomp, userNamespace }),
    },
  };
}
