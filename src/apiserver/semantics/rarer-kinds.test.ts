/** Refusals of kinds that few people write, in the words and at the paths of upstream's validation sources. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestServer, type TestServer } from '../test-server.ts';

const merge = { 'content-type': 'application/merge-patch+json' };

async function causes(server: TestServer, ...call: Parameters<TestServer['call']>): Promise<readonly string[]> {
  const { code, body, text } = await server.call(...call);
  assert.equal(code, 422, text);
  return body.details.causes.map((each: { field: string; message: string }) => `${each.field}: ${each.message}`);
}

test('CSINode: keys are reported at their driver, and drivers stay as they are but for their room', async () => {
  await using server = await openTestServer();
  const path = '/apis/storage.k8s.io/v1/csinodes';
  const driver = { name: 'd.x', nodeID: 'n', topologyKeys: ['a/b'] };
  const node = (...drivers: object[]) => ({ metadata: { name: 'n' }, spec: { drivers } });
  assert.deepEqual(
    await causes(server, 'POST', path, node({ ...driver, nodeID: 'x'.repeat(257), topologyKeys: ['a/b', 'a/b'] })),
    [
      `spec.drivers[0].nodeID: Invalid value: "${'x'.repeat(257)}": must be 256 characters or less`,
      'spec.drivers[0]: Duplicate value: "a/b"',
    ],
  );
  assert.equal((await server.call('POST', path, node(driver))).code, 201);
  const [changed = ''] = await causes(server, 'PATCH', `${path}/n`, node({ ...driver, nodeID: 'other' }), merge);
  assert.match(changed, /^spec\.drivers: Invalid value: {"Name":.*,"Allocatable":null}: field is immutable$/);
  const room = node({ ...driver, allocatable: { count: 3 } });
  assert.equal((await server.call('PATCH', `${path}/n`, room, merge)).code, 200);
});

test('CSIDriver: what stays, and how modes are written', async () => {
  await using server = await openTestServer();
  const path = '/apis/storage.k8s.io/v1/csidrivers';
  assert.deepEqual(
    await causes(server, 'POST', path, { metadata: { name: 'd.x' }, spec: { volumeLifecycleModes: ['Odd'] } }),
    ['spec.volumeLifecycleModes: Unsupported value: "Odd": supported values: "Persistent", "Ephemeral"'],
  );
  assert.equal((await server.call('POST', path, { metadata: { name: 'd.x' }, spec: {} })).code, 201);
  assert.deepEqual(await causes(server, 'PATCH', `${path}/d.x`, { spec: { attachRequired: false } }, merge), [
    'spec.attachedRequired: Invalid value: false: field is immutable',
  ]);
});

test('VolumeAttachment: exactly one source, and bounded errors', async () => {
  await using server = await openTestServer();
  const path = '/apis/storage.k8s.io/v1/volumeattachments';
  const attachment = (spec: object) => ({ metadata: { name: 'a' }, spec: { nodeName: 'n', attacher: 'a.b', ...spec } });
  assert.deepEqual(await causes(server, 'POST', path, attachment({ source: {} })), [
    'spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName',
  ]);
  assert.equal(
    (await causes(server, 'POST', path, attachment({ source: { persistentVolumeName: '' } })))[0],
    'spec.source.persistentVolumeName: Required value: must specify non empty persistentVolumeName',
  );
  const source = { persistentVolumeName: 'v' };
  assert.deepEqual(await causes(server, 'POST', path, attachment({ source, attacher: '' })), [
    'spec.attacher: Required value',
  ]);
  assert.equal((await server.call('POST', path, attachment({ source }))).code, 201);
  const status = { attached: false, attachError: { message: 'x'.repeat(1025) } };
  assert.deepEqual(await causes(server, 'PATCH', `${path}/a/status`, { status }, merge), [
    'status.attachError.message: Too long: may not be more than 262144 bytes',
  ]);
});

test('PodDisruptionBudget: conditions of a status', async () => {
  await using server = await openTestServer();
  const path = '/apis/policy/v1/namespaces/default/poddisruptionbudgets';
  await server.call('POST', path, { metadata: { name: 'b' }, spec: { minAvailable: 1, selector: {} } });
  const condition = { type: 'A', status: 'Odd', reason: '', message: '', lastTransitionTime: null };
  assert.deepEqual(await causes(server, 'PATCH', `${path}/b/status`, { status: { conditions: [condition] } }, merge), [
    'status.conditions[0].status: Unsupported value: "Odd": supported values: "False", "True", "Unknown"',
    'status.conditions[0].lastTransitionTime: Required value',
    'status.conditions[0].reason: Required value',
  ]);
});

test('Lease and RuntimeClass: numbers and paths of overheads', async () => {
  await using server = await openTestServer();
  const leases = '/apis/coordination.k8s.io/v1/namespaces/default/leases';
  const lease = (spec: object) => ({ metadata: { name: 'l' }, spec });
  assert.deepEqual(
    await causes(server, 'POST', leases, lease({ strategy: 'Odd', leaseTransitions: -1, leaseDurationSeconds: 0 })),
    [
      'spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0',
      'spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0',
    ],
    'the strategy is behind a feature gate',
  );
  const classes = '/apis/node.k8s.io/v1/runtimeclasses';
  const overhead = { podFixed: { cpu: '-1' } };
  assert.deepEqual(await causes(server, 'POST', classes, { metadata: { name: 'r' }, handler: 'r', overhead }), [
    'overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0',
  ]);
});
