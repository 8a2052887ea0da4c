import { isGoodSeccomp } from './baseline.ts';
import {
  containers,
  containersOf,
  counted,
  inUserNamespace,
  isWindows,
  namesWhere,
  quoted,
  setters,
  sortedSet,
  type PodLike,
  type Violation,
} from './pod-parts.ts';

type Check = (pod: PodLike) => Violation | undefined;

/** Since v1.25 pods for Windows are left out of what Windows does not have. */
export function unlessWindows(check: Check): Check {
  return pod => (isWindows(pod) ? undefined : check(pod));
}

/** Since v1.35. */
export function unlessInUserNamespace(check: Check): Check {
  return pod => (inUserNamespace(pod) ? undefined : check(pod));
}

export const allowPrivilegeEscalation: Check = pod => {
  const names = namesWhere(pod, each => each.securityContext?.allowPrivilegeEscalation !== false);
  if (names.length === 0) return undefined;
  return {
    reason: 'allowPrivilegeEscalation != false',
    detail: `${containers(names)} must set securityContext.allowPrivilegeEscalation=false`,
  };
};

export const capabilitiesRestricted: Check = pod => {
  const keeping = namesWhere(pod, each => !each.securityContext?.capabilities?.drop?.includes('ALL'));
  const added = (container: ReturnType<typeof containersOf>[number]) =>
    (container.securityContext?.capabilities?.add ?? []).filter(each => each !== 'NET_BIND_SERVICE');
  const adding = namesWhere(pod, each => added(each).length > 0);
  const details = [
    ...(keeping.length > 0 ? [`${containers(keeping)} must set securityContext.capabilities.drop=["ALL"]`] : []),
    ...(adding.length > 0
      ? [
          `${containers(adding)} must not include ${quoted(sortedSet(containersOf(pod).flatMap(added)))} in securityContext.capabilities.add`,
        ]
      : []),
  ];
  return details.length === 0 ? undefined : { reason: 'unrestricted capabilities', detail: details.join('; ') };
};

const allowedVolumeTypes = [
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'image',
  'persistentVolumeClaim',
  'projected',
  'secret',
];

export const restrictedVolumes: Check = ({ spec }) => {
  const typeOf = (volume: object) => {
    const set = Object.entries(volume).filter(([key, value]) => key !== 'name' && value !== undefined);
    return set.map(([key]) => key);
  };
  const bad = (spec.volumes ?? []).filter(volume => !typeOf(volume).some(each => allowedVolumeTypes.includes(each)));
  if (bad.length === 0) return undefined;
  const found = sortedSet(bad.map(volume => typeOf(volume)[0] ?? 'unknown'));
  return {
    reason: 'restricted volume types',
    detail: `${counted(
      'volume',
      'volumes',
      bad.map(each => each.name),
    )} ${bad.length === 1 ? 'uses' : 'use'} ${counted('restricted volume type', 'restricted volume types', found)}`,
  };
};

export const runAsNonRoot: Check = pod => {
  const podSays = pod.spec.securityContext?.runAsNonRoot;
  const who = setters(
    podSays === false,
    namesWhere(pod, each => each.securityContext?.runAsNonRoot === false),
  );
  const reason = 'runAsNonRoot != true';
  if (who.length > 0) return { reason, detail: `${who.join(' and ')} must not set securityContext.runAsNonRoot=false` };
  const silent = namesWhere(pod, each => each.securityContext?.runAsNonRoot === undefined);
  if (podSays === true || silent.length === 0) return undefined;
  return { reason, detail: `pod or ${containers(silent)} must set securityContext.runAsNonRoot=true` };
};

export const runAsUser: Check = pod => {
  const who = setters(
    pod.spec.securityContext?.runAsUser === 0,
    namesWhere(pod, each => each.securityContext?.runAsUser === 0),
  );
  if (who.length === 0) return undefined;
  return { reason: 'runAsUser=0', detail: `${who.join(' and ')} must not set runAsUser=0` };
};

export const seccompRestricted: Check = pod => {
  const typeOf = (container: ReturnType<typeof containersOf>[number]) =>
    container.securityContext?.seccompProfile?.type;
  const podType = pod.spec.securityContext?.seccompProfile?.type;
  const isBad = (type: string | undefined) => type !== undefined && !isGoodSeccomp(type);
  const who = setters(
    isBad(podType),
    namesWhere(pod, each => isBad(typeOf(each))),
  );
  const reason = 'seccompProfile';
  if (who.length > 0) {
    const found = sortedSet([podType, ...containersOf(pod).map(typeOf)].filter(each => isBad(each)).map(String));
    return {
      reason,
      detail: `${who.join(' and ')} must not set securityContext.seccompProfile.type to ${quoted(found)}`,
    };
  }
  const silent = namesWhere(pod, each => each.securityContext?.seccompProfile === undefined);
  if (podType !== undefined || silent.length === 0) return undefined;
  return {
    reason,
    detail: `pod or ${containers(silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"`,
  };
};
