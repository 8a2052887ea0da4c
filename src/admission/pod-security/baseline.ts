import {
  containers,
  containersOf,
  counted,
  inUserNamespace,
  namesWhere,
  quoted,
  setters,
  sortedSet,
  type PodLike,
  type Violation,
} from './pod-parts.ts';

type Check = (pod: PodLike) => Violation | undefined;

export const appArmorProfile: Check = pod => {
  const isBad = (type: string | undefined) => type !== undefined && type !== 'RuntimeDefault' && type !== 'Localhost';
  const podType = pod.spec.securityContext?.appArmorProfile?.type;
  const typeOf = (container: ReturnType<typeof containersOf>[number]) =>
    container.securityContext?.appArmorProfile?.type;
  const names = namesWhere(pod, each => isBad(typeOf(each)));
  const types = sortedSet([podType, ...containersOf(pod).map(typeOf)].filter(each => isBad(each)).map(String));
  const annotations = Object.entries(pod.metadata.annotations ?? {})
    .filter(([key]) => key.startsWith('container.apparmor.security.beta.kubernetes.io/'))
    .filter(([, value]) => value !== '' && value !== 'runtime/default' && !value.startsWith('localhost/'))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .sort();
  const who = setters(isBad(podType), names);
  if (annotations.length > 0) who.push(annotations.length === 1 ? 'annotation' : 'annotations');
  if (who.length === 0) return undefined;
  const bad = [...types, ...annotations];
  return {
    reason: bad.length === 1 ? 'forbidden AppArmor profile' : 'forbidden AppArmor profiles',
    detail: `${who.join(' and ')} must not set AppArmor profile type to ${quoted(bad)}`,
  };
};

const defaultCapabilities = new Set([
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
]);

export const capabilitiesBaseline: Check = pod => {
  const extra = (container: ReturnType<typeof containersOf>[number]) =>
    (container.securityContext?.capabilities?.add ?? []).filter(each => !defaultCapabilities.has(each));
  const names = namesWhere(pod, each => extra(each).length > 0);
  if (names.length === 0) return undefined;
  const found = sortedSet(containersOf(pod).flatMap(extra));
  return {
    reason: 'non-default capabilities',
    detail: `${containers(names)} must not include ${quoted(found)} in securityContext.capabilities.add`,
  };
};

export const hostNamespaces: Check = ({ spec }) => {
  const used = (['hostNetwork', 'hostPID', 'hostIPC'] as const).filter(each => spec[each]).map(each => `${each}=true`);
  return used.length === 0 ? undefined : { reason: 'host namespaces', detail: used.join(', ') };
};

export const hostPathVolumes: Check = ({ spec }) => {
  const names = (spec.volumes ?? []).filter(each => each.hostPath).map(each => each.name);
  return names.length === 0 ? undefined : { reason: 'hostPath volumes', detail: counted('volume', 'volumes', names) };
};

export const hostPorts: Check = pod => {
  const ports = (container: ReturnType<typeof containersOf>[number]) =>
    (container.ports ?? []).flatMap(each => (each.hostPort ? [String(each.hostPort)] : []));
  const names = namesWhere(pod, each => ports(each).length > 0);
  if (names.length === 0) return undefined;
  const found = sortedSet(containersOf(pod).flatMap(ports));
  return {
    reason: 'hostPort',
    detail: `${containers(names)} ${names.length === 1 ? 'uses' : 'use'} ${found.length === 1 ? 'hostPort' : 'hostPorts'} ${found.join(', ')}`,
  };
};

export const hostProbesAndHostLifecycle: Check = pod => {
  const hosts = (container: ReturnType<typeof containersOf>[number]) =>
    [
      container.livenessProbe,
      container.readinessProbe,
      container.startupProbe,
      container.lifecycle?.postStart,
      container.lifecycle?.preStop,
    ].flatMap(each => [each?.httpGet?.host, each?.tcpSocket?.host].filter(host => host !== undefined && host !== ''));
  const names = sortedSet(namesWhere(pod, each => hosts(each).length > 0));
  if (names.length === 0) return undefined;
  const found = sortedSet(containersOf(pod).flatMap(hosts).map(String));
  return {
    reason: 'probe or lifecycle host',
    detail: `${containers(names)} ${names.length === 1 ? 'uses' : 'use'} ${counted('probe or lifecycle host', 'probe or lifecycle hosts', found)}`,
  };
};

export const privileged: Check = pod => {
  const names = namesWhere(pod, each => each.securityContext?.privileged === true);
  if (names.length === 0) return undefined;
  return { reason: 'privileged', detail: `${containers(names)} must not set securityContext.privileged=true` };
};

export const procMount: Check = pod => {
  const typeOf = (container: ReturnType<typeof containersOf>[number]) =>
    container.securityContext?.procMount ?? 'Default';
  const names = namesWhere(pod, each => typeOf(each) !== 'Default');
  if (names.length === 0) return undefined;
  const found = sortedSet(
    containersOf(pod)
      .map(typeOf)
      .filter(each => each !== 'Default'),
  );
  return {
    reason: 'procMount',
    detail: `${containers(names)} must not set securityContext.procMount to ${quoted(found)}`,
  };
};

export const procMountOutsideUserNamespaces: Check = pod => (inUserNamespace(pod) ? undefined : procMount(pod));

/** The types grew in v1.31. */
export function seLinuxOptions(extraTypes: readonly string[]): Check {
  const allowedTypes = new Set(['', 'container_t', 'container_init_t', 'container_kvm_t', ...extraTypes]);
  return pod => {
    const optionsOf = (container: ReturnType<typeof containersOf>[number]) => container.securityContext?.seLinuxOptions;
    const isBad = (options: ReturnType<typeof optionsOf>) =>
      options !== undefined &&
      (!allowedTypes.has(options.type ?? '') || Boolean(options.user) || Boolean(options.role));
    const all = [pod.spec.securityContext?.seLinuxOptions, ...containersOf(pod).map(optionsOf)];
    const who = setters(
      isBad(pod.spec.securityContext?.seLinuxOptions),
      namesWhere(pod, each => isBad(optionsOf(each))),
    );
    if (who.length === 0) return undefined;
    const badTypes = sortedSet(
      all.flatMap(each => (each && !allowedTypes.has(each.type ?? '') ? [each.type ?? ''] : [])),
    );
    const faults = [
      ...(badTypes.length > 0 ? [counted('type', 'types', badTypes)] : []),
      ...(all.some(each => each?.user) ? ['user may not be set'] : []),
      ...(all.some(each => each?.role) ? ['role may not be set'] : []),
    ];
    return {
      reason: 'seLinuxOptions',
      detail: `${who.join(' and ')} set forbidden securityContext.seLinuxOptions: ${faults.join('; ')}`,
    };
  };
}

export function isGoodSeccomp(type: string): boolean {
  return type === 'Localhost' || type === 'RuntimeDefault';
}

/** Before v1.19 the profile stood in annotations. */
export const seccompAnnotations: Check = pod => {
  const keys = [
    'seccomp.security.alpha.kubernetes.io/pod',
    ...containersOf(pod).map(each => `container.seccomp.security.alpha.kubernetes.io/${each.name}`),
  ];
  const bad = sortedSet(
    keys.flatMap(key => {
      const value = pod.metadata.annotations?.[key];
      const good =
        value === undefined ||
        value === 'runtime/default' ||
        value === 'docker/default' ||
        value.startsWith('localhost/');
      return good ? [] : [`${key}=${JSON.stringify(value)}`];
    }),
  );
  if (bad.length === 0) return undefined;
  return {
    reason: 'seccompProfile',
    detail: `forbidden ${bad.length === 1 ? 'annotation' : 'annotations'} ${bad.join(', ')}`,
  };
};

export const seccompBaseline: Check = pod => {
  const typeOf = (container: ReturnType<typeof containersOf>[number]) =>
    container.securityContext?.seccompProfile?.type;
  const podType = pod.spec.securityContext?.seccompProfile?.type;
  const isBad = (type: string | undefined) => type !== undefined && !isGoodSeccomp(type);
  const who = setters(
    isBad(podType),
    namesWhere(pod, each => isBad(typeOf(each))),
  );
  if (who.length === 0) return undefined;
  const found = sortedSet([podType, ...containersOf(pod).map(typeOf)].filter(each => isBad(each)).map(String));
  return {
    reason: 'seccompProfile',
    detail: `${who.join(' and ')} must not set securityContext.seccompProfile.type to ${quoted(found)}`,
  };
};

const safeSysctls: readonly (readonly [minor: number, names: readonly string[]])[] = [
  [
    0,
    [
      'kernel.shm_rmid_forced',
      'net.ipv4.ip_local_port_range',
      'net.ipv4.tcp_syncookies',
      'net.ipv4.ping_group_range',
      'net.ipv4.ip_unprivileged_port_start',
    ],
  ],
  [27, ['net.ipv4.ip_local_reserved_ports']],
  [
    29,
    [
      'net.ipv4.tcp_keepalive_time',
      'net.ipv4.tcp_fin_timeout',
      'net.ipv4.tcp_keepalive_intvl',
      'net.ipv4.tcp_keepalive_probes',
    ],
  ],
  [32, ['net.ipv4.tcp_rmem', 'net.ipv4.tcp_wmem']],
  [37, ['net.ipv4.tcp_slow_start_after_idle', 'net.ipv4.tcp_notsent_lowat']],
];

/** What was safe in a version 1.x. */
export function sysctls(minor: number): Check {
  const safe = new Set(safeSysctls.filter(([since]) => since <= minor).flatMap(([, names]) => names));
  return ({ spec }) => {
    const bad = (spec.securityContext?.sysctls ?? []).map(each => each.name).filter(each => !safe.has(each));
    return bad.length === 0 ? undefined : { reason: 'forbidden sysctls', detail: bad.join(', ') };
  };
}

export const windowsHostProcess: Check = pod => {
  const byPod = pod.spec.securityContext?.windowsOptions?.hostProcess === true;
  const who = setters(
    byPod,
    namesWhere(pod, each => each.securityContext?.windowsOptions?.hostProcess === true),
  );
  if (who.length === 0) return undefined;
  return {
    reason: 'hostProcess',
    detail: `${who.join(' and ')} must not set securityContext.windowsOptions.hostProcess=true`,
  };
};
