import { createHash } from 'node:crypto';
import { apiVersionOf, type Kind, type Subresource } from '#api/machinery/kind.ts';
import { aggregatedMessage } from './aggregated-message.ts';
import { compareText, ownRanking, servedGroups, type Ranking, type ServedGroup } from './group-order.ts';

/** Every discovery document of a set of kinds. */
export interface DiscoveryDocuments {
  readonly groups: readonly ServedGroup[];
  /** `/apis` */
  readonly groupList: object;
  /** `/apis/<group>` */
  readonly group: ReadonlyMap<string, object>;
  /** `/api/v1`, `/apis/<group>/<version>`: by `v1`, `apps/v1`. */
  readonly resources: ReadonlyMap<string, object>;
  /** The aggregated form of `/api` and of `/apis`. */
  readonly aggregated: { readonly core: AggregatedDocument; readonly named: AggregatedDocument };
}

export interface AggregatedDocument {
  readonly bytes: Uint8Array;
  /** The same in protobuf, which hardly anybody asks for: made when somebody does. */
  message(): Uint8Array;
  readonly etag: string;
}

export function discoveryDocuments(kinds: readonly Kind[], ranking: Ranking = ownRanking): DiscoveryDocuments {
  const groups = servedGroups(kinds, ranking);
  const named = groups.filter(group => group.name !== '');
  const core = groups.filter(group => group.name === '');
  return {
    groups,
    groupList: { kind: 'APIGroupList', apiVersion: 'v1', groups: named.map(apiGroup) },
    group: new Map(named.map(group => [group.name, { kind: 'APIGroup', apiVersion: 'v1', ...apiGroup(group) }])),
    resources: new Map(
      groups.flatMap(group =>
        // What another server answers for is asked of that server.
        group.versions
          .filter(each => !each.remote)
          .map(({ version, kinds: served }) => {
            const groupVersion = apiVersionOf({ group: group.name, version });
            return [groupVersion, resourceList(groupVersion, served)] as const;
          }),
      ),
    ),
    aggregated: { core: aggregated(core), named: aggregated(named) },
  };
}

function apiGroup({ name, versions }: ServedGroup) {
  const listed = versions.map(({ version }) => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions: listed, preferredVersion: listed[0] };
}

function resourceList(groupVersion: string, kinds: readonly Kind[]): object {
  return {
    kind: 'APIResourceList',
    // The core group has never said it.
    ...(groupVersion.includes('/') && { apiVersion: 'v1' }),
    groupVersion,
    resources: kinds.flatMap(apiResources),
  };
}

/** In upstream's order for them. */
const customVerbs = ['delete', 'deletecollection', 'get', 'list', 'patch', 'create', 'update', 'watch'];

function apiResources(kind: Kind): object[] {
  return [
    {
      name: kind.plural,
      singularName: kind.singular,
      namespaced: kind.namespaced,
      kind: kind.kind,
      verbs: kind.custom ? customVerbs : kind.verbs.toSorted(),
      ...(kind.shortNames.length > 0 && { shortNames: kind.shortNames }),
      ...(kind.categories.length > 0 && { categories: kind.categories }),
      ...(isStored(kind) && { storageVersionHash: storageVersionHash(kind) }),
    },
    ...subresourcesOf(kind).map(([name, subresource]) => {
      const other = subresource.kind;
      const foreign = other && (other.group !== kind.group || other.version !== kind.version);
      return {
        name: `${kind.plural}/${name}`,
        singularName: '',
        namespaced: kind.namespaced,
        ...(foreign && { ...(other.group !== '' && { group: other.group }), version: other.version }),
        kind: other?.kind ?? kind.kind,
        verbs: subresource.verbs.toSorted(),
      };
    }),
  ];
}

function aggregated(groups: readonly ServedGroup[]): AggregatedDocument {
  const document = {
    kind: 'APIGroupDiscoveryList',
    apiVersion: 'apidiscovery.k8s.io/v2',
    metadata: {},
    items: groups.map(({ name, versions }) => ({
      metadata: name === '' ? {} : { name },
      versions: versions.map(({ version, kinds, remote }) => ({
        version,
        resources: remote?.resources ?? kinds.map(discoveredResource),
        freshness: remote?.freshness ?? 'Current',
      })),
    })),
  };
  const bytes = Buffer.from(JSON.stringify(document));
  let message: Uint8Array | undefined;
  return {
    bytes,
    message: () => (message ??= aggregatedMessage(document)),
    etag: `"${createHash('sha512').update(bytes).digest('hex').toUpperCase()}"`,
  };
}

/** Upstream names group and version only where they are not those of the resource, or the resource is a custom one. */
function responseKind(answered: Pick<Kind, 'group' | 'version' | 'kind'>, { group, version, custom }: Kind): object {
  const isOwn = answered.group === group && answered.version === version;
  return isOwn && !custom
    ? { group: '', version: '', kind: answered.kind }
    : { group: answered.group, version: answered.version, kind: answered.kind };
}

function discoveredResource(kind: Kind): object {
  const subresources = subresourcesOf(kind);
  return {
    resource: kind.plural,
    responseKind: responseKind(kind, kind),
    scope: kind.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: kind.singular,
    verbs: kind.verbs.toSorted(),
    ...(kind.shortNames.length > 0 && { shortNames: kind.shortNames }),
    ...(kind.categories.length > 0 && { categories: kind.categories }),
    ...(subresources.length > 0 && {
      subresources: subresources.map(([name, { kind: other = kind, verbs }]) => ({
        subresource: name,
        responseKind: responseKind(other, kind),
        verbs: verbs.toSorted(),
      })),
    }),
  };
}

function subresourcesOf(kind: Kind): (readonly [string, Subresource])[] {
  return Object.entries(kind.subresources).sort(([left], [right]) => compareText(left, right));
}

function isStored(kind: Kind): boolean {
  return kind.verbs.includes('create') && kind.verbs.includes('get');
}

/** What upstream still stores in an older version than we do. The hash is upstream's, whatever our storage holds. */
const olderStorage: ReadonlyMap<string, string> = new Map([
  ['customresourcedefinitions.apiextensions.k8s.io', 'v1beta1'],
  ['mutatingadmissionpolicies.admissionregistration.k8s.io', 'v1beta1'],
  ['mutatingadmissionpolicybindings.admissionregistration.k8s.io', 'v1beta1'],
]);

/** Clients that migrate storage compare it: the first bytes of a hash of the version that is stored. */
function storageVersionHash(kind: Kind): string {
  const { group, version: ours } = kind.storedAs ?? kind;
  const version = olderStorage.get(`${kind.plural}.${group}`) ?? ours;
  return createHash('sha256').update(`${group}/${version}/${kind.kind}`).digest().subarray(0, 8).toString('base64');
}
