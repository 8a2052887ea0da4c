import type {
  CustomResourceDefinition,
  CustomResourceDefinitionVersion,
  CustomResourceSubresourceScale,
  JSONSchemaProps,
} from '#api/apiextensions/v1/custom-resource-definition.ts';
import { beforeValueCheck, valueCheckOf } from '#api/apiextensions/value-check.ts';
import { decodeObject } from '#api/machinery/decode.ts';
import { applyDefaults } from '#api/machinery/defaults.ts';
import { fieldsOf, valueAt } from '#api/machinery/json-path.ts';
import { apiVersionOf, type ApiObject, type Kind, type ScalePaths, type Subresource } from '#api/machinery/kind.ts';
import type { Json } from '#api/machinery/schema.ts';
import { copyOf } from '../copy.ts';
import { columnsOf } from './columns.ts';
import type { Conversion } from './conversion.ts';
import { kindSchemaOf } from './schema.ts';
import { compareVersions } from '../discovery/group-order.ts';

/** What a definition becomes. */
export interface CustomKinds {
  readonly served: readonly Kind[];
  /** The kind objects are stored as, whether it is served or not. */
  readonly stored: Kind;
}

/** Why a definition that is going away takes no new objects. */
const terminating = 'create not allowed while custom resource definition is terminating';

/**
 * The kinds of a definition whose names are accepted. `isTerminating` is asked at every creation; `conversion` is how
 * versions become others, where that is more than another apiVersion.
 */
export function customKindsOf(
  definition: CustomResourceDefinition,
  isTerminating: () => boolean,
  conversion?: Conversion,
): CustomKinds {
  const { versions } = definition.spec;
  const storage = versions.find(version => version.storage);
  if (!storage) throw new Error(`cannot serve ${definition.metadata.name}: no version is the stored one`);
  const plain = { ...kindOf(definition, storage, isTerminating), revive: revivalOf(conversion !== undefined) };
  const stored = conversion ? convertedBy(plain, conversion) : plain;
  const beside = (kind: Kind) =>
    conversion
      ? convertedBy({ ...kind, storedAs: { group: stored.group, version: stored.version } }, conversion)
      : convertible(kind, stored);
  const served = versions
    .filter(version => version.served)
    .map(version => (version.storage ? stored : beside(kindOf(definition, version, isTerminating))));
  return { served, stored };
}

function kindOf(
  definition: CustomResourceDefinition,
  version: CustomResourceDefinitionVersion,
  isTerminating: () => boolean,
): Kind {
  const { group, scope } = definition.spec;
  const names = definition.status.acceptedNames;
  const root: JSONSchemaProps = version.schema?.openAPIV3Schema ?? {};
  const check = valueCheckOf(root);
  const scale = version.subresources?.scale;
  const gvk = { group, version: version.name, kind: names.kind };
  const deprecation = deprecationOf(definition, version);
  return {
    ...gvk,
    plural: names.plural,
    singular: names.singular ?? '',
    listKind: names.listKind ?? `${names.kind}List`,
    namespaced: scope === 'Namespaced',
    shortNames: names.shortNames ?? [],
    categories: names.categories ?? [],
    verbs: ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'],
    served: version.served,
    custom: true,
    hasGeneration: true,
    metadataChecks: { update: ['changed'], standardFinalizers: false },
    subresources: subresourcesOf(version),
    schema: kindSchemaOf(
      [...group.split('.').toReversed(), version.name, names.kind].join('.'),
      root,
      version.selectableFields,
    ),
    fieldSelectors: fieldSelectorsOf(version),
    columns: columnsOf(version.additionalPrinterColumns),
    ...(scale && { scalePaths: scalePathsOf(scale) }),
    ...(deprecation !== undefined && { deprecation }),
    refusesCreate: () => (isTerminating() ? terminating : undefined),
    beforeValidation: () => beforeValueCheck(root),
    validateCreate: (item, report) => check(item, report),
    validateUpdate: (item, old, report) => check(item, report, old),
    validateStatusUpdate: (item, old, report) => check(item, report, old),
  };
}

function subresourcesOf({ subresources }: CustomResourceDefinitionVersion): Readonly<Record<string, Subresource>> {
  const verbs = ['get', 'patch', 'update'];
  return {
    ...(subresources?.status && { status: { verbs } }),
    ...(subresources?.scale && { scale: { verbs, kind: { group: 'autoscaling', version: 'v1', kind: 'Scale' } } }),
  };
}

function scalePathsOf(scale: CustomResourceSubresourceScale): ScalePaths {
  const labelSelector = scale.labelSelectorPath === undefined ? undefined : fieldsOf(scale.labelSelectorPath);
  return {
    specReplicas: fieldsOf(scale.specReplicasPath) ?? [],
    statusReplicas: fieldsOf(scale.statusReplicasPath) ?? [],
    ...(labelSelector && { labelSelector }),
  };
}

function fieldSelectorsOf({ selectableFields = [] }: CustomResourceDefinitionVersion): Kind['fieldSelectors'] {
  return Object.fromEntries(
    selectableFields.map(({ jsonPath }) => {
      const names = fieldsOf(jsonPath) ?? [];
      return [
        jsonPath.slice(1),
        (item: ApiObject) => {
          const value = valueAt(item, names);
          return typeof value === 'string'
            ? value
            : value === undefined || value === null
              ? ''
              : String(value as number);
        },
      ];
    }),
  );
}

/** The warning for requests of a deprecated version: its own, or one that names the newest version to use instead. */
function deprecationOf(
  { spec: { group, names, versions } }: CustomResourceDefinition,
  version: CustomResourceDefinitionVersion,
): string | undefined {
  if (version.deprecated !== true) return undefined;
  if (version.deprecationWarning !== undefined) return version.deprecationWarning;
  const [better] = versions
    .filter(({ name, served, deprecated }) => served && deprecated !== true && compareVersions(name, version.name) < 0)
    .map(({ name }) => name)
    .sort(compareVersions);
  const instead = better === undefined ? '' : `; use ${group}/${better} ${names.kind}`;
  return `${group}/${version.name} ${names.kind} is deprecated${instead}`;
}

/** A version beside the stored one: the same object under another apiVersion, without what its schema does not know. */
function convertible(kind: Kind, stored: Kind): Kind {
  return {
    ...kind,
    storedAs: { group: stored.group, version: stored.version },
    toStored(item) {
      const object = pruned(stored, item);
      applyDefaults(stored.schema, object as never);
      return object;
    },
    fromStored: item => pruned(kind, item),
  };
}

/** A version whose objects somebody else makes out of those of other versions. */
function convertedBy(kind: Kind, conversion: Conversion): Kind {
  return {
    ...kind,
    async convert(objects) {
      const converted = await conversion(apiVersionOf(kind), objects);
      return converted.map(item => {
        const object = pruned(kind, item);
        applyDefaults(kind.schema, object as never);
        return object;
      });
    },
  };
}

function pruned(kind: Kind, item: ApiObject): ApiObject {
  const value = { ...copyOf(item), apiVersion: apiVersionOf(kind), kind: kind.kind };
  return decodeObject(kind.schema, value as unknown as Json, { unknown: 'drop' }).object as unknown as ApiObject;
}

/** What an older schema or storage version has left in the store, as the schema of today has it. */
function revivalOf(byWebhook: boolean): NonNullable<Kind['revive']> {
  return function (this: Kind, item) {
    // Only the webhook knows what this would be in the version of today: it stays what it is.
    if (byWebhook && item.apiVersion !== apiVersionOf(this)) return undefined;
    const object = pruned(this, item as ApiObject);
    applyDefaults(this.schema, object as never);
    return object;
  };
}
