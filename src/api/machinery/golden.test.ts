/**
 * Upstream's golden objects, every field filled, through JSON, YAML and protobuf. They lie beside the project; without
 * them the test says so and is skipped. Kinds that are ours go through our schemas; versions that we do not own get a
 * schema from the reference's facts, to hold the codecs to all 190.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { APIGroupDiscoveryList } from '../apidiscovery/v2/api-group-discovery.ts';
import { kinds } from '../kinds.ts';
import { APIGroup } from '../meta/v1/api-group.ts';
import { APIVersions } from '../meta/v1/api-versions.ts';
import { DeleteOptions } from '../meta/v1/delete-options.ts';
import { Status } from '../meta/v1/status.ts';
import { WatchEvent } from '../meta/v1/watch-event.ts';
import { decodeObject } from './decode.ts';
import { applyDefaults } from './defaults.ts';
import { ApiError } from './errors.ts';
import { decodeJson, encodeJson } from './json.ts';
import { decodeMessage, decodeProtobuf, encodeMessage, encodeProtobuf } from './protobuf.ts';
import {
  type Field,
  type FieldTable,
  type Json,
  type JsonObject,
  object,
  type ObjectSchema,
  resolve,
  type Schema,
  types,
} from './schema.ts';
import { decodeYaml, encodeYaml } from './yaml.ts';

const reference = join(import.meta.dirname, '../../../../shared/reference/kubernetes-1.36');
const testdata = join(reference, 'testdata');
const present = existsSync(testdata);

test('golden objects go through all codecs', {
  skip: present ? false : `no golden objects in ${testdata}`,
}, async t => {
  const names = readdirSync(testdata)
    .filter(file => file.endsWith('.json'))
    .map(file => file.slice(0, -'.json'.length));
  assert.equal(names.length, 190);
  const sources = readSources();
  for (const name of names) {
    await t.test(name, () => (ofLaterRelease.has(name) ? laterField(name, sources) : roundTrip(name, sources)));
  }
});

/** A release after 1.36 adds CSINode.status; these two files were written by it. */
const ofLaterRelease = new Set([
  'storage.k8s.io.v1.CSINode.after_roundtrip',
  'storage.k8s.io.v1beta1.CSINode.after_roundtrip',
]);

function laterField(name: string, sources: Sources): void {
  const sample = decodeJson(readFileSync(join(testdata, `${name}.json`))) as JsonObject;
  const version = name.includes('v1beta1') ? 'v1beta1' : 'v1';
  const { status, ...ours } = sample;
  assert.deepEqual(status, {});
  const schema = schemaOf(sources, 'storage.k8s.io', version, 'CSINode', ours);
  const { object, unknown } = decodeObject(schema, sample, { unknown: 'report' });
  assert.deepEqual(unknown, ['unknown field "status"']);
  assert.deepEqual(object, ours);
}

function roundTrip(name: string, sources: Sources): void {
  const read = (extension: string) => readFileSync(join(testdata, `${name}.${extension}`));
  const sample = decodeJson(read('json')) as JsonObject;
  const [, group, version, kind] = /^(.+?)\.(v[0-9a-z]+)\.(\w+?)(?:\.after_roundtrip)?$/.exec(name) as unknown as [
    string,
    string,
    string,
    string,
  ];
  const wireKind = {
    group: group === 'core' ? '' : group,
    version: sample['apiVersion'] === undefined ? '' : version,
    kind: (sample['kind'] as string | undefined) ?? '',
    schema: schemaOf(sources, group, version, kind, sample),
  };

  const fromJson = decode(wireKind.schema, decodeJson(read('json')));
  assert.deepEqual(fromJson, sample, 'JSON');
  assert.deepEqual(decodeJson(encodeJson(fromJson)), sample, 'JSON again');

  const fromYaml = decode(wireKind.schema, decodeYaml(read('yaml')));
  assert.deepEqual(fromYaml, sample, 'YAML');
  assert.equal(encodeYaml(fromYaml), read('yaml').toString('utf8'), 'YAML again');

  const bytes = Uint8Array.from(read('pb'));
  const envelope = decodeProtobuf(bytes);
  assert.equal(envelope.kind, wireKind.kind);
  const message = decodeMessage(wireKind.schema, envelope.raw);
  applyDefaults(wireKind.schema, message);
  const { kind: wireName, apiVersion } = envelope;
  const fromProtobuf = { ...(wireName && { kind: wireName }), ...(apiVersion && { apiVersion }), ...message };
  assert.deepEqual(fromProtobuf, sample, 'protobuf');
  assert.equal(hex(encodeProtobuf(wireKind, fromJson)), hex(bytes), 'protobuf again');
}

test('whatever is decoded from JSON is the same through protobuf', { skip: !present }, () => {
  const samples = kinds.flatMap(kind => {
    const file = join(testdata, `${kind.group || 'core'}.${kind.version}.${kind.kind}.json`);
    return existsSync(file) ? [{ kind, text: readFileSync(file, 'utf8') }] : [];
  });
  assert.ok(samples.length > 50);
  const odd = fc.oneof(
    fc.constantFrom<Json>(null, '', 0, false, true, 1, -1, 1.5, 'x', '1', [], {}, [null], [{}], { a: null }, 2 ** 40),
    fc.constantFrom<Json>(
      '2020-01-01T00:00:00Z',
      '0001-01-01T00:00:00Z',
      '2020-01-01T00:00:00.000001Z',
      '100m',
      'AAAA',
    ),
  );
  fc.assert(
    fc.property(fc.nat(samples.length - 1), fc.array(fc.nat(30), { maxLength: 12 }), odd, (index, steps, value) => {
      const { kind, text } = samples[index] as (typeof samples)[number];
      const mutated = decodeJson(text) as Record<string, Json>;
      mutate(mutated, steps, structuredClone(value) as Json);
      const decoded = decodedOrRefused(kind.schema, mutated);
      if (decoded === undefined) return;
      const again = decodeMessage(kind.schema, encodeMessage(kind.schema, decoded));
      applyDefaults(kind.schema, decoded);
      applyDefaults(kind.schema, again);
      const { apiVersion: _, kind: __, ...fields } = decoded;
      assert.deepEqual(again, fields);
      assert.deepEqual(decodeObject(kind.schema, structuredClone(fields) as Json, { unknown: 'drop' }).object, fields);
    }),
    { numRuns: 5_000 },
  );
});

/** Walks down at random and puts a value where it ends. */
function mutate(object: Record<string, Json>, steps: readonly number[], value: Json): void {
  let at: Record<string, Json> = object;
  for (const step of steps) {
    const keys = Object.keys(at).filter(key => key !== 'apiVersion' && key !== 'kind');
    const key = keys[step % keys.length];
    if (key === undefined) return;
    const child = at[key] as Json;
    if (typeof child === 'object' && child !== null && Object.keys(child).length > 0 && step % 5 !== 0) {
      at = child as Record<string, Json>;
    } else {
      at[key] = value;
      return;
    }
  }
}

function decodedOrRefused(schema: ObjectSchema, value: Json): Record<string, Json | undefined> | undefined {
  try {
    return decodeObject(schema, value, { unknown: 'drop' }).object;
  } catch (error) {
    assert.ok(error instanceof ApiError && error.code === 400, String(error));
    return undefined;
  }
}

function decode(schema: ObjectSchema, value: Json): Json {
  const decoded = decodeObject(schema, value, { unknown: 'report' });
  assert.deepEqual(decoded.unknown, []);
  return decoded.object as Json;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

/* Schemas for what we do not own. */

type WireField = readonly [tag: number, wire: string, repeated: boolean];
interface Sources {
  readonly owned: ReadonlyMap<string, ObjectSchema>;
  readonly messages: Readonly<Record<string, Readonly<Record<string, WireField>>>>;
}

const packages: Readonly<Record<string, string>> = {
  'admission.k8s.io': 'admission',
  'admissionregistration.k8s.io': 'admissionregistration',
  'apidiscovery.k8s.io': 'apidiscovery',
  'authentication.k8s.io': 'authentication',
  'authorization.k8s.io': 'authorization',
  'certificates.k8s.io': 'certificates',
  'coordination.k8s.io': 'coordination',
  'discovery.k8s.io': 'discovery',
  'events.k8s.io': 'events',
  'flowcontrol.apiserver.k8s.io': 'flowcontrol',
  'imagepolicy.k8s.io': 'imagepolicy',
  'internal.apiserver.k8s.io': 'apiserverinternal',
  'networking.k8s.io': 'networking',
  'node.k8s.io': 'node',
  'rbac.authorization.k8s.io': 'rbac',
  'resource.k8s.io': 'resource',
  'scheduling.k8s.io': 'scheduling',
  'storage.k8s.io': 'storage',
  'storagemigration.k8s.io': 'storagemigration',
};

const metaPackage = 'k8s.io.apimachinery.pkg.apis.meta.v1';

/** Named types that are scalars for us, by their message. */
const scalars: Readonly<Record<string, Schema>> = {
  string: types.string,
  bytes: types.bytes,
  bool: types.boolean,
  int32: types.int32,
  int64: types.int64,
  double: types.double,
  'k8s.io.apimachinery.pkg.api.resource.Quantity': types.quantity,
  [`${metaPackage}.Time`]: types.time,
  [`${metaPackage}.MicroTime`]: types.microTime,
  [`${metaPackage}.FieldsV1`]: types.fieldsV1,
  'k8s.io.apimachinery.pkg.util.intstr.IntOrString': types.intOrString,
  'k8s.io.apimachinery.pkg.runtime.RawExtension': types.rawExtension,
};

function readSources(): Sources {
  const facts = JSON.parse(readFileSync(join(reference, 'schema.json'), 'utf8')) as {
    messagesWithoutJsonType: Sources['messages'];
  };
  const owned = new Map<string, ObjectSchema>();
  for (const schema of [
    Status,
    DeleteOptions,
    APIGroup,
    APIVersions,
    WatchEvent,
    APIGroupDiscoveryList,
    ...kinds.map(kind => kind.schema),
  ])
    collect(schema, owned);
  return { owned, messages: facts.messagesWithoutJsonType };
}

function collect(schema: Schema, owned: Map<string, ObjectSchema>): void {
  const at = resolve(schema);
  if (at.type === 'list') collect(at.items, owned);
  else if (at.type === 'map') collect(at.values, owned);
  else if (at.type === 'object' && !owned.has(at.name)) {
    owned.set(at.name, at);
    for (const field of Object.values(at.fields)) collect(field.schema, owned);
  }
}

function schemaOf(sources: Sources, group: string, version: string, kind: string, sample: JsonObject): ObjectSchema {
  const found = [`k8s.io.api.${packages[group] ?? group}.${version}.${kind}`, `${metaPackage}.${kind}`].find(
    message => sources.owned.has(jsonName(message)) || message in sources.messages,
  );
  assert.ok(found, `no schema for ${kind}`);
  const schema = messageSchema(sources, found, sample);
  return { ...schema, isKind: true };
}

function messageSchema(sources: Sources, message: string, sample: Json | undefined): ObjectSchema {
  const owned = sources.owned.get(jsonName(message));
  if (owned) return owned;
  const facts = sources.messages[message];
  assert.ok(facts, `no facts about ${message}`);
  const fields: Record<string, Field> = {};
  for (const [name, [tag, wire, repeated]] of Object.entries(facts))
    Object.assign(fields, fieldsOf(sources, message, name, tag, wire, repeated, sample as JsonObject));
  return object(jsonName(message), fields as FieldTable);
}

/** `k8s.io.api.core.v1.Pod` → `io.k8s.api.core.v1.Pod`. */
function jsonName(message: string): string {
  return message.replace(/^k8s\.io\./, 'io.k8s.').replace('_apiserver', '-apiserver');
}

/** One field; or those of an embedded message, whose name does not stand in the JSON. */
function fieldsOf(
  sources: Sources,
  message: string,
  name: string,
  tag: number,
  wire: string,
  repeated: boolean,
  sample: JsonObject,
): Record<string, Field> {
  const of = (type: string, value: Json | undefined) => wireSchema(sources, message, type, value);
  const key = Object.keys(sample).find(each => each.toLowerCase() === name.toLowerCase());
  if (key === undefined) {
    const inner = of(wire, sample);
    if (inner.type !== 'object') return {};
    return Object.fromEntries(
      Object.entries(inner.fields).map(([inside, field]) => [
        inside,
        { ...field, within: [tag, ...(field.within ?? [])] },
      ]),
    );
  }
  const value = sample[key];
  const map = /^map<string,(.+)>$/.exec(wire);
  if (map) {
    const values = of(map[1] as string, Object.values(value as JsonObject)[0]);
    return { [key]: { tag, schema: { type: 'map', values } } };
  }
  if (repeated) {
    return { [key]: { tag, schema: { type: 'list', items: of(wire, (value as readonly Json[])[0]) } } };
  }
  return { [key]: { tag, schema: of(wire, value), pointer: true } };
}

function wireSchema(sources: Sources, message: string, wireName: string, sample: Json | undefined): Schema {
  const wire = wireName.replace(/^\./, '');
  const local = `${message.slice(0, message.lastIndexOf('.'))}.${wire}`;
  const name = wire.includes('.')
    ? wire
    : local in sources.messages || sources.owned.has(jsonName(local))
      ? local
      : wire;
  const scalar = scalars[name] ?? scalars[local];
  if (scalar) return scalar;
  if (name.endsWith('.ExtraValue')) return { type: 'list', items: types.string };
  return messageSchema(sources, name, sample);
}
