import * as baseline from './baseline.ts';
import type { PodLike, Violation } from './pod-parts.ts';
import * as restricted from './restricted.ts';

export type Level = 'privileged' | 'baseline' | 'restricted';

/** A level in the form of a version 1.x. */
export interface Standard {
  readonly level: Level;
  readonly version: 'latest' | number;
}

type Check = (pod: PodLike) => Violation | undefined;

interface VersionedCheck {
  readonly id: string;
  /** From the minor version on, until the next entry. */
  readonly versions: readonly { readonly since: number; readonly check: Check }[];
  /** Baseline checks that this one is stricter than. */
  readonly overrides?: readonly string[];
}

const always = (id: string, check: Check): VersionedCheck => ({ id, versions: [{ since: 0, check }] });

/** In the order in which violations are listed. */
const baselineChecks: readonly VersionedCheck[] = [
  always('appArmorProfile', baseline.appArmorProfile),
  always('capabilities_baseline', baseline.capabilitiesBaseline),
  always('hostNamespaces', baseline.hostNamespaces),
  always('hostPathVolumes', baseline.hostPathVolumes),
  always('hostPorts', baseline.hostPorts),
  { id: 'hostProbesAndHostLifecycle', versions: [{ since: 34, check: baseline.hostProbesAndHostLifecycle }] },
  always('privileged', baseline.privileged),
  {
    id: 'procMount',
    versions: [
      { since: 0, check: baseline.procMount },
      { since: 35, check: baseline.procMountOutsideUserNamespaces },
    ],
  },
  {
    id: 'seLinuxOptions',
    versions: [
      { since: 0, check: baseline.seLinuxOptions([]) },
      { since: 31, check: baseline.seLinuxOptions(['container_engine_t']) },
    ],
  },
  {
    id: 'seccompProfile_baseline',
    versions: [
      { since: 0, check: baseline.seccompAnnotations },
      { since: 19, check: baseline.seccompBaseline },
    ],
  },
  { id: 'sysctls', versions: [0, 27, 29, 32, 37].map(since => ({ since, check: baseline.sysctls(since) })) },
  always('windowsHostProcess', baseline.windowsHostProcess),
];

const restrictedChecks: readonly VersionedCheck[] = [
  {
    id: 'allowPrivilegeEscalation',
    versions: [
      { since: 8, check: restricted.allowPrivilegeEscalation },
      { since: 25, check: restricted.unlessWindows(restricted.allowPrivilegeEscalation) },
    ],
  },
  {
    id: 'capabilities_restricted',
    overrides: ['capabilities_baseline'],
    versions: [
      { since: 22, check: restricted.capabilitiesRestricted },
      { since: 25, check: restricted.unlessWindows(restricted.capabilitiesRestricted) },
    ],
  },
  { id: 'procMount_restricted', overrides: ['procMount'], versions: [{ since: 35, check: baseline.procMount }] },
  {
    id: 'restrictedVolumes',
    overrides: ['hostPathVolumes'],
    versions: [{ since: 0, check: restricted.restrictedVolumes }],
  },
  {
    id: 'runAsNonRoot',
    versions: [
      { since: 0, check: restricted.runAsNonRoot },
      { since: 35, check: restricted.unlessInUserNamespace(restricted.runAsNonRoot) },
    ],
  },
  {
    id: 'runAsUser',
    versions: [
      { since: 23, check: restricted.runAsUser },
      { since: 35, check: restricted.unlessInUserNamespace(restricted.runAsUser) },
    ],
  },
  {
    id: 'seccompProfile_restricted',
    overrides: ['seccompProfile_baseline'],
    versions: [
      { since: 19, check: restricted.seccompRestricted },
      { since: 25, check: restricted.unlessWindows(restricted.seccompRestricted) },
    ],
  },
];

/** The minor version that `latest` stands for. */
const latestMinor = 36;

/** Everything in a pod that a standard forbids. */
export function violationsOf(pod: PodLike, { level, version }: Standard): Violation[] {
  if (level === 'privileged') return [];
  const minor = version === 'latest' ? latestMinor : Math.min(version, latestMinor);
  const applying = level === 'baseline' ? baselineChecks : [...notOverridden(minor), ...restrictedChecks];
  return applying.flatMap(each => {
    const violation = checkAt(each, minor)?.(pod);
    return violation ? [violation] : [];
  });
}

/** `restricted:latest` */
export function describeStandard({ level, version }: Standard): string {
  return `${level}:${version === 'latest' ? 'latest' : `v1.${version}`}`;
}

/** `host namespaces (hostNetwork=true), privileged (…)` */
export function describeViolations(violations: readonly Violation[]): string {
  return violations.map(({ reason, detail }) => (detail === '' ? reason : `${reason} (${detail})`)).join(', ');
}

function notOverridden(minor: number): VersionedCheck[] {
  const overridden = new Set(
    restrictedChecks.filter(each => checkAt(each, minor)).flatMap(each => each.overrides ?? []),
  );
  return baselineChecks.filter(each => !overridden.has(each.id));
}

function checkAt({ versions }: VersionedCheck, minor: number): Check | undefined {
  return versions.findLast(each => each.since <= minor)?.check;
}
