import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileDeviceSelector, selectsDevice } from './device-expressions.ts';

const device = {
  driver: 'gpu.example.com',
  allowMultipleAllocations: true,
  attributes: {
    model: { string: 'A100' },
    cores: { int: 108 },
    healthy: { bool: true },
    version: { version: '1.2.3' },
    'other.example.com/index': { int: 3 },
  },
  capacity: { memory: { value: '40Gi' } },
};

function select(expression: string): unknown {
  const { compiled, problem, isTooComplex } = compileDeviceSelector(expression);
  if (compiled === undefined) return problem;
  assert.equal(isTooComplex, false, expression);
  const selected = selectsDevice(compiled, device);
  return typeof selected === 'boolean' ? selected : selected.message;
}

const selections: readonly (readonly [expression: string, result: unknown])[] = [
  ["device.driver == 'gpu.example.com' && device.allowMultipleAllocations", true],
  ["device.attributes['gpu.example.com'].model == 'A100'", true],
  ["device.attributes['gpu.example.com'].cores > 100", true],
  ["device.attributes['gpu.example.com'].healthy", true],
  ["device.attributes['gpu.example.com'].version.isGreaterThan(semver('1.2.0'))", true],
  ["device.attributes['other.example.com'].index == 4", false],
  ["device.capacity['gpu.example.com'].memory.compareTo(quantity('10Gi')) > 0", true],
  ["cel.bind(gpu, device.attributes['gpu.example.com'], gpu.healthy && gpu.model.startsWith('A'))", true],
  ["'unknown.example.com' in device.attributes && has(device.attributes['unknown.example.com'].x)", false],
  ["device.attributes['unknown.example.com'].x == 1", 'no such key: x'],
  ['device.driver', 'must evaluate to bool or the unknown type, not string'],
];

test('selectors take devices by their driver, attributes and capacity', () => {
  for (const [expression, result] of selections)
    assert.deepEqual({ expression, result: select(expression) }, { expression, result });
});

test('what cannot be compiled is said in the words of upstream', () => {
  assert.equal(
    select('device.name == 1'),
    "compilation failed: ERROR: <input>:1:7: undefined field 'name'\n | device.name == 1\n | ......^",
  );
});

test('a selector that could cost too much is known before it runs', () => {
  const names =
    'device.attributes.all(a, device.attributes[a].all(b, device.attributes.all(c, device.attributes[c].all(d, b == d))))';
  assert.equal(compileDeviceSelector(names).isTooComplex, true);
  assert.equal(compileDeviceSelector('device.attributes.all(a, a != "")').isTooComplex, false);
});
