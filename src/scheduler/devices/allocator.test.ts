import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '#base/random.ts';
import type { Node } from '#api/core/v1/node.ts';
import type { DeviceClass } from '#api/resource/v1/device-class.ts';
import type { DeviceRequest } from '#api/resource/v1/resource-claim-spec.ts';
import type { ResourceClaim } from '#api/resource/v1/resource-claim.ts';
import type { Device, ResourceSlice } from '#api/resource/v1/resource-slice.ts';
import { NodeInfo } from '../node-info.ts';
import { Allocator } from './allocator.ts';
import { DeviceState } from './device-state.ts';

const driver = 'gpu.example.com';

function node(name: string, labels: Record<string, string> = {}): NodeInfo {
  return new NodeInfo({ metadata: { name, labels }, spec: {}, status: {} } as unknown as Node);
}

function slice(name: string, spec: object, devices: readonly (Partial<Device> & { readonly name: string })[]) {
  const pool = { name: 'pool', generation: 1, resourceSliceCount: 1 };
  return { metadata: { name }, spec: { driver, pool, devices, ...spec } } as unknown as ResourceSlice;
}

function gpuClass(name = 'gpu', expressions: readonly string[] = [`device.driver == "${driver}"`], more: object = {}) {
  const selectors = expressions.map(expression => ({ cel: { expression } }));
  return { metadata: { name }, spec: { selectors, ...more } } as unknown as DeviceClass;
}

let made = 0;

function claim(requests: readonly object[], more: object = {}, status: object = {}): ResourceClaim {
  const uid = `claim-${made++}`;
  const devices = { requests: requests as DeviceRequest[], ...more };
  return {
    metadata: { name: uid, namespace: 'default', uid, resourceVersion: '1' },
    spec: { devices },
    status,
  } as unknown as ResourceClaim;
}

function exactly(name: string, more: object = {}): object {
  return { name, exactly: { deviceClassName: 'gpu', allocationMode: 'ExactCount', count: 1, ...more } };
}

function state(slices: readonly ResourceSlice[], classes: readonly DeviceClass[] = [gpuClass()]): DeviceState {
  const devices = new DeviceState();
  devices.random = seededRandom(1);
  for (const each of slices) devices.setSlice(each);
  for (const each of classes) devices.setClass(each);
  return devices;
}

/** The devices by claim and request, or why there are none. */
function allocate(devices: DeviceState, claims: readonly ResourceClaim[], on = node('a')): unknown {
  const { results, why } = new Allocator(claims, devices).allocate(on);
  return results?.map(each => each.devices?.results?.map(({ request, device }) => `${request}=${device}`)) ?? why;
}

/** The claim as it is once it has what was found for it. */
function take(devices: DeviceState, wanted: ResourceClaim, on = node('a')): void {
  const { results } = new Allocator([wanted], devices).allocate(on);
  assert.ok(results);
  devices.setClaim({
    ...wanted,
    metadata: { ...wanted.metadata, resourceVersion: '2' },
    status: { allocation: results[0] },
  } as ResourceClaim);
}

const memory = (value: string) => ({ capacity: { memory: { value } } });
const model = (string: string) => ({ attributes: { model: { string } } });

test('selectors of the class and of the request have to take a device, and each is given once', () => {
  const devices = state([
    slice('s', { nodeName: 'a' }, [
      { name: 'small', ...memory('10Gi') },
      { name: 'large', ...memory('80Gi') },
    ]),
  ]);
  const expression = `device.capacity["${driver}"].memory.isGreaterThan(quantity("40Gi"))`;
  const large = () => claim([exactly('one', { selectors: [{ cel: { expression } }] })]);
  assert.deepEqual(allocate(devices, [large()]), [['one=large']]);
  assert.deepEqual(allocate(devices, [claim([exactly('x')]), large()]), [['x=small'], ['one=large']]);
  take(devices, large());
  assert.equal(allocate(devices, [large()]), 'cannot allocate all claims');
  assert.equal(allocate(devices, [claim([exactly('x')])], node('b')), 'cannot allocate all claims');
});

test('an expression that cannot be asked names itself', () => {
  const devices = state(
    [slice('s', { nodeName: 'a' }, [{ name: 'd' }])],
    [gpuClass('gpu', [`device.attributes["${driver}"].model == "x"`])],
  );
  assert.equal(
    allocate(devices, [claim([exactly('one')])]),
    'class gpu: selector #0 on device gpu.example.com/pool/d: CEL runtime error: no such key: model',
  );
});

test('what was promised counts at once, and comes back', () => {
  const devices = state([slice('s', { nodeName: 'a' }, [{ name: 'd' }])]);
  const first = claim([exactly('one')]);
  const { results } = new Allocator([first], devices).allocate(node('a'));
  const release = devices.promise(first, results?.[0] ?? assert.fail());
  assert.equal(allocate(devices, [claim([exactly('one')])]), 'cannot allocate all claims');
  release();
  assert.deepEqual(allocate(devices, [claim([exactly('one')])]), [['one=d']]);
});

test('an older copy of a claim does not take back what a newer one said', () => {
  const devices = state([slice('s', { nodeName: 'a' }, [{ name: 'd' }])]);
  const first = claim([exactly('one')]);
  devices.setClaim(first);
  take(devices, first);
  devices.setClaim(first);
  assert.equal(allocate(devices, [claim([exactly('one')])]), 'cannot allocate all claims');
  devices.removeClaim(first);
  assert.deepEqual(allocate(devices, [claim([exactly('one')])]), [['one=d']]);
});

test('requests try all devices until every constraint holds', () => {
  const devices = state([
    slice('s', { nodeName: 'a' }, [
      { name: 'a1', ...model('A') },
      { name: 'b1', ...model('B') },
      { name: 'b2', ...model('B') },
      { name: 'none' },
    ]),
  ]);
  const both = [exactly('x'), exactly('y')];
  const same = { constraints: [{ matchAttribute: `${driver}/model` }] };
  assert.deepEqual(allocate(devices, [claim(both, same)]), [['x=b1', 'y=b2']]);
  const distinct = { constraints: [{ distinctAttribute: `${driver}/model` }] };
  assert.deepEqual(allocate(devices, [claim(both, distinct)]), [['x=a1', 'y=b1']]);
  const onlyX = { constraints: [{ requests: ['x'], matchAttribute: `${driver}/model` }] };
  assert.deepEqual(allocate(devices, [claim(both, onlyX)]), [['x=a1', 'y=b1']]);
  assert.equal(allocate(devices, [claim([exactly('x', { count: 3 })], same)]), 'cannot allocate all claims');
});

test('all devices are all that match, in whole pools, and at least one', () => {
  const all = exactly('all', { allocationMode: 'All', count: 0 });
  const devices = state([slice('s', { nodeName: 'a' }, [{ name: 'd1' }, { name: 'd2' }])]);
  assert.deepEqual(allocate(devices, [claim([all])]), [['all=d1', 'all=d2']]);
  assert.equal(allocate(devices, [claim([exactly('one'), all])]), 'cannot allocate all claims');
  assert.equal(allocate(devices, [claim([all])], node('b')), 'cannot allocate all claims');
  const half = state([
    slice('s', { nodeName: 'a', pool: { name: 'pool', generation: 1, resourceSliceCount: 2 } }, [{ name: 'd1' }]),
  ]);
  const one = claim([all]);
  assert.equal(
    allocate(half, [one]),
    `claim default/${one.metadata.name}, request all: asks for all devices, but resource pool gpu.example.com/pool is currently being updated`,
  );
  assert.equal(allocate(half, [claim([exactly('one')])]), 'cannot allocate all claims');
});

test('of a pool only the newest generation counts, and names that are there twice make it unusable', () => {
  const pool = (generation: number, resourceSliceCount = 1) => ({
    pool: { name: 'pool', generation, resourceSliceCount },
  });
  const devices = state([
    slice('old', { nodeName: 'a', ...pool(1) }, [{ name: 'old' }]),
    slice('new', { nodeName: 'a', ...pool(2) }, [{ name: 'new' }]),
  ]);
  assert.deepEqual(allocate(devices, [claim([exactly('one')])]), [['one=new']]);
  const twice = state([
    slice('one', { nodeName: 'a', ...pool(1, 2) }, [{ name: 'same' }]),
    slice('two', { nodeName: 'a', ...pool(1, 2) }, [{ name: 'same' }]),
  ]);
  assert.equal(allocate(twice, [claim([exactly('one')])]), 'invalid resource pools were encountered');
});

test('the first alternative that works is taken, and is named', () => {
  const devices = state(
    [
      slice('s', { nodeName: 'a' }, [
        { name: 'd1', ...model('small') },
        { name: 'd2', ...model('small') },
      ]),
    ],
    [gpuClass(), gpuClass('large', [`device.attributes["${driver}"].model == "large"`])],
  );
  const part = (name: string, deviceClassName: string, count: number) => ({
    name,
    deviceClassName,
    allocationMode: 'ExactCount',
    count,
  });
  const parts = [part('large', 'large', 1), part('two', 'gpu', 2), part('one', 'gpu', 1)];
  const wanted = claim([{ name: 'r', firstAvailable: parts }]);
  const found = new Allocator([wanted], devices).allocate(node('a'));
  assert.deepEqual(
    found.results?.[0]?.devices?.results?.map(each => `${each.request}=${each.device}`),
    ['r/two=d1', 'r/two=d2'],
  );
  assert.equal(found.results && found.rank, 7);
});

test('administrators see devices that others have, and take nothing', () => {
  const devices = state([slice('s', { nodeName: 'a' }, [{ name: 'd' }])]);
  take(devices, claim([exactly('one')]));
  const admin = claim([exactly('look', { adminAccess: true })]);
  assert.deepEqual(allocate(devices, [admin, claim([exactly('look', { adminAccess: true })])]), [
    ['look=d'],
    ['look=d'],
  ]);
  take(devices, admin);
  assert.equal(allocate(devices, [claim([exactly('one')])]), 'cannot allocate all claims');
});

test('taints keep claims away that do not tolerate them', () => {
  const taints = [{ key: 'broken', value: 'fan', effect: 'NoSchedule' }];
  const devices = state([
    slice('s', { nodeName: 'a' }, [
      { name: 'bad', taints },
      { name: 'told', taints: [{ key: 'x', effect: 'None' }] },
    ]),
  ]);
  assert.deepEqual(allocate(devices, [claim([exactly('one')])]), [['one=told']]);
  const tolerations = [{ key: 'broken', operator: 'Equal', value: 'fan', effect: 'NoSchedule' }];
  const tolerant = claim([exactly('one', { tolerations })]);
  assert.deepEqual(allocate(devices, [tolerant]), [['one=bad']]);
  const found = new Allocator([tolerant], devices).allocate(node('a'));
  assert.deepEqual(found.results?.[0]?.devices?.results?.[0]?.tolerations, tolerations);
});

test('partitions share counters of their pool', () => {
  const uses = (value: string) => [{ counterSet: 'gpu', counters: { memory: { value } } }];
  const pool = { name: 'pool', generation: 1, resourceSliceCount: 2 };
  const counters = { nodeName: 'a', pool, sharedCounters: [{ name: 'gpu', counters: { memory: { value: '40Gi' } } }] };
  const devices = state([
    slice('counters', counters, []),
    slice('s', { nodeName: 'a', pool }, [
      { name: 'whole', consumesCounters: uses('40Gi') },
      { name: 'half-1', consumesCounters: uses('20Gi') },
      { name: 'half-2', consumesCounters: uses('20Gi') },
    ]),
  ]);
  assert.deepEqual(allocate(devices, [claim([exactly('two', { count: 2 })])]), [['two=half-1', 'two=half-2']]);
  assert.equal(allocate(devices, [claim([exactly('three', { count: 3 })])]), 'cannot allocate all claims');
  take(devices, claim([exactly('one')]));
  assert.equal(allocate(devices, [claim([exactly('one')])]), 'cannot allocate all claims');
});

test('a device that several share is given by capacity, in the steps that it wants', () => {
  const validRange = { min: '2Gi', step: '2Gi', max: '8Gi' };
  const capacity = { memory: { value: '10Gi', requestPolicy: { default: '2Gi', validRange } } };
  const devices = state([slice('s', { nodeName: 'a' }, [{ name: 'd', allowMultipleAllocations: true, capacity }])]);
  const asks = (memory?: string) =>
    claim([exactly('r', memory === undefined ? {} : { capacity: { requests: { memory } } })]);
  const takenBy = (wanted: ResourceClaim) => {
    const { results } = new Allocator([wanted], devices).allocate(node('a'));
    return results?.[0]?.devices?.results?.[0];
  };
  assert.deepEqual(takenBy(asks())?.consumedCapacity, { memory: '2Gi' });
  assert.deepEqual(takenBy(asks('3Gi'))?.consumedCapacity, { memory: '4Gi' });
  assert.match(takenBy(asks())?.shareID ?? '', /^[0-9a-f-]{36}$/);
  assert.equal(allocate(devices, [asks('9Gi')]), 'cannot allocate all claims');
  take(devices, asks('8Gi'));
  assert.equal(allocate(devices, [asks('3Gi')]), 'cannot allocate all claims');
  assert.deepEqual(allocate(devices, [asks()]), [['r=d']]);
  assert.equal(allocate(devices, [asks(), asks()]), 'cannot allocate all claims');
  // Who wants a device alone says how large it has to be.
  const alone = state([slice('s', { nodeName: 'a' }, [{ name: 'd', ...memory('10Gi') }])]);
  assert.deepEqual(allocate(alone, [asks('10Gi')]), [['r=d']]);
  assert.equal(allocate(alone, [asks('11Gi')]), 'cannot allocate all claims');
});

test('an allocation says where it can be used', () => {
  const zone = { key: 'zone', operator: 'In', values: ['x'] };
  const nodeSelector = { nodeSelectorTerms: [{ matchExpressions: [zone] }] };
  const devices = state([
    slice('s', { perDeviceNodeSelection: true }, [
      { name: 'local', nodeName: 'a' },
      { name: 'zonal', nodeSelector } as Device,
      { name: 'anywhere', allNodes: true },
    ]),
  ]);
  const selectorOn = (on: NodeInfo, name: string) => {
    const expression = `device.attributes["${driver}"].?name.orValue("") != "${name}"`;
    const { results } = new Allocator(
      [claim([exactly('one', { selectors: [{ cel: { expression } }] })])],
      devices,
    ).allocate(on);
    return results?.[0];
  };
  assert.deepEqual(selectorOn(node('a'), 'none')?.nodeSelector, {
    nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['a'] }] }],
  });
  const zonal = selectorOn(node('b', { zone: 'x' }), 'none');
  assert.equal(zonal?.devices?.results?.[0]?.device, 'zonal');
  assert.deepEqual(zonal?.nodeSelector, nodeSelector);
  const anywhere = selectorOn(node('c'), 'none');
  assert.equal(anywhere?.devices?.results?.[0]?.device, 'anywhere');
  assert.equal(anywhere?.nodeSelector, undefined);
});

test('what class and claim tell drivers comes with the allocation', () => {
  const opaque = (value: string) => ({ opaque: { driver, parameters: { value } } });
  const devices = state(
    [slice('s', { nodeName: 'a' }, [{ name: 'd1' }, { name: 'd2' }])],
    [gpuClass('gpu', [], { config: [opaque('class')] })],
  );
  const config = [opaque('all'), { requests: ['y'], ...opaque('y') }, { requests: ['z'], ...opaque('z') }];
  const wanted = claim([exactly('x'), exactly('y')], { config });
  const { results } = new Allocator([wanted], devices).allocate(node('a'));
  assert.deepEqual(results?.[0]?.devices?.config, [
    { ...opaque('class'), source: 'FromClass' },
    { ...opaque('all'), source: 'FromClaim' },
    { ...opaque('y'), source: 'FromClaim', requests: ['y'] },
  ]);
});

test('a search that would never end is given up', () => {
  const many = Array.from({ length: 64 }, (_, index) => ({ name: `d${index}`, ...model(`${index % 2}`) }));
  const devices = state([slice('s', { nodeName: 'a' }, many)]);
  const requests = Array.from({ length: 12 }, (_, index) => exactly(`r${index}`));
  const distinct = { constraints: [{ distinctAttribute: `${driver}/model` }] };
  const search = () =>
    allocate(devices, [
      claim([...requests, exactly('last', { count: 20 })], {}),
      claim([exactly('x', { count: 32 })], distinct),
    ]);
  assert.match(String(search()), /^(timed out trying to allocate devices|cannot allocate all claims)$/);
});
