import { defineKind, type Kind, type Verb } from '#api/machinery/kind.ts';
import type { Client } from './client.ts';

interface GroupDiscoveryList {
  readonly items: readonly {
    readonly metadata?: { readonly name?: string };
    readonly versions?: readonly {
      readonly version: string;
      readonly freshness?: string;
      readonly resources?: readonly {
        readonly resource: string;
        readonly responseKind?: { readonly group?: string; readonly version?: string; readonly kind?: string };
        readonly scope: 'Cluster' | 'Namespaced';
        readonly singularResource?: string;
        readonly verbs: readonly string[];
        readonly shortNames?: readonly string[];
        readonly categories?: readonly string[];
      }[];
    }[];
  }[];
}

/** What a server serves, as kinds without schema; each resource once, in the group's preferred version that has it. */
export interface Discovery {
  readonly kinds: readonly Kind[];
  /** Group-versions whose aggregated server did not answer. */
  readonly stale: readonly string[];
}

const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

/** Reads the aggregated discovery document. */
export async function discover(client: Client, signal?: AbortSignal): Promise<Discovery> {
  const options = { accept, ...(signal && { signal }) };
  const documents = await Promise.all([client.raw('/api', options), client.raw('/apis', options)]);
  const kinds = new Map<string, Kind>();
  const stale: string[] = [];
  for (const document of documents)
    for (const { metadata, versions = [] } of (JSON.parse(document) as GroupDiscoveryList).items)
      for (const { version, freshness, resources = [] } of versions) {
        const group = metadata?.name ?? '';
        if (freshness === 'Stale') stale.push(group === '' ? version : `${group}/${version}`);
        for (const each of resources) {
          const id = `${group}/${each.resource}`;
          if (kinds.has(id)) continue;
          const { kind = '' } = each.responseKind ?? {};
          kinds.set(
            id,
            defineKind({
              group,
              version,
              kind,
              plural: each.resource,
              namespaced: each.scope === 'Namespaced',
              verbs: each.verbs as readonly Verb[],
              shortNames: each.shortNames ?? [],
              categories: each.categories ?? [],
              ...(each.singularResource && { singular: each.singularResource }),
              type: '',
              fields: {},
              preserveUnknown: true,
            }) as unknown as Kind,
          );
        }
      }
  return { kinds: [...kinds.values()], stale };
}
