import type { CelEnvironment, Compiled } from '#cel/contract.ts';
import { adaptDyn, type DeclType, declMap, declObject, declString, declValue, scalar } from '#cel/declarations.ts';
import { celEnvironment } from '#cel/environment.ts';
import { parseQuantity, quantityType } from '#cel/libraries/quantity.ts';
import { parseSemver } from '#cel/libraries/semver.ts';
import { anyType, boolType } from '#cel/types.ts';
import { CelError, type CelValue, canonicalKey, EntryMap, MadeObject, type Result } from '#cel/values.ts';

/** What one selector may cost, as estimated and when it runs. */
export const selectorCostMax = 1_000_000;
export const selectorLengthMax = 10 * 1024;

/** A selector that can be asked, or what upstream says of one that cannot. */
export type DeviceSelectorExpression =
  | { readonly compiled: Compiled; readonly isTooComplex: boolean; readonly problem: undefined }
  | { readonly compiled: undefined; readonly isTooComplex: false; readonly problem: string };

export function compileDeviceSelector(expression: string): DeviceSelectorExpression {
  const compiled = environment().compile(expression);
  if (compiled.issues !== undefined) return unusable(`compilation failed: ${compiled.issues}`);
  const { kind, text } = compiled.outputType;
  if (kind !== 'bool' && kind !== 'any') return unusable(`must evaluate to bool or the unknown type, not ${text}`);
  if (compiled.instantiationError !== undefined) {
    return unusable(`program instantiation failed: ${compiled.instantiationError}`);
  }
  return { compiled, isTooComplex: compiled.estimateCost().maximum > selectorCostMax, problem: undefined };
}

function unusable(problem: string): DeviceSelectorExpression {
  return { compiled: undefined, isTooComplex: false, problem };
}

/** A device as a ResourceSlice describes it. */
export interface SelectableDevice {
  readonly driver: string;
  readonly allowMultipleAllocations?: boolean | undefined;
  readonly attributes?: Readonly<Record<string, DeviceAttributeValue>> | undefined;
  readonly capacity?: Readonly<Record<string, { readonly value: string }>> | undefined;
}

interface DeviceAttributeValue {
  readonly int?: number | bigint | undefined;
  readonly bool?: boolean | undefined;
  readonly string?: string | undefined;
  readonly version?: string | undefined;
}

/** Whether the selector takes the device; an error where it cannot tell. */
export function selectsDevice(compiled: Compiled, device: SelectableDevice): boolean | CelError {
  const attributes = byDomain(device.driver, device.attributes ?? {}, attributeValue);
  if (attributes instanceof CelError) return attributes;
  const capacity = byDomain(device.driver, device.capacity ?? {}, ({ value }) => parseQuantity(value));
  if (capacity instanceof CelError) return capacity;
  const fields = new Map<string, CelValue>([
    ['driver', device.driver],
    ['allowMultipleAllocations', device.allowMultipleAllocations ?? false],
    ['attributes', attributes],
    ['capacity', capacity],
  ]);
  const { value, error } = compiled.evaluate(
    { device: new MadeObject(deviceDecl.type, fields) },
    { costLimit: selectorCostMax },
  );
  if (error !== undefined) return error;
  return typeof value === 'boolean' ? value : new CelError('CEL result could not be converted to bool');
}

/** Looking up a domain that the device does not have gives an empty map. */
class Domains extends EntryMap {
  override find(key: CelValue): Result | undefined {
    return super.find(key) ?? new EntryMap();
  }
}

function byDomain<Value>(
  driver: string,
  named: Readonly<Record<string, Value>>,
  read: (value: Value) => Result,
): EntryMap | CelError {
  const domains = new Map<string, EntryMap>();
  for (const [name, given] of Object.entries(named)) {
    const slash = name.indexOf('/');
    const domain = slash < 0 ? driver : name.slice(0, slash);
    const value = read(given);
    if (value instanceof CelError) return new CelError(`attribute ${name}: ${value.message}`);
    const known = domains.get(domain) ?? new EntryMap();
    domains.set(domain, known);
    const id = name.slice(slash + 1);
    known.entries.set(id, [id, value]);
  }
  const entries = Array.from(
    domains,
    ([domain, ids]) => [canonicalKey(domain) as string, [domain, ids] as const] as const,
  );
  return new Domains(new Map(entries));
}

function attributeValue({ int, bool, string, version }: DeviceAttributeValue): Result {
  if (int !== undefined) return adaptDyn(int);
  if (bool !== undefined) return bool;
  if (string !== undefined) return string;
  if (version === undefined) return new CelError('unsupported attribute value');
  const parsed = parseSemver(version);
  return parsed instanceof CelError ? new CelError(`parse semantic version: ${parsed.message}`) : parsed;
}

const attributesMax = 32;
const domain = declString(63);
const id = declString(32);
const attribute: DeclType = scalar(anyType, raw => raw as Result, 1, 64);

const deviceDecl: DeclType = declObject(
  'kubernetes.DRADevice',
  new Map([
    ['driver', { property: 'driver', type: declString(63) }],
    [
      'allowMultipleAllocations',
      { property: 'allowMultipleAllocations', type: scalar(boolType, raw => raw as Result, 4, 1) },
    ],
    [
      'attributes',
      { property: 'attributes', type: declMap(declMap(attribute, attributesMax, id), attributesMax, domain) },
    ],
    [
      'capacity',
      {
        property: 'capacity',
        type: declMap(declMap(declValue(quantityType), attributesMax, id), attributesMax, domain),
      },
    ],
  ]),
);

let known: CelEnvironment | undefined;

function environment(): CelEnvironment {
  return (known ??= celEnvironment({ variables: { device: deviceDecl }, bindings: true }));
}
