import { CustomResourceDefinition } from '#api/apiextensions/v1/custom-resource-definition.ts';
import type { ApiObject, Kind, Partly } from '#api/machinery/kind.ts';
import type { Trial } from './conformance.ts';
import { until } from './waiting.ts';

/** A custom object: whatever stands in it beside metadata. */
export interface Custom extends ApiObject {
  readonly [field: string]: unknown;
}

type Definition = CustomResourceDefinition;
type Version = Partly<Definition['spec']['versions'][number]>;

export interface DefinitionWish {
  readonly group?: string;
  /** Lower case; the kind is the same with a capital letter. */
  readonly singular?: string;
  readonly scope?: 'Namespaced' | 'Cluster';
  /** Default: one version `v1` with `schema`. */
  readonly versions?: readonly Version[];
  /** Of the one version; default: anything goes. */
  readonly schema?: object;
  readonly subresources?: object;
  readonly labels?: Readonly<Record<string, string>>;
  readonly conversion?: object;
  readonly shortNames?: readonly string[];
}

export interface Defined {
  readonly definition: Definition;
  /** `widgets.example.com` */
  readonly name: string;
  /** For the client: of the given version, or of the first. */
  kind(version?: string): Kind<Custom>;
}

export const anything = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };

/** The definition of a new kind, in a group of its own unless one is wished. */
export function definitionOf(t: Trial, wish: DefinitionWish = {}): Partly<Definition> {
  const {
    group = `${t.unique('e2e')}.example.com`,
    singular = `e2e${t.unique('').slice(1)}`,
    scope = 'Namespaced',
  } = wish;
  const { versions, schema = anything, subresources, labels, conversion, shortNames } = wish;
  const names = { plural: `${singular}s`, singular, kind: kindOf(singular), listKind: `${kindOf(singular)}List` };
  const one = { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } };
  return {
    metadata: { name: `${names.plural}.${group}`, ...(labels && { labels }) },
    spec: {
      group,
      scope,
      names: { ...names, ...(shortNames && { shortNames }) },
      versions: versions ?? [{ ...one, ...(subresources && { subresources }) }],
      ...(conversion && { conversion }),
    },
  } as Partly<Definition>;
}

/** Defines a kind, waits until it is served, and takes it away behind the test. */
export async function define(t: Trial, wish: DefinitionWish | Partly<Definition> = {}): Promise<Defined> {
  const asked = 'spec' in wish ? wish : definitionOf(t, wish as DefinitionWish);
  const created = await t.client.create<Definition>(CustomResourceDefinition, asked);
  const name = created.metadata.name ?? '';
  t.defer(() => t.client.delete(CustomResourceDefinition, name).catch(() => undefined));
  const definition = await until(
    t,
    CustomResourceDefinition,
    name,
    'it is established',
    ({ status }) =>
      status?.conditions?.some(({ type, status: holds }) => type === 'Established' && holds === 'True') ?? false,
    { namespace: null },
  );
  const { group, names, scope, versions } = definition.spec;
  return {
    definition,
    name,
    kind: (version = versions[0]?.name ?? '') =>
      ({
        group,
        version,
        kind: names.kind,
        plural: names.plural,
        namespaced: scope === 'Namespaced',
      }) as Kind<Custom>,
  };
}

function kindOf(singular: string): string {
  return `${singular[0]?.toUpperCase()}${singular.slice(1)}`;
}
