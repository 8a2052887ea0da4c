import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import {
  boolean,
  bytes,
  double,
  eitherOr,
  int32,
  int64,
  json,
  lazy,
  list,
  map,
  object,
  string,
  struct,
  time,
  types,
  type TypeOf,
  type Schema,
  type Json,
} from '../../machinery/schema.ts';
import { formatTime } from '../../machinery/time.ts';
import {
  beforeDefinitionValidation,
  validateDefinitionCreate,
  validateDefinitionStatus,
  validateDefinitionUpdate,
} from './crd-validation.ts';
import { definitionWarnings } from './definition-warnings.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const CustomResourceColumnDefinition = object(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceColumnDefinition',
  {
    description: string(4),
    format: string(3),
    jsonPath: string(6, { required: true, always: true }),
    name: string(1, { required: true, always: true }),
    priority: int32(5),
    type: string(2, { required: true, always: true }),
  },
);
export type CustomResourceColumnDefinition = TypeOf<typeof CustomResourceColumnDefinition>;

export const ServiceReference = object('io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.ServiceReference', {
  name: string(2, { required: true, always: true }),
  namespace: string(1, { required: true, always: true }),
  path: string(3, { pointer: true }),
  port: int32(4, { pointer: true, default: 443 }),
});
export type ServiceReference = TypeOf<typeof ServiceReference>;

export const WebhookClientConfig = object(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.WebhookClientConfig',
  {
    caBundle: bytes(2),
    service: struct(1, ServiceReference),
    url: string(3, { pointer: true }),
  },
);
export type WebhookClientConfig = TypeOf<typeof WebhookClientConfig>;

export const WebhookConversion = object('io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.WebhookConversion', {
  clientConfig: struct(2, WebhookClientConfig),
  conversionReviewVersions: list(3, types.string, { required: true, always: true, listType: 'atomic' }),
});
export type WebhookConversion = TypeOf<typeof WebhookConversion>;

export const CustomResourceConversion = object(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceConversion',
  {
    strategy: string(1, { required: true, always: true }),
    webhook: struct(2, WebhookConversion),
  },
);
export type CustomResourceConversion = TypeOf<typeof CustomResourceConversion>;

export const CustomResourceDefinitionNames = object(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionNames',
  {
    categories: list(6, types.string, { listType: 'atomic' }),
    kind: string(4, { required: true, always: true }),
    listKind: string(5),
    plural: string(1, { required: true, always: true }),
    shortNames: list(3, types.string, { listType: 'atomic' }),
    singular: string(2),
  },
);
export type CustomResourceDefinitionNames = TypeOf<typeof CustomResourceDefinitionNames>;

export const ExternalDocumentation = object(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.ExternalDocumentation',
  {
    description: string(1),
    url: string(2),
  },
);
export type ExternalDocumentation = TypeOf<typeof ExternalDocumentation>;

export const ValidationRule = object('io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.ValidationRule', {
  fieldPath: string(5),
  message: string(2),
  messageExpression: string(3),
  optionalOldSelf: boolean(6, { pointer: true }),
  reason: string(4, {
    pointer: true,
    enum: ['FieldValueDuplicate', 'FieldValueForbidden', 'FieldValueInvalid', 'FieldValueRequired'],
  }),
  rule: string(1, { required: true, always: true }),
});
export type ValidationRule = TypeOf<typeof ValidationRule>;

export interface JSONSchemaProps {
  readonly $ref?: string | undefined;
  readonly $schema?: string | undefined;
  readonly additionalItems?: Json | undefined;
  readonly additionalProperties?: Json | undefined;
  readonly allOf?: readonly JSONSchemaProps[] | undefined;
  readonly anyOf?: readonly JSONSchemaProps[] | undefined;
  readonly default?: Json | undefined;
  readonly definitions?: Readonly<Record<string, JSONSchemaProps>> | undefined;
  readonly dependencies?: Readonly<Record<string, Json>> | undefined;
  readonly description?: string | undefined;
  readonly enum?: readonly Json[] | undefined;
  readonly example?: Json | undefined;
  readonly exclusiveMaximum?: boolean | undefined;
  readonly exclusiveMinimum?: boolean | undefined;
  readonly externalDocs?: ExternalDocumentation | undefined;
  readonly format?: string | undefined;
  readonly id?: string | undefined;
  readonly items?: Json | undefined;
  readonly maxItems?: number | undefined;
  readonly maxLength?: number | undefined;
  readonly maxProperties?: number | undefined;
  readonly maximum?: number | undefined;
  readonly minItems?: number | undefined;
  readonly minLength?: number | undefined;
  readonly minProperties?: number | undefined;
  readonly minimum?: number | undefined;
  readonly multipleOf?: number | undefined;
  readonly not?: JSONSchemaProps | undefined;
  readonly nullable?: boolean | undefined;
  readonly oneOf?: readonly JSONSchemaProps[] | undefined;
  readonly pattern?: string | undefined;
  readonly patternProperties?: Readonly<Record<string, JSONSchemaProps>> | undefined;
  readonly properties?: Readonly<Record<string, JSONSchemaProps>> | undefined;
  readonly required?: readonly string[] | undefined;
  readonly title?: string | undefined;
  readonly type?: string | undefined;
  readonly uniqueItems?: boolean | undefined;
  readonly 'x-kubernetes-embedded-resource'?: boolean | undefined;
  readonly 'x-kubernetes-int-or-string'?: boolean | undefined;
  readonly 'x-kubernetes-list-map-keys'?: readonly string[] | undefined;
  readonly 'x-kubernetes-list-type'?: string | undefined;
  readonly 'x-kubernetes-map-type'?: string | undefined;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean | undefined;
  readonly 'x-kubernetes-validations'?: readonly ValidationRule[] | undefined;
}
const propsPackage = 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1';
const schemaOrBoolean = eitherOr(`${propsPackage}.JSONSchemaPropsOrBool`, 'boolean', () => JSONSchemaProps);
const schemaOrList = eitherOr(`${propsPackage}.JSONSchemaPropsOrArray`, 'list', () => JSONSchemaProps);
const schemaOrNames = eitherOr(`${propsPackage}.JSONSchemaPropsOrStringArray`, 'stringList', () => JSONSchemaProps);

export const JSONSchemaProps: Schema<JSONSchemaProps> = object(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps',
  {
    $ref: string(3, { pointer: true }),
    $schema: string(2),
    additionalItems: struct(33, schemaOrBoolean, { pointer: true }),
    additionalProperties: struct(30, schemaOrBoolean, { pointer: true }),
    allOf: list(
      25,
      lazy(() => JSONSchemaProps),
      { listType: 'atomic' },
    ),
    anyOf: list(
      27,
      lazy(() => JSONSchemaProps),
      { listType: 'atomic' },
    ),
    default: json(8, { pointer: true }),
    definitions: map(
      34,
      lazy(() => JSONSchemaProps),
    ),
    dependencies: map(32, schemaOrNames),
    description: string(4),
    enum: list(20, types.json, { listType: 'atomic' }),
    example: json(36, { pointer: true }),
    exclusiveMaximum: boolean(10),
    exclusiveMinimum: boolean(12),
    externalDocs: struct(35, ExternalDocumentation),
    format: string(6),
    id: string(1),
    items: struct(24, schemaOrList, { pointer: true }),
    maxItems: int64(16, { pointer: true }),
    maxLength: int64(13, { pointer: true }),
    maxProperties: int64(21, { pointer: true }),
    maximum: double(9, { pointer: true }),
    minItems: int64(17, { pointer: true }),
    minLength: int64(14, { pointer: true }),
    minProperties: int64(22, { pointer: true }),
    minimum: double(11, { pointer: true }),
    multipleOf: double(19, { pointer: true }),
    not: struct(
      28,
      lazy(() => JSONSchemaProps),
    ),
    nullable: boolean(37),
    oneOf: list(
      26,
      lazy(() => JSONSchemaProps),
      { listType: 'atomic' },
    ),
    pattern: string(15),
    patternProperties: map(
      31,
      lazy(() => JSONSchemaProps),
    ),
    properties: map(
      29,
      lazy(() => JSONSchemaProps),
    ),
    required: list(23, types.string, { listType: 'atomic' }),
    title: string(7),
    type: string(5),
    uniqueItems: boolean(18),
    'x-kubernetes-embedded-resource': boolean(39),
    'x-kubernetes-int-or-string': boolean(40),
    'x-kubernetes-list-map-keys': list(41, types.string, { listType: 'atomic' }),
    'x-kubernetes-list-type': string(42, { pointer: true }),
    'x-kubernetes-map-type': string(43, { pointer: true }),
    'x-kubernetes-preserve-unknown-fields': boolean(38, { pointer: true }),
    'x-kubernetes-validations': list(44, ValidationRule, {
      listType: 'map',
      mapKeys: ['rule'],
      patchStrategy: 'merge',
      patchMergeKey: 'rule',
    }),
  },
);

export const CustomResourceValidation = object(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceValidation',
  {
    openAPIV3Schema: struct(
      1,
      lazy(() => JSONSchemaProps),
    ),
  },
);
export type CustomResourceValidation = TypeOf<typeof CustomResourceValidation>;

export const SelectableField = object('io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.SelectableField', {
  jsonPath: string(1, { required: true, always: true }),
});
export type SelectableField = TypeOf<typeof SelectableField>;

export const CustomResourceSubresourceScale = object(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceSubresourceScale',
  {
    labelSelectorPath: string(3, { pointer: true }),
    specReplicasPath: string(1, { required: true, always: true }),
    statusReplicasPath: string(2, { required: true, always: true }),
  },
);
export type CustomResourceSubresourceScale = TypeOf<typeof CustomResourceSubresourceScale>;

export const CustomResourceSubresourceStatus = object(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceSubresourceStatus',
  {},
);
export type CustomResourceSubresourceStatus = TypeOf<typeof CustomResourceSubresourceStatus>;

export const CustomResourceSubresources = object(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceSubresources',
  {
    scale: struct(2, CustomResourceSubresourceScale),
    status: struct(1, CustomResourceSubresourceStatus),
  },
);
export type CustomResourceSubresources = TypeOf<typeof CustomResourceSubresources>;

export const CustomResourceDefinitionVersion = object(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionVersion',
  {
    additionalPrinterColumns: list(6, CustomResourceColumnDefinition, { listType: 'atomic' }),
    deprecated: boolean(7),
    deprecationWarning: string(8, { pointer: true }),
    name: string(1, { required: true, always: true }),
    schema: struct(4, CustomResourceValidation),
    selectableFields: list(9, SelectableField, { listType: 'atomic' }),
    served: boolean(2, { required: true, always: true }),
    storage: boolean(3, { required: true, always: true }),
    subresources: struct(5, CustomResourceSubresources),
  },
);
export type CustomResourceDefinitionVersion = TypeOf<typeof CustomResourceDefinitionVersion>;

export const CustomResourceDefinitionSpec = object(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionSpec',
  {
    conversion: struct(9, CustomResourceConversion, {
      default: { strategy: 'None' },
      doc: 'How objects change between versions.',
    }),
    group: string(1, { required: true, always: true, doc: 'The API group, a domain name.' }),
    names: struct(3, CustomResourceDefinitionNames, {
      required: true,
      always: true,
      doc: 'What the kind is called in all places.',
    }),
    preserveUnknownFields: boolean(10),
    scope: string(4, { required: true, always: true, doc: 'Namespaced or Cluster.' }),
    versions: list(7, CustomResourceDefinitionVersion, {
      required: true,
      always: true,
      listType: 'atomic',
      doc: 'The versions served, each with its schema.',
    }),
  },
);
export type CustomResourceDefinitionSpec = TypeOf<typeof CustomResourceDefinitionSpec>;

export const CustomResourceDefinitionCondition = object(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionCondition',
  {
    lastTransitionTime: time(3, { always: true }),
    message: string(5),
    observedGeneration: int64(6),
    reason: string(4),
    status: string(2, { required: true, always: true }),
    type: string(1, { required: true, always: true }),
  },
);
export type CustomResourceDefinitionCondition = TypeOf<typeof CustomResourceDefinitionCondition>;

export const CustomResourceDefinitionStatus = object(
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus',
  {
    acceptedNames: struct(2, CustomResourceDefinitionNames, { always: true }),
    conditions: list(1, CustomResourceDefinitionCondition, { always: true, listType: 'map', mapKeys: ['type'] }),
    observedGeneration: int64(4),
    storedVersions: list(3, types.string, { always: true, listType: 'atomic' }),
  },
);
export type CustomResourceDefinitionStatus = TypeOf<typeof CustomResourceDefinitionStatus>;

/** Keeps a definition until its objects are gone. */
export const cleanupFinalizer = 'customresourcecleanup.apiextensions.k8s.io';

export const CustomResourceDefinition = defineKind({
  group: 'apiextensions.k8s.io',
  version: 'v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
  namespaced: false,
  doc: 'Adds a kind of object of your own to the API.',
  shortNames: ['crd', 'crds'],
  categories: ['api-extensions'],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, CustomResourceDefinitionSpec, { required: true, always: true }),
    status: struct(3, CustomResourceDefinitionStatus, { always: true }),
  },
  metadataChecks: { standardFinalizers: false },
  hasGeneration: true,
  requiresResourceVersion: true,
  default(definition) {
    const { names } = definition.spec;
    if (names.kind !== '' && (names.singular ?? '') === '') names.singular = names.kind.toLowerCase();
    if (names.kind !== '' && (names.listKind ?? '') === '') names.listKind = `${names.kind}List`;
    if ((definition.status.storedVersions ?? []).length === 0) addStoredVersion(definition);
  },
  prepareForCreate(definition) {
    delete definition.status.storedVersions;
    addStoredVersion(definition);
  },
  prepareForUpdate(definition) {
    addStoredVersion(definition);
  },
  prepareForDelete(definition, nowMs) {
    const { metadata, status } = definition;
    metadata.finalizers = [...new Set([...(metadata.finalizers ?? []), cleanupFinalizer])];
    const pending = {
      type: 'Terminating',
      status: 'True',
      lastTransitionTime: formatTime(nowMs),
      reason: 'InstanceDeletionPending',
      message: 'CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon',
    };
    definition.status = {
      ...status,
      conditions: [...(status.conditions ?? []).filter(({ type }) => type !== pending.type), pending],
    };
  },
  warnings: definitionWarnings,
  beforeValidation: beforeDefinitionValidation,
  validateCreate: validateDefinitionCreate,
  validateUpdate: validateDefinitionUpdate,
  validateStatusUpdate: (definition, _, report) => validateDefinitionStatus(definition, report),
});
export type CustomResourceDefinition = ObjectOf<typeof CustomResourceDefinition>;

interface Stored {
  readonly spec: { readonly versions: readonly { readonly name: string; readonly storage: boolean }[] };
  status: { storedVersions?: string[] | undefined };
}

/** The version objects are stored in now joins those they were stored in before. */
function addStoredVersion(definition: Stored): void {
  const { spec, status } = definition;
  const storage = (spec.versions ?? []).find(version => version.storage);
  const stored = status.storedVersions ?? [];
  if (storage === undefined || stored.includes(storage.name)) return;
  // Another object: on an update the status is still the one that is stored, and shared.
  definition.status = { ...status, storedVersions: [...stored, storage.name] };
}
