import type { Field, ObjectSchema, Schema } from './schema.ts';
import { zeroOf } from './zero.ts';

/**
 * A value as messages of upstream print it where they print a whole struct: its internal types have no JSON names, so that
 * every field is there under its name in Go, with its zero value when it is not set. The fields stand in the order of their
 * tags. Types of meta/v1 have no internal form: they are printed as JSON.
 */
export function goForm(schema: Schema, value: unknown): unknown {
  if (value === undefined || value === null) return null;
  switch (schema.type) {
    case 'lazy':
      return goForm(schema.of(), value);
    case 'list':
      return (value as readonly unknown[]).map(each => goForm(schema.items, each));
    case 'map':
      return Object.fromEntries(
        Object.entries(value)
          .toSorted(([left], [right]) => (left < right ? -1 : 1))
          .map(([key, each]) => [key, goForm(schema.values, each)]),
      );
    case 'object':
      return isOfMeta(schema) ? jsonOf(schema, value as Fields) : structOf(schema, value as Fields);
    default:
      return value;
  }
}

/** A field of a struct: its zero value when it is not set. */
export function goField(field: Field, value: unknown): unknown {
  return value === undefined || value === null ? unset(field) : goForm(field.schema, value);
}

type Fields = Readonly<Record<string, unknown>>;

/** With its names in JSON, without what is not set. */
function jsonOf({ name: type, fields }: ObjectSchema, value: Fields): object {
  return Object.fromEntries(
    Object.entries<Field>(fields)
      .toSorted(([left, one], [right, other]) => byPlace(type, left, right) || byTag(one, other))
      .filter(([name, { always, required }]) => always || required || value[name] !== undefined)
      .map(([name, field]) => [name, goField(field, value[name])]),
  );
}

function structOf({ name: type, fields }: ObjectSchema, value: Fields): object {
  return Object.fromEntries(
    Object.entries<Field>(fields)
      .toSorted(([left, one], [right, other]) => byPlace(type, left, right) || byTag(one, other))
      .flatMap(([name, field]) => {
        const set = Object.hasOwn(value, name) ? value[name] : undefined;
        // Metadata is embedded.
        if (name === 'metadata') return Object.entries(goForm(field.schema, set ?? {}) as Fields);
        return [[goName(type, name), goField(field, set)] as const];
      }),
  );
}

/** Where a struct's order is another. */
function byPlace(type: string, left: string, right: string): number {
  const order = unusualOrders[type];
  return order === undefined ? 0 : order.indexOf(left) - order.indexOf(right);
}

const unusualOrders: Readonly<Record<string, readonly string[]>> = {
  'io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference': [
    'apiVersion',
    'kind',
    'name',
    'uid',
    'controller',
    'blockOwnerDeletion',
  ],
  'io.k8s.api.core.v1.ISCSIPersistentVolumeSource': [
    'targetPortal',
    'iqn',
    'lun',
    'iscsiInterface',
    'fsType',
    'readOnly',
    'portals',
    'chapAuthDiscovery',
    'chapAuthSession',
    'secretRef',
    'initiatorName',
  ],
  'io.k8s.api.core.v1.PersistentVolumeSpec': [
    'capacity',
    'gcePersistentDisk',
    'awsElasticBlockStore',
    'hostPath',
    'glusterfs',
    'nfs',
    'rbd',
    'quobyte',
    'iscsi',
    'flexVolume',
    'cinder',
    'cephfs',
    'fc',
    'flocker',
    'azureFile',
    'vsphereVolume',
    'azureDisk',
    'photonPersistentDisk',
    'portworxVolume',
    'scaleIO',
    'local',
    'storageos',
    'csi',
    'accessModes',
    'claimRef',
    'persistentVolumeReclaimPolicy',
    'storageClassName',
    'mountOptions',
    'volumeMode',
    'nodeAffinity',
    'volumeAttributesClassName',
  ],
};

/** Fields of an embedded struct stand where it stands. */
function byTag(left: Field, right: Field): number {
  const [outer, other] = [left.within?.[0] ?? left.tag, right.within?.[0] ?? right.tag];
  return outer - other || left.tag - right.tag;
}

function unset({ schema, pointer, always, required }: Field): unknown {
  if (pointer) return null;
  if (schema.type !== 'object') return zeroOf(schema);
  return always || required ? goForm(schema, {}) : null;
}

function isOfMeta({ name }: ObjectSchema): boolean {
  return name.startsWith('io.k8s.apimachinery.pkg.apis.meta.');
}

/** `apiGroup` → `APIGroup`, `nonResourceURLs` → `NonResourceURLs` */
function goName(type: string, name: string): string {
  const unusual = unusualNames[name] ?? unusualNames[`${type.slice(type.lastIndexOf('.') + 1)}.${name}`];
  if (unusual !== undefined) return unusual;
  const initials = initialism.exec(name)?.[0] ?? name.charAt(0);
  return initials.toUpperCase() + name.slice(initials.length);
}

const unusualNames: Readonly<Record<string, string>> = {
  cephfs: 'CephFS',
  chapAuthDiscovery: 'DiscoveryCHAPAuth',
  chapAuthSession: 'SessionCHAPAuth',
  diskURI: 'DataDiskURI',
  pdID: 'PdID',
  sslEnabled: 'SSLEnabled',
  storageos: 'StorageOS',
  wwids: 'WWIDs',
  'GlusterfsPersistentVolumeSource.endpoints': 'EndpointsName',
  'RBDPersistentVolumeSource.image': 'RBDImage',
  'RBDPersistentVolumeSource.monitors': 'CephMonitors',
  'RBDPersistentVolumeSource.pool': 'RBDPool',
  'RBDPersistentVolumeSource.user': 'RadosUser',
};

const initialism =
  /^(?:api|aws|cel|cidr|cpu|csi|fc|fs|gce|id|ip|iqn|iscsi|json|nfs|pd|rbd|tls|uid|url)(?=s?(?:[A-Z]|$))/;
