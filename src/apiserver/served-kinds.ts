import type { Equivalent, ServedKinds } from '#admission/admission.ts';
import { apiVersionOf, type ApiObject, type Kind, resourceNameOf } from '#api/machinery/kind.ts';
import { type Registry, type Resource, toStored, viewOfStored } from './registry.ts';

/** The kinds that a registry has at the moment. What is asked for is remembered until they change. */
export function servedKindsOf(registry: Registry): ServedKinds {
  let equivalents = new Map<Kind, readonly Equivalent[]>();
  let byName: Map<string, Kind> | undefined;
  let byStored: Map<Kind, Resource[]> | undefined;
  registry.onChange(() => {
    equivalents = new Map();
    byName = undefined;
    byStored = undefined;
  });
  const names = () =>
    (byName ??= new Map(registry.kinds.map(each => [`${apiVersionOf(each)}/${each.kind}`, each] as const)));
  const storedAs = (stored: Kind) => {
    if (!byStored) {
      byStored = new Map();
      for (const resource of registry.resources)
        byStored.set(resource.storedKind, [...(byStored.get(resource.storedKind) ?? []), resource]);
    }
    return byStored.get(stored) ?? [];
  };
  return {
    find: (apiVersion, kind) => names().get(`${apiVersion}/${kind}`),
    findResource: (group, version, plural) => registry.find(group, version, plural)?.kind,
    equivalents(kind) {
      const known = equivalents.get(kind);
      if (known) return known;
      const own = registry.find(kind.group, kind.version, kind.plural);
      const others = own ? storedAs(own.storedKind).filter(each => each.kind !== own.kind) : [];
      const found = own ? others.map(other => equivalentOf(own, other)) : [];
      equivalents.set(kind, found);
      return found;
    },
  };
}

function equivalentOf(own: Resource, other: Resource): Equivalent {
  return { kind: other.kind, convert: converter(own, other), revert: converter(other, own) };
}

function converter(from: Resource, to: Resource): (object: ApiObject) => ApiObject | Promise<ApiObject> {
  if (to.kind.convert) return async object => (await (to.kind.convert as Convert)([object]))[0] as ApiObject;
  return object => {
    const stored = toStored(from, object);
    if (stored instanceof Promise)
      throw new Error(`cannot convert an object of ${resourceNameOf(from.kind)}: only its webhook can`);
    return viewOfStored(to, stored);
  };
}

type Convert = NonNullable<Kind['convert']>;
