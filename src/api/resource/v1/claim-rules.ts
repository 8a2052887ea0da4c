import { deepEqual } from '#base/deep-equal.ts';
import { parseCidr } from '#base/ip.ts';
import {
  checkDnsLabel,
  checkDnsSubdomain,
  checkLabelValue,
  checkMessages,
  checkOneOf,
  checkQualifiedName,
  checkRequiredOneOf,
  immutableMessage,
} from '../../machinery/checks.ts';
import { goForm } from '../../machinery/go-form.ts';
import { isDNS1123Label } from '../../machinery/names.ts';
import type { Schema } from '../../machinery/schema.ts';
import type { Report } from '../../machinery/validation.ts';
import { type Condition, validateConditions } from '../../meta/v1/condition.ts';
import type { NodeSelector } from '../../core/v1/node-selector.ts';
import { validateNodeSelector } from '../../core/v1/scheduling-validation.ts';
import { checkCsiDriverName as checkDriverName } from '../../core/v1/volume-validation.ts';
import { checkBindingConditions, checkFullName, checkPoolName, checkSet, taintEffects } from './slice-rules.ts';
import { compileDeviceSelector, selectorLengthMax } from '../device-expressions.ts';

/*
 * Defaults and checks of device requests, which all versions of the group share.
 */

interface Amount {
  allocationMode?: string | undefined;
  count?: number | bigint | undefined;
}

interface DraftRequest extends Amount {
  deviceClassName?: string | undefined;
  exactly?: Amount | undefined;
  firstAvailable?: readonly Amount[] | undefined;
}

interface DraftClaim {
  readonly devices: { readonly requests?: readonly DraftRequest[] | null | undefined };
}

/** One device each, unless a request says otherwise. */
export function defaultRequests({ devices }: DraftClaim): void {
  for (const request of devices.requests ?? []) {
    if (request.exactly !== undefined) defaultAmount(request.exactly);
    else if ((request.deviceClassName ?? '') !== '') defaultAmount(request);
    for (const part of request.firstAvailable ?? []) defaultAmount(part);
  }
}

function defaultAmount(amount: Amount): void {
  if ((amount.allocationMode ?? '') === '') amount.allocationMode = 'ExactCount';
  if (amount.allocationMode === 'ExactCount' && Number(amount.count ?? 0) === 0) amount.count = 1;
}

interface DeviceWish {
  readonly allocationMode?: string | undefined;
  readonly count?: number | bigint | undefined;
  readonly deviceClassName?: string | undefined;
  readonly selectors?: readonly Selector[] | undefined;
  readonly tolerations?: readonly Toleration[] | undefined;
}

interface Toleration {
  readonly key?: string | undefined;
  readonly operator?: string | undefined;
  readonly value?: string | undefined;
  readonly effect?: string | undefined;
}

interface Selector {
  readonly cel?: { readonly expression: string } | undefined;
}

interface Request extends DeviceWish {
  readonly name: string;
  readonly exactly?: DeviceWish | undefined;
  readonly firstAvailable?: readonly (DeviceWish & { readonly name: string })[] | undefined;
}

interface Claim {
  readonly devices: {
    readonly requests?: readonly Request[] | undefined;
    readonly constraints?: readonly Constraint[] | undefined;
    readonly config?: readonly Configuration[] | undefined;
  };
}

interface Constraint {
  readonly requests?: readonly string[] | undefined;
  readonly matchAttribute?: string | undefined;
  readonly distinctAttribute?: string | undefined;
}

export interface Configuration {
  readonly requests?: readonly string[] | undefined;
  readonly opaque?: { readonly driver: string; readonly parameters: unknown } | undefined;
}

const requestsMax = 32;
const constraintsMax = 32;
const configurationsMax = 32;
const alternativesMax = 8;
const parametersLengthMax = 10 * 1024;

/** `isFlat` for v1beta1, whose requests name the class themselves. */
export function validateClaim({ devices }: Claim, report: Report, { isFlat = false } = {}): void {
  const known = namesIn({ devices });
  const { constraints, config } = devices;
  const at = report.at('devices');
  const nameOf = ({ name }: { readonly name: string }) => name;
  checkSet(
    devices.requests ?? [],
    requestsMax,
    at.at('requests'),
    (request, place) => validateRequest(request, place, isFlat),
    nameOf,
  );
  checkList(constraints ?? [], constraintsMax, at.at('constraints'), (constraint, place) =>
    validateConstraint(constraint, known, place),
  );
  checkList(config ?? [], configurationsMax, at.at('config'), (each, place) => {
    checkRequestNames(each.requests ?? [], known, place.at('requests'));
    validateConfiguration(each, place);
  });
}

function checkList<Item>(
  items: readonly Item[],
  max: number,
  report: Report,
  check: (item: Item, at: Report) => void,
): void {
  if (items.length > max) return report.tooMany(items.length, max);
  for (const [index, item] of items.entries()) check(item, report.index(index));
}

function validateRequest(request: Request, report: Report, isFlat: boolean): void {
  checkDnsLabel(request.name, report.at('name'));
  const single = isFlat && (request.deviceClassName ?? '') !== '' ? request : request.exactly;
  const field = isFlat ? 'deviceClassName' : 'exactly';
  const several = request.firstAvailable ?? [];
  if ((single === undefined) === (several.length === 0)) {
    const which = single === undefined ? 'is required' : 'is required, but multiple fields are set';
    const detail = `exactly one of \`${field}\` or \`firstAvailable\` ${which}`;
    if (single === undefined) report.required(detail);
    else report.invalid(null, detail);
  } else if (single !== undefined) validateWish(single, isFlat ? report : report.at('exactly'));
  else
    checkSet(
      several,
      alternativesMax,
      report.at('firstAvailable'),
      (part, place) => {
        checkDnsLabel(part.name, place.at('name'));
        validateWish(part, place);
      },
      ({ name }) => name,
    );
}

/** `request`, and `request/part` of those with alternatives. */
function namesIn({ devices }: Claim): ReadonlySet<string> {
  const names = new Set<string>();
  for (const { name, firstAvailable = [] } of devices.requests ?? []) {
    names.add(name);
    for (const part of firstAvailable) names.add(`${name}/${part.name}`);
  }
  return names;
}

function validateConstraint(
  { requests = [], matchAttribute, distinctAttribute }: Constraint,
  known: ReadonlySet<string>,
  report: Report,
): void {
  checkRequestNames(requests, known, report.at('requests'));
  if (matchAttribute !== undefined) checkFullName(matchAttribute, report.at('matchAttribute'));
  else if (distinctAttribute !== undefined) checkFullName(distinctAttribute, report.at('distinctAttribute'));
  else
    report.required('exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set');
}

function checkRequestNames(names: readonly string[], known: ReadonlySet<string>, report: Report): void {
  checkSet(
    names,
    requestsMax,
    report,
    (name, at) => checkRequestName(name, known, at),
    name => name,
  );
}

function checkRequestName(name: string, known: ReadonlySet<string>, report: Report): void {
  const segments = name.split('/');
  if (segments.length <= 2) for (const segment of segments) checkMessages(isDNS1123Label(segment), segment, report);
  if (!known.has(name))
    report.invalid(
      name,
      "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
    );
}

export function validateConfiguration({ opaque }: Configuration, report: Report): void {
  const at = report.at('opaque');
  if (opaque === undefined) return at.required();
  checkDriverName(opaque.driver, at.at('driver'));
  validateParameters(opaque.parameters, at.at('parameters'));
}

/** JSON that the driver understands. */
function validateParameters(parameters: unknown, report: Report): void {
  if (parameters === undefined || parameters === null) return report.required();
  const length = Buffer.byteLength(JSON.stringify(parameters));
  if (length > parametersLengthMax) report.tooLong(parametersLengthMax);
  else if (typeof parameters !== 'object' || Array.isArray(parameters))
    report.invalid('<value omitted>', 'must be a valid JSON object');
}

interface Status {
  readonly allocation?: Allocation | undefined;
  readonly reservedFor?:
    | readonly { readonly resource: string; readonly name: string; readonly uid: string }[]
    | undefined;
  readonly devices?: readonly ReportedDevice[] | undefined;
}

interface StatusDevice {
  readonly driver: string;
  readonly pool: string;
  readonly device: string;
  readonly shareID?: string | undefined;
}

interface ReportedDevice extends StatusDevice {
  readonly conditions?: readonly Condition[] | null | undefined;
  readonly data?: unknown;
  readonly networkData?:
    | {
        readonly interfaceName?: string | undefined;
        readonly hardwareAddress?: string | undefined;
        readonly ips?: readonly string[] | undefined;
      }
    | undefined;
}

interface Allocation {
  readonly nodeSelector?: NodeSelector | undefined;
  readonly devices?:
    | {
        readonly results?:
          | readonly (StatusDevice & {
              readonly request: string;
              readonly bindingConditions?: readonly string[] | undefined;
              readonly bindingFailureConditions?: readonly string[] | undefined;
            })[]
          | undefined;
        readonly config?: readonly (Configuration & { readonly source: string })[] | undefined;
      }
    | undefined;
}

const usersMax = 256;
const resultsMax = 32;

/** What the scheduler, the controller and drivers may say of a claim. */
export function validateClaimStatus(
  claim: { readonly metadata: ClaimState['metadata']; readonly spec: Claim; readonly status: Status },
  old: { readonly status: Status },
  report: Report,
  /** Of the allocation. */
  schema: Schema,
): void {
  const { allocation, reservedFor = [], devices = [] } = claim.status;
  const users = report.at('reservedFor');
  checkSet(
    reservedFor,
    usersMax,
    users,
    (user, at) => {
      for (const name of ['resource', 'name', 'uid'] as const) if (!user[name]) at.at(name).required();
    },
    ({ uid }) => uid,
  );
  const allocated = new Set((allocation?.devices?.results ?? []).map(each => JSON.stringify(deviceInGo(each))));
  checkSet(
    devices,
    Infinity,
    report.at('devices'),
    (device, at) => validateStatusDevice(device, allocated, at),
    deviceInGo,
  );
  if (reservedFor.length > 0 && allocation === undefined)
    users.forbidden('may not be specified when `allocated` is not set');
  else if (claim.metadata.deletionTimestamp !== undefined) {
    const before = new Set((old.status.reservedFor ?? []).map(each => each.uid));
    if (reservedFor.some(each => !before.has(each.uid)))
      users.forbidden('new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set');
  }
  if (allocation === undefined) return;
  const at = report.at('allocation');
  if (old.status.allocation !== undefined) {
    checkFixedSpec(schema, allocation, old.status.allocation, at);
    return;
  }
  validateAllocation(allocation, namesIn(claim.spec), at.at('devices'));
  if (allocation.nodeSelector) validateNodeSelector(allocation.nodeSelector, at.at('nodeSelector'));
}

/** Names a device, as messages print it. */
function deviceInGo({ driver, pool, device, shareID = '' }: StatusDevice): object {
  return { Driver: driver, Pool: pool, Device: device, ShareID: shareID };
}

function validateStatusDevice(device: ReportedDevice, allocated: ReadonlySet<string>, report: Report): void {
  const { driver, pool, device: name, conditions, data, networkData } = device;
  checkDriverName(driver, report.at('driver'));
  checkPoolName(pool, report.at('pool'));
  checkDnsLabel(name, report.at('device'));
  checkShareId(device.shareID, report.at('shareID'));
  const key = deviceInGo(device);
  if (!allocated.has(JSON.stringify(key))) report.invalid(key, 'must be an allocated device in the claim');
  if ((conditions ?? []).length > deviceConditionsMax)
    report.at('conditions').tooMany((conditions ?? []).length, deviceConditionsMax);
  validateConditions(conditions, report.at('conditions'));
  if (data !== undefined && data !== null) validateParameters(data, report.at('data'));
  if (!networkData) return;
  const { interfaceName = '', hardwareAddress = '', ips = [] } = networkData;
  const at = report.at('networkData');
  if (Buffer.byteLength(interfaceName) > interfaceNameLengthMax) at.at('interfaceName').tooLong(interfaceNameLengthMax);
  if (Buffer.byteLength(hardwareAddress) > hardwareAddressLengthMax)
    at.at('hardwareAddress').tooLong(hardwareAddressLengthMax);
  checkSet(
    ips,
    addressesMax,
    at.at('ips'),
    (address, place) => {
      if (!parseCidr(address))
        place.invalid(address, 'must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)');
    },
    address => address,
  );
}

const deviceConditionsMax = 8;
const interfaceNameLengthMax = 256;
const hardwareAddressLengthMax = 128;
const addressesMax = 16;
const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function checkShareId(id: string | undefined, report: Report): void {
  if (id === undefined || uuid.test(id)) return;
  if (id.length !== 36) report.invalid(id, `error validating uid: invalid UUID length: ${id.length}`);
  else if (!uuid.test(id.toLowerCase())) report.invalid(id, 'error validating uid: invalid UUID format');
  else
    report.invalid(
      id,
      'uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters',
    );
}

function validateAllocation({ devices }: Allocation, known: ReadonlySet<string>, report: Report): void {
  const { results = [], config = [] } = devices ?? {};
  checkList(results, resultsMax, report.at('results'), (result, at) => {
    checkRequestName(result.request, known, at.at('request'));
    checkDriverName(result.driver, at.at('driver'));
    checkPoolName(result.pool, at.at('pool'));
    checkDnsLabel(result.device, at.at('device'));
    checkBindingConditions(result.bindingConditions, result.bindingFailureConditions, at);
    checkShareId(result.shareID, at.at('shareID'));
  });
  checkList(config, 2 * configurationsMax, report.at('config'), (each, at) => {
    checkRequiredOneOf(each.source, ['FromClaim', 'FromClass'], at.at('source'));
    checkRequestNames(each.requests ?? [], known, at.at('requests'));
    validateConfiguration(each, at);
  });
}

const modes = ['All', 'ExactCount'];

function validateWish(wish: DeviceWish, report: Report): void {
  const { deviceClassName = '', allocationMode = '', count, selectors = [] } = wish;
  if (deviceClassName === '') report.at('deviceClassName').required();
  else checkDnsSubdomain(deviceClassName, report.at('deviceClassName'));
  validateSelectors(selectors, report.at('selectors'));
  const amount = Number(count ?? 0);
  if (allocationMode === 'All' && amount !== 0) {
    report.at('count').invalid(count, "must not be specified when allocationMode is 'All'");
  } else if (allocationMode === 'ExactCount' && amount <= 0) {
    report.at('count').invalid(count, 'must be greater than zero');
  } else if (!modes.includes(allocationMode)) report.at('allocationMode').notSupported(allocationMode, modes);
  checkList(wish.tolerations ?? [], tolerationsMax, report.at('tolerations'), validateToleration);
}

const tolerationsMax = 16;

function validateToleration({ key, operator = '', value = '', effect }: Toleration, report: Report): void {
  if (key) checkQualifiedName(key, report.at('key'));
  if (operator === 'Exists' && value !== '') report.at('value').invalid(value, 'must be empty for operator `Exists`');
  if (operator === 'Equal') checkLabelValue(value, report.at('value'));
  checkRequiredOneOf(operator, ['Equal', 'Exists'], report.at('operator'));
  if (effect) checkOneOf(effect, taintEffects, report.at('effect'));
}

const selectorsMax = 32;

/** Expressions are compiled and their worst case is known before they are stored. */
export function validateSelectors(selectors: readonly Selector[], report: Report): void {
  checkList(selectors, selectorsMax, report, ({ cel }, at) => {
    if (cel === undefined) at.at('cel').required();
    else validateExpression(cel.expression, at.at('cel', 'expression'));
  });
}

function validateExpression(expression: string, report: Report): void {
  if (Buffer.byteLength(expression) > selectorLengthMax) return report.tooLong(selectorLengthMax);
  const { problem, isTooComplex } = compileDeviceSelector(expression);
  if (problem !== undefined) report.invalid(expression, problem);
  else if (isTooComplex) report.forbidden('too complex, exceeds cost limit');
}

export function checkFixedSpec(schema: Schema, spec: unknown, old: unknown, report: Report): void {
  const shown = goForm(schema, spec);
  if (!deepEqual(shown, goForm(schema, old))) report.invalid(shown, immutableMessage);
}

interface ClaimState {
  readonly metadata: { readonly deletionTimestamp?: string | undefined };
  readonly status: { readonly allocation?: unknown; readonly reservedFor?: readonly unknown[] | undefined };
}

export function claimState({ metadata, status }: ClaimState): string {
  const isDeleted = metadata.deletionTimestamp !== undefined;
  const states = isDeleted ? ['deleted'] : [];
  if (status.allocation === undefined) return isDeleted ? 'deleted' : 'pending';
  states.push('allocated');
  if ((status.reservedFor ?? []).length > 0) states.push('reserved');
  return states.join(',');
}
