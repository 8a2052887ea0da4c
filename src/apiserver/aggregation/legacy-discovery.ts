/** One resource as aggregated discovery tells of it. */
export interface DiscoveredResource {
  readonly resource: string;
  readonly [member: string]: unknown;
}

interface LegacyResource {
  readonly name: string;
  readonly singularName?: string;
  readonly namespaced?: boolean;
  readonly group?: string;
  readonly version?: string;
  readonly kind: string;
  readonly verbs?: readonly string[];
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
}

/** The aggregated form of an APIResourceList, for servers that only know that. */
export function legacyResources(group: string, version: string, list: unknown): DiscoveredResource[] {
  const resources = ((list as { readonly resources?: readonly LegacyResource[] }).resources ?? []).filter(
    each => typeof each.name === 'string',
  );
  const responseKind = (each: LegacyResource) => ({
    group: each.group || group,
    version: each.version || version,
    kind: each.kind,
  });
  const bySlash = Map.groupBy(resources, ({ name }) => name.split('/', 1)[0] as string);
  return [...bySlash].map(([resource, members]) => {
    const main = members.find(({ name }) => name === resource);
    const subresources = members.filter(({ name }) => name !== resource);
    return {
      resource,
      ...(main && {
        responseKind: responseKind(main),
        singularResource: main.singularName ?? '',
        verbs: main.verbs ?? [],
        ...(main.shortNames && { shortNames: main.shortNames }),
        ...(main.categories && { categories: main.categories }),
      }),
      scope: members[0]?.namespaced === true ? 'Namespaced' : 'Cluster',
      ...(subresources.length > 0 && {
        subresources: subresources.map(each => ({
          subresource: each.name.slice(resource.length + 1),
          responseKind: responseKind(each),
          verbs: each.verbs ?? [],
        })),
      }),
    };
  });
}
