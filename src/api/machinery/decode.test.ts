import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pod } from '../core/v1/pod.ts';
import { Secret } from '../core/v1/secret.ts';
import { StatefulSet } from '../apps/v1/stateful-set.ts';
import { DeleteOptions } from '../meta/v1/delete-options.ts';
import { decodeObject } from './decode.ts';
import { applyDefaults } from './defaults.ts';
import { ApiError } from './errors.ts';
import { decodeJson } from './json.ts';
import { boolean, int32, list, map, object, string, struct, types, type ObjectSchema } from './schema.ts';

const decode = (schema: ObjectSchema, text: string) => decodeObject(schema, decodeJson(text), { unknown: 'report' });

const failure = (schema: ObjectSchema, text: string): string => {
  try {
    decode(schema, text);
  } catch (error) {
    assert.ok(error instanceof ApiError);
    assert.equal(error.code, 400);
    return error.message;
  }
  return 'decoded';
};

test('unknown fields are dropped and named by path', () => {
  const { object, unknown } = decode(
    Pod.schema,
    '{"kind":"Pod","apiVersion":"v1","foo":1,"spec":{"bar":null,"containers":[{"name":"a","x":{"y":1}}],"NodeName":"n"},"metadata":{"labels":{"a":"b"}}}',
  );
  assert.deepEqual(unknown, [
    'unknown field "foo"',
    'unknown field "spec.bar"',
    'unknown field "spec.containers[0].x"',
    'unknown field "spec.NodeName"',
  ]);
  assert.deepEqual(object, {
    kind: 'Pod',
    apiVersion: 'v1',
    spec: { containers: [{ name: 'a' }] },
    metadata: { labels: { a: 'b' } },
  });
});

test('what Go would not write back is dropped', () => {
  const { object } = decode(
    Pod.schema,
    `{"metadata":{"name":"","generation":0,"labels":{},"deletionGracePeriodSeconds":0,"creationTimestamp":null},
      "spec":{"hostNetwork":false,"nodeSelector":{},"initContainers":[],"priority":0,"serviceAccount":null,"enableServiceLinks":false,
      "containers":[{"name":"","image":"","args":[],"env":[null,{"name":"a"}],"resources":{},"command":[null,"x"]}],"volumes":[{"emptyDir":{}}]}}`,
  );
  assert.deepEqual(object, {
    metadata: { deletionGracePeriodSeconds: 0 },
    spec: {
      priority: 0,
      enableServiceLinks: false,
      containers: [{ name: '', env: [{}, { name: 'a' }], resources: {}, command: ['', 'x'] }],
      volumes: [{ emptyDir: {} }],
    },
  });
});

test('times and quantities become canonical', () => {
  const { object } = decode(
    Pod.schema,
    `{"metadata":{"creationTimestamp":"2024-01-01T01:30:00.5+01:30"},
      "spec":{"containers":[{"resources":{"limits":{"cpu":0.5,"memory":"1024Ki","x":null},"requests":{"cpu":" 1000m"}}}]}}`,
  );
  assert.deepEqual(object, {
    metadata: { creationTimestamp: '2024-01-01T00:00:00Z' },
    spec: {
      containers: [{ resources: { limits: { cpu: '500m', memory: '1Mi', x: '0' }, requests: { cpu: '1' } } }],
    },
  });
});

test('wrong types are refused in upstream words', () => {
  const prefix = 'Pod in version "v1" cannot be handled as a Pod: ';
  const cases: Record<string, string> = {
    '{"spec":{"containers":"x"}}':
      'json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container',
    '{"spec":[]}': 'json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec',
    '{"spec":{"containers":[{"name":1}]}}':
      'json: cannot unmarshal number into Go struct field Container.spec.containers.name of type string',
    '{"metadata":{"labels":{"a":true}}}':
      'json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string',
    '{"spec":{"priority":1.5}}':
      'json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.priority of type int32',
    '{"spec":{"priority":3000000000}}':
      'json: cannot unmarshal number 3000000000 into Go struct field PodSpec.spec.priority of type int32',
    '{"spec":{"hostNetwork":"true"}}':
      'json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool',
    '{"spec":{"containers":[{"resources":{"limits":{"cpu":"x"}}}]}}':
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    '{"metadata":{"creationTimestamp":"x"}}':
      'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"',
    '{"metadata":{"creationTimestamp":"2024-02-30T00:00:00Z"}}':
      'parsing time "2024-02-30T00:00:00Z": day out of range',
    '{"spec":{"overhead":{"cpu":{}}}}':
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    '{"metadata":{"creationTimestamp":7}}':
      'json: cannot unmarshal number into Go struct field ObjectMeta.metadata.creationTimestamp of type string',
    '[]': 'json: cannot unmarshal array into Go value of type v1.Pod',
  };
  for (const [text, message] of Object.entries(cases)) assert.equal(failure(Pod.schema, text), prefix + message, text);
  assert.match(failure(Secret.schema, '{"data":{"a":"!"}}'), /illegal base64 data at input byte 0/);
});

test('wrong types are told with the names that Go has for them', () => {
  const cases: Record<string, string> = {
    '{"containers":[{"imagePullPolicy":7}]}':
      'number into Go struct field Container.spec.containers.imagePullPolicy of type v1.PullPolicy',
    '{"containers":[{"securityContext":{"capabilities":{"add":[7]}}}]}':
      'number into Go struct field Capabilities.spec.containers.securityContext.capabilities.add of type v1.Capability',
    '{"containers":[{"resources":{"limits":7}}]}':
      'number into Go struct field ResourceRequirements.spec.containers.resources.limits of type v1.ResourceList',
    '{"containers":[{"livenessProbe":{"httpGet":{"port":true}}}]}':
      'bool into Go struct field HTTPGetAction.spec.containers.livenessProbe.ProbeHandler.httpGet.port of type int32',
    '{"ephemeralContainers":[{"name":7}]}':
      'number into Go struct field EphemeralContainer.spec.ephemeralContainers.EphemeralContainerCommon.name of type string',
  };
  for (const [spec, said] of Object.entries(cases)) {
    const wanted = `Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal ${said}`;
    assert.equal(failure(Pod.schema, `{"spec":${spec}}`), wanted);
  }
});

test('wide integers, nested kinds and bodies without a kind', () => {
  const wide = decode(Pod.schema, '{"metadata":{"generation":9223372036854775807}}').object;
  assert.deepEqual(wide, { metadata: { generation: 9223372036854775807n } });
  const claims =
    '{"spec":{"volumeClaimTemplates":[{"kind":"PersistentVolumeClaim","apiVersion":"v1"}],"template":{"kind":"x"}}}';
  const { object: set, unknown } = decode(StatefulSet.schema, claims);
  assert.deepEqual(set, {
    spec: { volumeClaimTemplates: [{ kind: 'PersistentVolumeClaim', apiVersion: 'v1' }], template: {} },
  });
  assert.deepEqual(unknown, ['unknown field "spec.template.kind"']);
  assert.deepEqual(
    decode(DeleteOptions, '{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0}').unknown,
    [],
  );
});

test('a prototype key is data', () => {
  const { object } = decode(
    Pod.schema,
    '{"__proto__":{"x":1},"metadata":{"labels":{"__proto__":"a","constructor":"b"}},"x":1}',
  );
  assert.deepEqual(JSON.stringify(object), '{"metadata":{"labels":{"__proto__":"a","constructor":"b"}}}');
  assert.equal((object as { x?: unknown }).x, undefined);
});

const Custom = object('io.example.v1.Custom', {
  spec: struct(
    0,
    object('', {
      replicas: int32(0, { default: 1 }),
      on: boolean(0),
      names: list(0, types.string),
      by: map(0, object('', { x: string(0) }) as never),
      open: struct(0, object('', {}, { preserveUnknown: true })),
    }),
  ),
});

test('custom resources lose unknown fields and nothing else', () => {
  const { object, unknown } = decode(
    Custom,
    '{"apiVersion":"example.io/v1","kind":"Custom","spec":{"replicas":"x","on":false,"names":[],"by":{"k":{"x":"","z":1}},"open":{"a":[null]},"q":1}}',
  );
  assert.deepEqual(object['spec'], { replicas: 'x', on: false, names: [], by: { k: { x: '' } }, open: { a: [null] } });
  assert.deepEqual(unknown.slice(-2), ['unknown field "spec.by.k.z"', 'unknown field "spec.q"']);
});

test('static defaults and fields that are always there', () => {
  const Inner = object('a.v1.Inner', { count: int32(1, { default: 3 }), always: string(2, { always: true }) });
  const Outer = object('a.v1.Outer', {
    inner: struct(1, Inner, { always: true }),
    maybe: struct(2, Inner),
    items: list(3, Inner, { always: true }),
    fixed: map(4, types.string, { default: { a: 'b' } }),
    on: boolean(5, { always: true }),
  });
  const draft: Record<string, never> = {};
  applyDefaults(Outer, draft);
  assert.deepEqual(draft, { inner: { count: 3, always: '' }, items: null, fixed: { a: 'b' }, on: false });
  const other = { maybe: {}, items: [{ count: 1 }], fixed: {}, on: true };
  applyDefaults(Outer, other as never);
  assert.deepEqual(other, {
    maybe: { count: 3, always: '' },
    items: [{ count: 1, always: '' }],
    fixed: {},
    on: true,
    inner: { count: 3, always: '' },
  });
});

function frozen<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null) return value;
  for (const each of Object.values(value)) frozen(each);
  return Object.freeze(value);
}

test('frozen parts are taken as they are, and copied where they change', () => {
  const text = `{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"1000m"}},"args":[]}],"nodeName":""}}`;
  const stored = frozen(JSON.parse(text));
  const { object } = decodeObject(Pod.schema, stored, { unknown: 'drop' });
  assert.deepEqual(object, {
    metadata: { labels: { a: 'b' } },
    spec: { containers: [{ name: 'a', resources: { limits: { cpu: '1' } } }] },
  });
  assert.equal(JSON.stringify(stored), text);
  const again = frozen(object);
  assert.equal(decodeObject(Pod.schema, again as never, { unknown: 'drop' }).object, again);
  const empty = frozen({ spec: { containers: null } });
  assert.equal(decodeObject(Pod.schema, empty, { unknown: 'drop' }).object, empty);
});

test('null is absent, except where it is how Go writes empty', () => {
  const text = '{"metadata":null,"spec":null,"status":null}';
  assert.deepEqual(decode(Pod.schema, text).object, {});
  assert.deepEqual(decode(Pod.schema, '{"spec":{"containers":null,"hostname":null}}').object, {
    spec: { containers: null },
  });
  assert.deepEqual(decode(Pod.schema, '{"spec":{"containers":[{"name":null,"resources":null}]}}').object, {
    spec: { containers: [{}] },
  });
});

test('what is undefined is not there', () => {
  const spec = { containers: [{ name: 'a', image: 'b', resizePolicy: undefined }], nodeSelector: undefined };
  const { object } = decodeObject(Pod.schema, { metadata: { name: 'a', labels: undefined }, spec } as never, {
    unknown: 'report',
  });
  assert.equal(JSON.stringify(object), '{"metadata":{"name":"a"},"spec":{"containers":[{"name":"a","image":"b"}]}}');
  assert.deepEqual(Object.keys((object['metadata'] ?? {}) as object), ['name']);
});
