import type { Kind } from '#api/machinery/kind.ts';

/** Built-in groups from the most to the least preferred, as upstream's API services rank them. */
const builtInGroups = [
  '',
  'apiregistration.k8s.io',
  'apps',
  'events.k8s.io',
  'authentication.k8s.io',
  'authorization.k8s.io',
  'autoscaling',
  'batch',
  'certificates.k8s.io',
  'networking.k8s.io',
  'policy',
  'rbac.authorization.k8s.io',
  'storage.k8s.io',
  'admissionregistration.k8s.io',
  'apiextensions.k8s.io',
  'scheduling.k8s.io',
  'coordination.k8s.io',
  'node.k8s.io',
  'discovery.k8s.io',
  'resource.k8s.io',
  'flowcontrol.apiserver.k8s.io',
  'internal.apiserver.k8s.io',
  'storagemigration.k8s.io',
];

export interface ServedGroup {
  readonly name: string;
  /** The preferred version first. */
  readonly versions: readonly { readonly version: string; readonly kinds: readonly Kind[] }[];
}

/** The served kinds by group and version: built-in groups first, others by name; newer and stabler versions first. */
export function servedGroups(kinds: readonly Kind[]): ServedGroup[] {
  const groups = new Map<string, Map<string, Kind[]>>();
  for (const kind of kinds) {
    if (!kind.served || kind.plural === '') continue;
    const versions = groups.get(kind.group) ?? new Map<string, Kind[]>();
    groups.set(kind.group, versions);
    versions.set(kind.version, [...(versions.get(kind.version) ?? []), kind]);
  }
  return [...groups]
    .sort(([left], [right]) => rank(left) - rank(right) || compareText(left, right))
    .map(([name, versions]) => ({
      name,
      versions: [...versions]
        .sort(([left], [right]) => compareVersions(left, right))
        .map(([version, served]) => ({
          version,
          kinds: served.toSorted((left, right) => compareText(left.plural, right.plural)),
        })),
    }));
}

/** Kubernetes' order: v2 before v1 before v1beta2 before v1beta1 before v1alpha1 before anything else by name. */
export function compareVersions(left: string, right: string): number {
  const [a, b] = [versionRank(left), versionRank(right)];
  if (!a || !b) return a ? -1 : b ? 1 : compareText(left, right);
  return b.stability - a.stability || b.major - a.major || b.minor - a.minor;
}

export function compareText(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

function rank(group: string): number {
  const position = builtInGroups.indexOf(group);
  return position < 0 ? builtInGroups.length : position;
}

function versionRank(version: string) {
  const parts = /^v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?$/.exec(version);
  if (!parts) return undefined;
  const [, major, stage, minor] = parts;
  return {
    stability: stage === undefined ? 2 : stage === 'beta' ? 1 : 0,
    major: Number(major),
    minor: Number(minor ?? 0),
  };
}
