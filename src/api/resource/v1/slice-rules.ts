import {
  checkDnsLabel,
  checkDnsSubdomain,
  checkImmutable,
  checkLabelValue,
  checkMessages,
  checkQualifiedName,
  checkRequiredOneOf,
} from '../../machinery/checks.ts';
import { compareQuantities, parseQuantity } from '../../machinery/quantity.ts';
import type { Report } from '../../machinery/validation.ts';
import { goForm } from '../../machinery/go-form.ts';
import { isCIdentifier } from '../../machinery/names.ts';
import type { NodeSelector } from '../../core/v1/node-selector.ts';
import { NodeSelectorTerm } from '../../core/v1/node-selector-term.ts';
import { checkCsiDriverName as checkDriverName } from '../../core/v1/volume-validation.ts';
import { validateNodeSelector } from '../../core/v1/scheduling-validation.ts';

/*
 * What holds for the devices that drivers publish, in all versions whose slices have this shape.
 */

interface Slice {
  readonly driver: string;
  readonly pool: Pool;
  readonly nodeName?: string | undefined;
  readonly nodeSelector?: NodeSelector | undefined;
  readonly allNodes?: boolean | undefined;
  readonly perDeviceNodeSelection?: boolean | undefined;
  readonly devices?: readonly Device[] | undefined;
  readonly sharedCounters?: readonly { readonly name: string; readonly counters: Counters }[] | undefined;
}

interface Pool {
  readonly name: string;
  readonly generation: number | bigint;
  readonly resourceSliceCount: number | bigint;
}

type Counters = Readonly<Record<string, { readonly value: string }>>;

interface Device {
  readonly name: string;
  readonly attributes?: Readonly<Record<string, Attribute>> | undefined;
  readonly capacity?: Readonly<Record<string, Capacity>> | undefined;
  readonly consumesCounters?: readonly { readonly counterSet: string; readonly counters: Counters }[] | undefined;
  readonly nodeName?: string | undefined;
  readonly nodeSelector?: NodeSelector | undefined;
  readonly allNodes?: boolean | undefined;
  readonly taints?:
    | readonly { readonly key: string; readonly value?: string | undefined; readonly effect: string }[]
    | undefined;
  readonly allowMultipleAllocations?: boolean | undefined;
  readonly bindingConditions?: readonly string[] | undefined;
  readonly bindingFailureConditions?: readonly string[] | undefined;
}

interface Attribute {
  readonly int?: unknown;
  readonly bool?: unknown;
  readonly string?: string | undefined;
  readonly version?: string | undefined;
}

interface Capacity {
  readonly value: string;
  readonly requestPolicy?: RequestPolicy | undefined;
}

interface RequestPolicy {
  readonly default?: string | undefined;
  readonly validValues?: readonly string[] | undefined;
  readonly validRange?:
    | { readonly min?: string | undefined; readonly max?: string | undefined; readonly step?: string | undefined }
    | undefined;
}

const devicesMax = 128;
/** Of slices with taints or counters. */
const devicesWithMoreMax = 64;
const poolNameLengthMax = 253;
const counterSetsMax = 8;
const countersMax = 32;
const consumptionsMax = 2;
const propertiesMax = 32;
const valueLengthMax = 64;
const idLengthMax = 32;
/** `domain/id` */
const propertyNameLengthMax = 63 + 1 + idLengthMax;
const taintsMax = 16;
export const taintEffects = ['NoExecute', 'NoSchedule', 'None'];
const conditionsMax = 4;
const validValuesMax = 10;

export function validateSlice(spec: Slice, report: Report, old?: Slice): void {
  checkDriverName(spec.driver, report.at('driver'));
  validatePool(spec.pool, report.at('pool'));
  if (old) {
    checkImmutable(spec.pool.name, old.pool.name, report.at('pool', 'name'));
    checkImmutable(spec.driver, old.driver, report.at('driver'));
    checkImmutable(spec.nodeName, old.nodeName, report.at('nodeName'));
  }
  validateReach(spec, report);
  const { devices = [], sharedCounters = [] } = spec;
  if (spec.sharedCounters !== undefined && spec.devices !== undefined)
    report.invalid('', 'only one of `sharedCounters` or `devices` is allowed');
  const hasMore = devices.some(
    ({ taints = [], consumesCounters = [] }) => taints.length > 0 || consumesCounters.length > 0,
  );
  const max = hasMore ? devicesWithMoreMax : devicesMax;
  checkSet(
    devices,
    max,
    report.at('devices'),
    (device, at) => validateDevice(device, at, spec.perDeviceNodeSelection === true),
    ({ name }) => name,
  );
  checkSet(
    sharedCounters,
    counterSetsMax,
    report.at('sharedCounters'),
    ({ name, counters }, at) => validateCounters(name, counters, at, 'name'),
    ({ name }) => name,
  );
}

interface DraftSlice {
  readonly spec: {
    readonly devices?:
      | readonly {
          nodeAllocatableResourceMappings?: unknown;
          readonly taints?: readonly { timeAdded?: string | undefined }[] | undefined;
        }[]
      | undefined;
  };
  readonly metadata: { readonly creationTimestamp?: string | undefined };
}

/** Taints of a new slice are as old as it is. */
export function prepareNewSlice(slice: DraftSlice): void {
  prepareSlice(slice);
  for (const { taints } of slice.spec.devices ?? [])
    for (const taint of taints ?? []) taint.timeAdded ??= slice.metadata.creationTimestamp;
}

/** Drops what is behind the feature gate DRANodeAllocatableResources, which is off. */
export function prepareSlice({ spec }: DraftSlice): void {
  for (const device of spec.devices ?? []) delete device.nodeAllocatableResourceMappings;
}

/** The items, then what is there twice; of too many nothing more is said. */
export function checkSet<Item>(
  items: readonly Item[],
  max: number,
  report: Report,
  check: (item: Item, at: Report) => void,
  keyOf: (item: Item) => unknown,
): void {
  if (items.length > max) return report.tooMany(items.length, max);
  for (const [index, item] of items.entries()) check(item, report.index(index));
  const seen = new Set<string>();
  for (const [index, item] of items.entries()) {
    const key = keyOf(item);
    const text = JSON.stringify(key);
    if (seen.has(text)) report.index(index).duplicate(key);
    seen.add(text);
  }
}

export function checkPoolName(name: string, report: Report): void {
  if (name === '') return report.required();
  if (name.length > poolNameLengthMax) report.tooLong(poolNameLengthMax);
  for (const part of name.split('/')) checkDnsSubdomain(part, report);
}

/** `domain/id`. */
export function checkFullName(name: string, report: Report): void {
  checkPropertyName(name, report);
  if (!name.includes('/'))
    report.invalid(name, 'a fully qualified name must be a domain and a name separated by a slash');
}

export function checkBindingConditions(
  conditions: readonly string[] | undefined,
  failures: readonly string[] | undefined,
  report: Report,
): void {
  const lists = [
    ['bindingConditions', conditions ?? []],
    ['bindingFailureConditions', failures ?? []],
  ] as const;
  for (const [field, list] of lists) {
    checkSet(list, conditionsMax, report.at(field), checkQualifiedName, each => each);
  }
  const [own, failed] = lists.map(([, list]) => list.length);
  if (own === 0 && failed !== 0)
    report.at('bindingConditions').invalid(null, 'bindingConditions are required to use bindingFailureConditions');
  if (own !== 0 && failed === 0)
    report
      .at('bindingFailureConditions')
      .invalid(null, 'bindingFailureConditions are required to use bindingConditions');
  for (const [index, each] of (failures ?? []).entries())
    if (conditions?.includes(each))
      report
        .at('bindingFailureConditions')
        .index(index)
        .invalid(each, 'bindingFailureConditions must not overlap with bindingConditions');
}

function validatePool({ name, generation, resourceSliceCount }: Pool, report: Report): void {
  checkPoolName(name, report.at('name'));
  if (Number(resourceSliceCount) <= 0)
    report.at('resourceSliceCount').invalid(resourceSliceCount, 'must be greater than zero');
  if (Number(generation) < 0) report.at('generation').invalid(generation, 'must be greater than or equal to zero');
}

function validateReach(spec: Slice, report: Report): void {
  const { nodeName, nodeSelector, allNodes, perDeviceNodeSelection } = spec;
  const set: string[] = [];
  if (nodeName === '') report.at('nodeName').invalid('', 'must be either unset or set to a non-empty string');
  else if (nodeName !== undefined) {
    set.push('`nodeName`');
    checkDnsSubdomain(nodeName, report.at('nodeName'));
  }
  if (nodeSelector !== undefined) {
    set.push('`nodeSelector`');
    const at = report.at('nodeSelector');
    validateNodeSelector(nodeSelector, at);
    const terms = nodeSelector.nodeSelectorTerms ?? [];
    const shown = terms.length === 0 ? null : terms.map(term => goForm(NodeSelectorTerm, term));
    if (terms.length !== 1) at.at('nodeSelectorTerms').invalid(shown, 'must have exactly one node selector term');
  }
  const flags = [
    ['allNodes', allNodes],
    ['perDeviceNodeSelection', perDeviceNodeSelection],
  ] as const;
  for (const [field, value] of flags) {
    if (value === true) set.push(`\`${field}\``);
    if (value === false) report.at(field).invalid(false, 'must be either unset or set to true');
  }
  const one = 'exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required';
  if (set.length === 0) report.required(one);
  if (set.length > 1) report.invalid(`{${set.join(', ')}}`, `${one}, but multiple fields are set`);
}

function validateDevice(device: Device, report: Report, choosesNodes: boolean): void {
  const { name, attributes = {}, capacity = {}, taints = [], consumesCounters = [] } = device;
  checkDnsLabel(name, report.at('name'));
  const count = Object.keys(attributes).length + Object.keys(capacity).length;
  if (count > propertiesMax)
    report.invalid(count, `the total number of attributes and capacities must not exceed ${propertiesMax}`);
  for (const [key, attribute] of Object.entries(attributes)) {
    checkPropertyName(key, report.at('attributes'));
    validateAttribute(attribute, report.at('attributes').key(shortened(key, propertyNameLengthMax)));
  }
  for (const [key, value] of Object.entries(capacity)) {
    const at = report.at('capacity');
    checkPropertyName(key, at);
    validateCapacity(value, at.key(shortened(key, propertyNameLengthMax)), device.allowMultipleAllocations === true);
  }
  if (taints.length > taintsMax) report.at('taints').tooMany(taints.length, taintsMax);
  for (const [index, { key, value = '', effect }] of taints.entries()) {
    const at = report.at('taints').index(index);
    checkQualifiedName(key, at.at('key'));
    checkLabelValue(value, at.at('value'));
    checkRequiredOneOf(effect, taintEffects, at.at('effect'));
  }
  checkSet(
    consumesCounters,
    consumptionsMax,
    report.at('consumesCounters'),
    ({ counterSet, counters }, at) => validateCounters(counterSet, counters, at, 'counterSet'),
    ({ counterSet }) => counterSet,
  );
  validateDeviceReach(device, report, choosesNodes);
  checkBindingConditions(device.bindingConditions, device.bindingFailureConditions, report);
}

function validateDeviceReach(
  { nodeName, nodeSelector, allNodes }: Device,
  report: Report,
  choosesNodes: boolean,
): void {
  if (!choosesNodes) {
    if (nodeName !== undefined || nodeSelector !== undefined || allNodes !== undefined)
      report.invalid(
        null,
        '`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec',
      );
    return;
  }
  const set: string[] = [];
  if (nodeName === '') report.at('nodeName').invalid('', 'must not be empty');
  else if (nodeName !== undefined) {
    set.push('`nodeName`');
    checkDnsSubdomain(nodeName, report.at('nodeName'));
  }
  if (nodeSelector !== undefined) {
    set.push('`nodeSelector`');
    validateNodeSelector(nodeSelector, report.at('nodeSelector'));
  }
  if (allNodes === true) set.push('`allNodes`');
  if (allNodes === false) report.at('allNodes').invalid(false, 'must be either unset or set to true');
  const one =
    'exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec';
  if (set.length === 0) report.required(one);
  if (set.length > 1) report.invalid(`{${set.join(', ')}}`, one);
}

const semver =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$/;

function validateAttribute(attribute: Attribute, report: Report): void {
  const { int, bool, string, version } = attribute;
  if (string !== undefined && Buffer.byteLength(string) > valueLengthMax) report.at('string').tooLong(valueLengthMax);
  if (version !== undefined) {
    const at = report.at('version');
    if (!semver.test(version)) at.invalid(version, 'must be a string compatible with semver.org spec 2.0.0');
    if (Buffer.byteLength(version) > valueLengthMax) at.tooLong(valueLengthMax);
  }
  const count = [int, bool, string, version].filter(value => value !== undefined).length;
  if (count !== 1) report.invalid(count === 0 ? '' : attribute, 'exactly one value must be specified');
}

function validateCapacity({ value, requestPolicy }: Capacity, report: Report, isShared: boolean): void {
  if (requestPolicy === undefined) return;
  const at = report.at('requestPolicy');
  if (!isShared) return at.forbidden('allowMultipleAllocations must be true');
  const { default: usual, validValues = [], validRange } = requestPolicy;
  if (validValues.length > 0 && validRange !== undefined)
    at.forbidden('exactly one policy can be specified, cannot specify `validValues` and `validRange` at the same time');
  if (usual === undefined) {
    if (validValues.length > 0) at.at('default').required('default must be specified when validValues are set');
    if (validRange !== undefined) at.at('default').required('default must be specified when validRange is set');
    return;
  }
  if (isMore(usual, value)) at.at('default').invalid(usual, `default is larger than capacity value: ${value}`);
  if (validValues.length > validValuesMax) at.at('validValues').tooMany(validValues.length, validValuesMax);
  for (const [index, each] of validValues.entries()) {
    if (isMore(each, value))
      at.at('validValues').index(index).invalid(each, `option is larger than capacity value: ${value}`);
    if (index > 0 && !isMore(each, validValues[index - 1] ?? ''))
      at.at('validValues').index(index).invalid(each, 'values must be sorted in ascending order');
  }
  if (validValues.length > 0 && !validValues.some(each => isSame(each, usual)))
    at.at('default').invalid(usual, 'default value is not valid according to the requestPolicy');
  if (validRange === undefined) return;
  const range = at.at('validRange');
  const { min = '', max } = validRange;
  if (isMore(min, value)) range.at('min').invalid(min, `min is larger than capacity value: ${value}`);
  if (isMore(min, usual)) at.at('default').invalid(usual, `default is less than min: ${min}`);
  if (max !== undefined) {
    if (isMore(min, max)) range.at('min').invalid(min, `min is larger than max: ${max}`);
    if (isMore(max, value)) range.at('max').invalid(max, `max is larger than capacity value: ${value}`);
    if (isMore(usual, max)) at.at('default').invalid(usual, `default is more than max: ${max}`);
  }
}

function validateCounters(name: string, counters: Counters | undefined, report: Report, field: string): void {
  if (name === '') report.at(field).required();
  else checkDnsLabel(name, report.at(field));
  const names = Object.keys(counters ?? {});
  if (names.length === 0) return report.at('counters').required();
  if (names.length > countersMax) return report.at('counters').tooMany(names.length, countersMax);
  for (const each of names) checkDnsLabel(each, report.at('counters'));
}

/** `id`, or `domain/id`. Of more than two parts upstream says nothing. */
function checkPropertyName(name: string, report: Report): void {
  const parts = name.split('/');
  if (parts.length > 2) return;
  const [first = '', second] = parts;
  if (second === undefined) return checkIdentifier(first, report);
  if (first === '') report.invalid('', 'the domain must not be empty');
  else checkDriverName(first, report);
  if (second === '') report.invalid('', 'the name must not be empty');
  else checkIdentifier(second, report);
}

function checkIdentifier(id: string, report: Report): void {
  if (id.length > idLengthMax) report.tooLong(idLengthMax);
  checkMessages(isCIdentifier(id), id, report);
}

/** A key as it stands in a path. */
function shortened(key: string, lengthMax: number): string {
  if (key.length <= lengthMax) return key;
  const kept = lengthMax - '...'.length;
  return `${key.slice(0, Math.ceil(kept / 2))}...${key.slice(-Math.floor(kept / 2))}`;
}

function isMore(a: string, b: string): boolean {
  const [left, right] = [parseQuantity(a), parseQuantity(b)];
  return left !== undefined && right !== undefined && compareQuantities(left, right) > 0;
}

function isSame(a: string, b: string): boolean {
  return !isMore(a, b) && !isMore(b, a);
}
