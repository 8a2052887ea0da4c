import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { object, list, string, types } from '#api/machinery/schema.ts';
import { defineKind, type Kind } from '#api/machinery/kind.ts';
import { kinds } from '#api/kinds.ts';
import type { ApiRequest, ApiResponse } from '#client/transport.ts';
import type { RequestContext } from '../subresource.ts';
import { openApiPaths } from './openapi.ts';
import { encodeDocument } from './gnostic.ts';
import { swaggerText } from './swagger.ts';

const reference = new URL('../../../../shared/reference/kubernetes-1.36/swagger.json', import.meta.url);

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Document = { [key: string]: Json };

/** Where our document differs from upstream's, and why. A `*` stands for anything. */
const differences: readonly (readonly [path: string, why: string])[] = [
  ['paths /logs/', 'the log files of the machine are not served'],
  ['paths /logs/{logpath}', 'the log files of the machine are not served'],
  [
    'definitions io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions x-kubernetes-group-version-kind',
    'only versions that exist are listed',
  ],
  [
    'definitions io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent x-kubernetes-group-version-kind',
    'only versions that exist are listed',
  ],
  ['definitions io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON', 'any value is written in place'],
  [
    'definitions io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps properties default $ref',
    'any value is written in place',
  ],
  [
    'definitions io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps properties enum items $ref',
    'any value is written in place',
  ],
  [
    'definitions io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps properties example $ref',
    'any value is written in place',
  ],
  ['definitions io.k8s.api.core.v1.Event required', 'metadata is never listed as required'],
  ['definitions io.k8s.api.apiserverinternal.v1alpha1.StorageVersion required', 'metadata is never listed as required'],
  [
    'definitions io.k8s.api.resource.v1alpha3.ResourcePoolStatusRequest required',
    'metadata is never listed as required',
  ],
  [
    'definitions io.k8s.api.core.v1.PersistentVolumeSpec properties claimRef x-kubernetes-map-type',
    'granular is the default',
  ],
  [
    'definitions io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceSpec properties caBundle x-kubernetes-list-type',
    'bytes are no list',
  ],
];

function swagger(served: readonly Kind[]): Document {
  return JSON.parse([...swaggerText(served)].join('')) as Document;
}

/** Without descriptions, parameters in place, sets in order, and without the media type that is off by default (CBOR). */
function comparable(value: Json, document: Document): Json {
  if (Array.isArray(value)) {
    const items = value
      .map(each => comparable(each, document))
      .filter(each => typeof each !== 'string' || !each.includes('cbor'));
    const isSet = items.every(
      each => typeof each === 'string' || (typeof each === 'object' && each !== null && 'in' in each),
    );
    return isSet ? items.sort((left, right) => (keyOf(left) < keyOf(right) ? -1 : 1)) : items;
  }
  if (typeof value !== 'object' || value === null) return value;
  const shared = value['$ref'];
  if (typeof shared === 'string' && shared.startsWith('#/parameters/'))
    return comparable((document['parameters'] as Document)[shared.slice('#/parameters/'.length)] as Json, document);
  const entries = Object.entries(value).filter(([key, each]) => !(key === 'description' && typeof each === 'string'));
  return Object.fromEntries(
    entries.sort(([left], [right]) => (left < right ? -1 : 1)).map(([key, each]) => [key, comparable(each, document)]),
  );
}

function keyOf(value: Json): string {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? `${String(value['name'])} ${String(value['in'])}`
    : String(value);
}

function differing(own: Json | undefined, other: Json | undefined, path: string): string[] {
  if (JSON.stringify(own) === JSON.stringify(other)) return [];
  const isObject = (value: Json | undefined): value is Document =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isObject(own) || !isObject(other)) return [path];
  return [...new Set([...Object.keys(own), ...Object.keys(other)])].flatMap(key =>
    differing(own[key], other[key], `${path} ${key}`),
  );
}

test("the document is upstream's: paths, operations, parameters, types", { skip: !existsSync(reference) }, () => {
  // The reference has every version, served by default or not.
  const own = swagger(kinds);
  const upstream = JSON.parse(readFileSync(reference, 'utf8')) as Document;
  const found = ['paths', 'definitions'].flatMap(part =>
    differing(comparable(own[part] as Json, own), comparable(upstream[part] as Json, upstream), part),
  );
  assert.deepEqual(found.sort(), differences.map(([path]) => path).sort());
  assert.equal(Object.keys(own['paths'] as Document).length, 560);
});

/** What a server has registered: kinds with a path of their own. */
const registered = kinds.filter(kind => kind.plural !== '' && kind.served);

function server(served: () => readonly Kind[] = () => registered) {
  let changed: () => void = () => undefined;
  const clock = new ManualClock();
  const paths = openApiPaths({
    kinds: served,
    onChange: listener => {
      changed = listener;
    },
    clock,
  });
  const get = async (
    target: string,
    headers: Record<string, string> = {},
  ): Promise<ApiResponse & { readonly text: string }> => {
    const url = new URL(target, 'https://x');
    const handler = paths.find(
      each => url.pathname === each.path || (each.prefix && url.pathname.startsWith(`${each.path}/`)),
    );
    const request = { path: url.pathname, query: url.searchParams, headers } as unknown as ApiRequest;
    const response = (await handler?.handle(request, {} as RequestContext)) as ApiResponse;
    const text = response.kind === 'bytes' ? Buffer.concat([...response.bytes]).toString() : '';
    return Object.assign(response, { text });
  };
  return { get, change: () => changed() };
}

test('v2: JSON or protobuf, each with a tag', async () => {
  const { get } = server();
  const response = await get('/openapi/v2');
  assert.equal(response.code, 200);
  assert.equal(response.headers['vary'], 'Accept');
  const document = JSON.parse(response.text) as { swagger: string; paths: Record<string, unknown> };
  assert.equal(document.swagger, '2.0');
  assert.ok(document.paths['/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale']);
  assert.equal(document.paths['/apis/storage.k8s.io/v1beta1/volumeattributesclasses'], undefined);
  const etag = String(response.headers['etag']);
  assert.match(etag, /^"[0-9A-F]{128}"$/);
  assert.equal((await get('/openapi/v2', { 'if-none-match': etag })).code, 304);
  const old = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
  const protobuf = await get('/openapi/v2', { accept: old });
  assert.match(
    String(protobuf.headers['content-type']),
    /^application\/com\.github\.proto-openapi\.spec\.v2[.@]v1\.0\+protobuf$/,
  );
  assert.notEqual(protobuf.headers['etag'], etag);
  assert.equal((await get('/openapi/v2', { accept: 'text/html' })).code, 406);
  assert.equal((await get('/openapi/v3/api/v1', { accept: old })).code, 406);
});

test('v3: an index, and a document for each group version that may be kept for ever', async () => {
  const { get } = server();
  const index = JSON.parse((await get('/openapi/v3')).text) as { paths: Record<string, { serverRelativeURL: string }> };
  assert.deepEqual(
    ['.well-known/openid-configuration', 'api', 'api/v1', 'apis', 'apis/apps', 'apis/apps/v1', 'version'].filter(
      each => !index.paths[each],
    ),
    [],
  );
  const url = index.paths['apis/apps/v1']?.serverRelativeURL ?? '';
  assert.match(url, /^\/openapi\/v3\/apis\/apps\/v1\?hash=[0-9A-F]{128}$/);
  const response = await get(url);
  assert.equal(response.headers['cache-control'], 'public, immutable');
  assert.equal(response.headers['expires'], 'Fri, 01 Jan 2027 00:00:00 GMT');
  const moved = await get('/openapi/v3/apis/apps/v1?hash=OLD');
  assert.deepEqual([moved.code, moved.headers['location']], [301, url]);
  assert.equal((await get('/openapi/v3/apis/apps/v1')).headers['cache-control'], undefined);
  assert.equal((await get('/openapi/v3/apis/nowhere/v1')).code, 404);
});

test('v3: every reference in a document leads somewhere, and defaults and patch keys are there', async () => {
  const { get } = server();
  for (const name of ['api/v1', 'apis/apps/v1', 'apis/apiextensions.k8s.io/v1', 'apis/autoscaling/v2', 'version']) {
    const { text } = await get(`/openapi/v3/${name}`);
    const { schemas = {} } = (JSON.parse(text) as { components: { schemas?: Record<string, unknown> } }).components;
    for (const [, target = ''] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g))
      assert.ok(target in schemas, `${name}: ${target}`);
    assert.ok(!text.includes('#/definitions/'));
  }
  const core = JSON.parse((await get('/openapi/v3/api/v1')).text) as {
    components: { schemas: Record<string, { properties: Record<string, Document> }> };
  };
  const port = core.components.schemas['io.k8s.api.core.v1.ContainerPort'];
  assert.equal(port?.properties['protocol']?.['default'], 'TCP');
  const ports = core.components.schemas['io.k8s.api.core.v1.Container']?.properties['ports'];
  assert.deepEqual(ports?.['x-kubernetes-list-map-keys'], ['containerPort', 'protocol']);
  const pod = core.components.schemas['io.k8s.api.core.v1.Pod'] as unknown as Document;
  assert.deepEqual(pod['x-kubernetes-group-version-kind'], [{ group: '', version: 'v1', kind: 'Pod' }]);
});

test('custom kinds are described too, from the moment they are there', async () => {
  const own: Kind[] = [...registered];
  const { get, change } = server(() => own);
  const before = (await get('/openapi/v2')).headers['etag'];
  const inner = object('', { name: string(0), tags: list(0, types.string) });
  const custom = (group: string) =>
    ({
      ...defineKind({
        group,
        version: 'v1',
        kind: 'Lion',
        plural: 'lions',
        namespaced: true,
        type: '',
        fields: { spec: { schema: inner, tag: 0 } },
      }),
      custom: true,
    }) as unknown as Kind;
  own.push(custom('zoo.example.com'));
  change();
  const after = await get('/openapi/v2');
  assert.notEqual(after.headers['etag'], before);
  const { definitions } = JSON.parse(after.text) as { definitions: Record<string, { properties: { spec: Document } }> };
  assert.deepEqual(definitions['com.example.zoo.v1.Lion']?.properties.spec, {
    type: 'object',
    properties: { name: { type: 'string' }, tags: { type: 'array', items: { type: 'string' } } },
  });
  assert.ok(definitions['com.example.zoo.v1.LionList']);
  const described = await get('/openapi/v3/apis/zoo.example.com/v1');
  assert.equal(described.code, 200);
  // Clients know documents by their digest: one group's must not change with another group.
  own.push(custom('wild.example.com'));
  change();
  const beside = await get('/openapi/v3/apis/zoo.example.com/v1');
  assert.equal(beside.headers['etag'], described.headers['etag']);
});

/** Reads protobuf without knowing its messages: field number → what was there, in order. */
function fieldsOf(bytes: Uint8Array): Map<number, Uint8Array[]> {
  const fields = new Map<number, Uint8Array[]>();
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++] ?? assert.fail('the message ends too early');
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const length = key % 8 === 2 ? varint() : 0;
    if (key % 8 === 0) varint();
    const found = fields.get(key >> 3) ?? [];
    fields.set(key >> 3, found);
    found.push(bytes.subarray(at, at + length));
    at += length;
  }
  return fields;
}

test('the protobuf form says what the JSON form says', () => {
  const spoken = [...registered, ...kinds.filter(kind => kind.plural === '')];
  const json = swagger(spoken) as { paths: Document; definitions: Document; parameters: Document };
  const document = fieldsOf(encodeDocument(json));
  const only = (message: Map<number, Uint8Array[]>, field: number) =>
    message.get(field)?.[0] ?? assert.fail(`no field ${field}`);
  const string = (message: Map<number, Uint8Array[]>, field: number) => Buffer.from(only(message, field)).toString();
  const namesIn = (field: number, inner: number) =>
    (fieldsOf(only(document, field)).get(inner) ?? []).map(entry => string(fieldsOf(entry), 1));
  assert.equal(string(document, 1), '2.0');
  assert.deepEqual(namesIn(8, 2), Object.keys(json.paths));
  assert.deepEqual(namesIn(9, 1), Object.keys(json.definitions));
  assert.deepEqual(namesIn(10, 1), Object.keys(json.parameters));
  const all = (fieldsOf(only(document, 9)).get(1) ?? []).map(each => fieldsOf(each));
  const container = all.find(each => string(each, 1) === 'io.k8s.api.core.v1.Container') ?? assert.fail();
  const schema = fieldsOf(only(container, 2));
  assert.equal(string(fieldsOf(only(schema, 22)), 1), 'object');
  assert.equal(string(schema, 19), 'name');
  const properties = (fieldsOf(only(schema, 25)).get(1) ?? []).map(each => fieldsOf(each));
  const ports = fieldsOf(only(properties.find(each => string(each, 1) === 'ports') ?? assert.fail(), 2));
  assert.equal(
    string(fieldsOf(only(fieldsOf(only(ports, 23)), 1)), 1),
    '#/definitions/io.k8s.api.core.v1.ContainerPort',
  );
  const extensions = (ports.get(31) ?? []).map(each => fieldsOf(each));
  const keys = extensions.find(each => string(each, 1) === 'x-kubernetes-list-map-keys') ?? assert.fail();
  assert.deepEqual(JSON.parse(string(fieldsOf(only(keys, 2)), 2)), ['containerPort', 'protocol']);
});
