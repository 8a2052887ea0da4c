import type { ObjectMeta } from '../meta/v1/object-meta.ts';
import type { Report } from './validation.ts';
import type { FieldTable, ObjectOptions, ObjectSchema, Schema, TypeOf } from './schema.ts';
import { object } from './schema.ts';

declare const shape: unique symbol;

/** What every API object has. */
export interface ApiObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
}

/** The shape of a kind with wanted and observed state, for functions that are used in the kind's own definition. */
export interface WithSpec<Spec, Status = unknown> extends ApiObject {
  readonly spec: Spec;
  readonly status: Status;
}

export type Verb = 'create' | 'delete' | 'deletecollection' | 'get' | 'list' | 'patch' | 'update' | 'watch';

/** Who makes an object, for kinds that remember it. */
export interface Creator {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/**
 * A kind of the API, defined in one place. From this value come the TypeScript type, defaults, validation, codecs,
 * OpenAPI and `explain`, routes and discovery, patch and apply, columns, storage keys, clients and informers. A CRD
 * becomes such a value at run time.
 */
export interface Kind<Type extends ApiObject = ApiObject> {
  readonly [shape]?: Type;
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly namespaced: boolean;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly verbs: readonly Verb[];
  /** False for versions that a default server does not serve (alpha, beta). */
  readonly served: boolean;
  /** Name (`status`, `scale`, `log`, …) → what discovery says of it. */
  readonly subresources: Readonly<Record<string, Subresource>>;
  readonly schema: ObjectSchema;
  /** Field selectors beside metadata.name and metadata.namespace: label → value as a string, read from the stored form. */
  readonly fieldSelectors: Readonly<Record<string, FieldValue<Type>>>;
  /** Columns of `kubectl get`. Without any: Name and Created At. */
  readonly columns: readonly Column<Type>[];
  /** The resource whose storage this one shares: autoscaling/v1 over v2, events.k8s.io over core. */
  readonly storedAs?: { readonly group: string; readonly version: string };
  /** Rewrites an object of this version as the stored one. The kind and apiVersion of the result are the stored ones. */
  toStored?(item: Type): ApiObject;
  /** Rewrites a stored object as one of this version. */
  fromStored?(stored: ApiObject): Type;
  /** Defaults that depend on other fields; static ones are in the schema and already filled in. The object may be changed. */
  default?(item: Draft<Type>): void;
  /** Prepares a new object: drops what a client may not set, fills what the server owns. The object may be changed. */
  prepareForCreate?(item: Draft<Type>, creator?: Creator): void;
  /** Prepares a replacement beyond keeping status and metadata: the object may be changed, `old` may not. */
  prepareForUpdate?(item: Draft<Type>, old: Type): void;
  /** The same for an update of the status subresource. */
  prepareForStatusUpdate?(item: Draft<Type>, old: Type, nowMs: number): void;
  /** Loads what judging this item takes and few others need. Waited for before anything below is called. */
  beforeValidation?(item: Type): Promise<void> | undefined;
  /** What holds for new and for changed objects. */
  validate?(item: Type, report: Report): void;
  /** What holds for new objects only: called on create after `validate`. */
  validateCreate?(item: Type, report: Report): void;
  /** Called on update after `validate`, or where `changeRules` says. */
  validateUpdate?(item: Type, old: Type, report: Report): void;
  /** Upstream says of some kinds what is wrong with the change first, of others that alone. */
  readonly changeRules?: 'first' | 'alone';
  /** Called on an update of the status subresource instead of `validate` and `validateUpdate`. */
  validateStatusUpdate?(item: Type, old: Type, report: Report): void;
  /** Warning headers for a create or update. */
  warnings?(item: Type, old: Type | undefined): readonly string[];
  /** Name rules; default is a DNS subdomain. Returns upstream's messages. */
  validateName?(name: string): readonly string[];
  /** How rules of this kind judge metadata, beside those for all kinds. */
  readonly metadataChecks?: MetadataChecks;
  /** Fields of metadata that an update of the status subresource leaves as they were. */
  readonly statusKeeps?: readonly (keyof ObjectMeta)[];
  /** A PUT of an object that does not exist creates it. */
  readonly createOnUpdate?: boolean;
  /** A PUT without resourceVersion is refused (`must be specified for an update`). */
  readonly requiresResourceVersion?: boolean;
  /** DELETE answers with the object instead of a Status. */
  readonly returnsDeleted?: boolean;
  /** Kinds without spec (ConfigMap, Secret, Role, …) have no generation. Default: true when the schema has `spec`. */
  readonly hasGeneration?: boolean;
  /** False: nobody looks at its owners and dependents (Events are too many), so policies of propagation mean nothing. */
  readonly garbageCollected?: boolean;
  /** A DELETE that says nothing of its dependents leaves them: kinds of the time before the garbage collector. */
  readonly orphansByDefault?: true;
  /** What such a DELETE is warned of. */
  readonly orphanWarning?: string;
  /** DELETE leaves the object to its owner (a node agent) for a grace period. */
  graceSeconds?(item: Type, requestedSeconds: number | undefined): number;
  /** For a CustomResourceDefinition's kinds. */
  readonly custom?: boolean;
  /** Absent: the kind's name with `List` behind it. */
  readonly listKind?: string;
  /** Where `scale` finds its numbers; absent: where built-in workloads have them. */
  readonly scalePaths?: ScalePaths;
  /** A Warning header for every request of a version that should no longer be used. */
  readonly deprecation?: string;
  /** Makes this version's objects of others of theirs by asking somebody else; absent where `fromStored` can do it. */
  convert?(objects: readonly ApiObject[]): Promise<readonly ApiObject[]>;
  /** Why no new objects may be made now. */
  refusesCreate?(): string | undefined;
  /** Called when deletion begins: adds finalizers. The object may be changed. */
  prepareForDelete?(item: Draft<Type>, nowMs: number): void;
  /** A stored object as the current schema has it, when that is something else: for what older schemas have left in the store. */
  revive?(stored: Draft<Type>): ApiObject | undefined;
}

/**
 * Upstream's rules for all kinds judge the metadata of a replacement as that of a new object and as that of a changed one. The
 * rules of most kinds do both again, and the causes of a refusal say it again.
 */
export interface MetadataChecks {
  /** Absent: new and changed. */
  readonly update?: readonly MetadataCheck[];
  /** Absent: changed. */
  readonly status?: readonly MetadataCheck[];
  /** False: any finalizer may do without a domain. */
  readonly standardFinalizers?: false;
}

export type MetadataCheck = 'new' | 'changed';

/** What most kinds whose status path leaves metadata alone name as `statusKeeps`. */
export const statusMetadata = [
  'deletionTimestamp',
  'labels',
  'annotations',
  'finalizers',
  'ownerReferences',
] as const satisfies readonly (keyof ObjectMeta)[];

export interface ScalePaths {
  /** Names of fields from the object down: `['spec', 'replicas']`. */
  readonly specReplicas: readonly string[];
  readonly statusReplicas: readonly string[];
  /** Holds a selector as text. */
  readonly labelSelector?: readonly string[];
}

/** Declared as a method, so that a kind of a certain type is a Kind too. */
type FieldValue<Type> = { read(item: Type): string }['read'];

export interface Subresource {
  readonly verbs: readonly string[];
  /** The kind it speaks, when it is not the parent's. */
  readonly kind?: { readonly group: string; readonly version: string; readonly kind: string };
}

export interface Column<Type = ApiObject> {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'date';
  readonly format?: string;
  readonly description?: string;
  /** 0 is shown always, 1 with -o wide. */
  readonly priority?: 0 | 1;
  /** The cell. `nowMs` is for ages, which upstream renders as text. */
  cell(item: Type, nowMs: number): string | number | boolean | null;
}

/** A mutable view of an object under construction. */
export type Draft<T> = T extends string | number | boolean | bigint | null | undefined
  ? T
  : T extends readonly (infer Item)[]
    ? Draft<Item>[]
    : { -readonly [Key in keyof T]: Draft<T[Key]> };

/** What a client sends: every field optional, however deep. */
export type Partly<T> = T extends string | number | boolean | bigint | null | undefined
  ? T
  : T extends readonly (infer Item)[]
    ? readonly Partly<Item>[]
    : { readonly [Key in keyof T]?: Partly<T[Key]> | undefined };

export type ObjectOf<K> = K extends { readonly [shape]?: infer Type } ? Exclude<Type, undefined> : never;

/** A kind's type as a type of fields: StatefulSet holds claims. */
export function schemaOf<Type extends ApiObject>(kind: Kind<Type>): Schema<Type> {
  return kind.schema as Schema<Type>;
}

/** The type comes from the fields alone: columns are made for parts of it as well. */
type Definition<Fields extends FieldTable, Type extends ApiObject> = Omit<
  Partial<Kind<NoInfer<Type>>>,
  'schema' | 'group' | 'version' | 'kind' | 'plural' | 'namespaced'
> & {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  /** The definition's name in OpenAPI. */
  readonly type: string;
  readonly fields: Fields;
} & ObjectOptions;

const allVerbs: readonly Verb[] = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

export function defineKind<const Fields extends FieldTable, Type extends ApiObject = ShapeOfKind<Fields>>(
  definition: Definition<Fields, Type>,
): Kind<Type> {
  const { type, fields, mapType, unions, preserveUnknown, doc, ...rest } = definition;
  return {
    singular: definition.kind.toLowerCase(),
    shortNames: [],
    categories: [],
    verbs: allVerbs,
    served: true,
    subresources: {},
    fieldSelectors: {},
    columns: [],
    ...rest,
    schema: object(type, fields, {
      isKind: true,
      ...(mapType && { mapType }),
      ...(unions && { unions }),
      ...(preserveUnknown && { preserveUnknown }),
      ...(doc && { doc }),
    }),
  } as Kind<Type>;
}

type ShapeOfKind<Fields extends FieldTable> = { readonly apiVersion?: string; readonly kind?: string } & Omit<
  TypeOf<ReturnType<typeof object<Fields>>>,
  'metadata' | 'apiVersion' | 'kind'
> & { readonly metadata: ObjectMeta };

/** `apps/v1`, or `v1` for the core group. */
export function apiVersionOf(kind: { readonly group: string; readonly version: string }): string {
  return kind.group === '' ? kind.version : `${kind.group}/${kind.version}`;
}

/** The kind of a list of objects. */
export function listKindOf(kind: Pick<Kind, 'kind' | 'listKind'>): string {
  return kind.listKind ?? `${kind.kind}List`;
}

/** `deployments.apps`, or `pods` for the core group: how messages name a resource. */
export function resourceNameOf(kind: { readonly group: string; readonly plural: string }): string {
  return kind.group === '' ? kind.plural : `${kind.plural}.${kind.group}`;
}
