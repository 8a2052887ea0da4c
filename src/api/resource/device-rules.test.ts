import assert from 'node:assert/strict';
import { test } from 'node:test';
import { altered, type Body, mistakes, updateMistakes } from '../kind-checks.ts';
import { kinds } from '../kinds.ts';
import type { Kind } from '../machinery/kind.ts';

function kindOf(name: string): Kind {
  const kind = kinds.find(each => each.kind === name && each.version === 'v1');
  assert.ok(kind, name);
  return kind;
}

function checkMistakes(name: string, cases: readonly (readonly [Body, readonly string[]])[]): void {
  for (const [body, wanted] of cases) assert.deepEqual(mistakes(kindOf(name), body), wanted, JSON.stringify(body));
}

const driver = 'gpu.example.com';

test('slices say whose devices they are, and each device is described once', () => {
  const pool = { name: 'node-1', generation: 1, resourceSliceCount: 1 };
  const device = { name: 'gpu-0', attributes: { model: { string: 'x' } }, capacity: { memory: { value: '1Gi' } } };
  const slice = { metadata: { name: 's' }, spec: { driver, nodeName: 'node-1', pool, devices: [device] } };
  const counterSet = { name: 'gpu', counters: { memory: { value: '1Gi' } } };
  const shared = { metadata: { name: 's' }, spec: { driver, nodeName: 'node-1', pool, sharedCounters: [counterSet] } };
  const withDevice = (more: Body) => altered(slice, 'spec.devices', [{ ...device, ...more }]);
  const requestPolicy = { default: '1Gi', validRange: { min: '2Gi' } };
  const capacity = { memory: { value: '1Gi', requestPolicy } };
  checkMistakes('ResourceSlice', [
    [slice, []],
    [shared, []],
    [altered(slice, 'spec.driver', ''), ['spec.driver FieldValueRequired']],
    [altered(slice, 'spec.pool.resourceSliceCount', 0), ['spec.pool.resourceSliceCount FieldValueInvalid']],
    [altered(slice, 'spec.pool.name', 'a//b'), ['spec.pool.name FieldValueInvalid']],
    [altered(slice, 'spec.nodeName', undefined), ['spec FieldValueRequired']],
    [altered(slice, 'spec.allNodes', true), ['spec FieldValueInvalid']],
    [altered(slice, 'spec.devices', [device, device]), ['spec.devices[1] FieldValueDuplicate']],
    [altered(shared, 'spec.devices', [device]), ['spec FieldValueInvalid']],
    [withDevice({ attributes: { model: {} } }), ['spec.devices[0].attributes[model] FieldValueInvalid']],
    [
      withDevice({ attributes: { v: { version: '1.2' } } }),
      ['spec.devices[0].attributes[v].version FieldValueInvalid'],
    ],
    [withDevice({ attributes: { 'a b': { int: 1 } } }), ['spec.devices[0].attributes FieldValueInvalid']],
    [withDevice({ nodeName: 'node-1' }), ['spec.devices[0] FieldValueInvalid']],
    [withDevice({ capacity }), ['spec.devices[0].capacity[memory].requestPolicy FieldValueForbidden']],
    [
      withDevice({ capacity, allowMultipleAllocations: true }),
      [
        'spec.devices[0].capacity[memory].requestPolicy.validRange.min FieldValueInvalid',
        'spec.devices[0].capacity[memory].requestPolicy.default FieldValueInvalid',
      ],
    ],
    [withDevice({ bindingConditions: ['ready'] }), ['spec.devices[0].bindingFailureConditions FieldValueInvalid']],
    [
      withDevice({ taints: [{ key: 'x', value: 'a b', effect: 'Never' }] }),
      ['spec.devices[0].taints[0].value FieldValueInvalid', 'spec.devices[0].taints[0].effect FieldValueNotSupported'],
    ],
  ]);
  const each = altered(altered(slice, 'spec.nodeName', undefined), 'spec.perDeviceNodeSelection', true);
  checkMistakes('ResourceSlice', [
    [each, ['spec.devices[0] FieldValueRequired']],
    [altered(each, 'spec.devices', [{ ...device, allNodes: true }]), []],
  ]);
  assert.deepEqual(updateMistakes(kindOf('ResourceSlice'), slice, altered(slice, 'spec.pool.name', 'other')), [
    'spec.pool.name FieldValueInvalid',
  ]);
});

test('constraints and configuration name requests of their claim', () => {
  const exactly = { deviceClassName: 'gpu' };
  const requests = [
    { name: 'one', exactly },
    { name: 'two', firstAvailable: [{ name: 'part', deviceClassName: 'gpu' }] },
  ];
  const claim = { metadata: { name: 'c', namespace: 'default' }, spec: { devices: { requests } } };
  const constrained = (...constraints: readonly Body[]) => altered(claim, 'spec.devices.constraints', constraints);
  const configured = (config: Body) => altered(claim, 'spec.devices.config', [config]);
  const opaque = { driver, parameters: { any: 'thing' } };
  checkMistakes('ResourceClaim', [
    [constrained({ requests: ['one', 'two/part'], matchAttribute: `${driver}/model` }), []],
    [
      constrained({ requests: ['one', 'one'], matchAttribute: `${driver}/model` }),
      ['spec.devices.constraints[0].requests[1] FieldValueDuplicate'],
    ],
    [
      constrained({ requests: ['three'], distinctAttribute: 'model' }),
      [
        'spec.devices.constraints[0].requests[0] FieldValueInvalid',
        'spec.devices.constraints[0].distinctAttribute FieldValueInvalid',
      ],
    ],
    [constrained({}), ['spec.devices.constraints[0] FieldValueRequired']],
    [configured({ opaque }), []],
    [configured({}), ['spec.devices.config[0].opaque FieldValueRequired']],
    [configured({ opaque: { ...opaque, driver: '' } }), ['spec.devices.config[0].opaque.driver FieldValueRequired']],
  ]);
});

test('a class names an extended resource', () => {
  const named = (extendedResourceName: string) => ({ metadata: { name: 'gpu' }, spec: { extendedResourceName } });
  checkMistakes('DeviceClass', [
    [named('example.com/gpu'), []],
    [named('cpu'), ['spec.extendedResourceName FieldValueInvalid']],
  ]);
});
