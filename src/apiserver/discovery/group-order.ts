import type { Kind } from '#api/machinery/kind.ts';
import type { RemoteApi } from '../aggregation/remote-documents.ts';
import { builtInPriority, customPriority, type Priority } from '../aggregation/priorities.ts';

export interface ServedGroup {
  readonly name: string;
  /** The preferred version first. */
  readonly versions: readonly ServedVersion[];
}

export interface ServedVersion {
  readonly version: string;
  readonly kinds: readonly Kind[];
  /** Another server answers for it. */
  readonly remote?: RemoteApi;
}

/** What other servers answer for, and in which order groups and versions stand. */
export interface Ranking {
  readonly remotes: readonly RemoteApi[];
  priorityOf(group: string, version: string): Priority;
}

export const ownRanking: Ranking = {
  remotes: [],
  priorityOf: (group, version) => builtInPriority(group, version) ?? customPriority,
};

/** All that is served, by group and version: by priority, then groups by name, newer and stabler versions first. */
export function servedGroups(kinds: readonly Kind[], ranking: Ranking = ownRanking): ServedGroup[] {
  const groups = new Map<string, Map<string, ServedVersion & { kinds: Kind[] }>>();
  const versionsOf = (group: string) => {
    const versions = groups.get(group) ?? new Map<string, ServedVersion & { kinds: Kind[] }>();
    groups.set(group, versions);
    return versions;
  };
  for (const kind of kinds) {
    if (kind.plural === '') continue;
    const versions = versionsOf(kind.group);
    const { version } = kind;
    const served = versions.get(version) ?? { version, kinds: [] };
    versions.set(version, served);
    served.kinds.push(kind);
  }
  for (const remote of ranking.remotes)
    versionsOf(remote.group).set(remote.version, { version: remote.version, kinds: [], remote });
  return [...groups]
    .map(([name, versions]) => {
      const ranked = [...versions.values()].map(each => ({ ...each, rank: ranking.priorityOf(name, each.version) }));
      return {
        name,
        priority: Math.max(...ranked.map(({ rank }) => rank.group)),
        versions: ranked
          .sort((left, right) => right.rank.version - left.rank.version || compareVersions(left.version, right.version))
          .map(({ version, kinds: served, remote }) => ({
            version,
            kinds: served.toSorted((left, right) => compareText(left.plural, right.plural)),
            ...(remote && { remote }),
          })),
      };
    })
    .sort((left, right) => right.priority - left.priority || compareText(left.name, right.name))
    .map(({ name, versions }) => ({ name, versions }));
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
