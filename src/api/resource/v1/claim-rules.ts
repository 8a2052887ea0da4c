import { checkDnsLabel, checkDnsSubdomain, sameValue } from '../../machinery/checks.ts';
import type { Report } from '../../machinery/validation.ts';
import { checkBindingConditions, checkDriverName, checkFullName, checkPoolName } from './slice-rules.ts';
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
  const requests = devices.requests ?? [];
  const at = report.at('devices', 'requests');
  if (requests.length > requestsMax) at.tooMany(requests.length, requestsMax);
  const names = new Set<string>();
  for (const [position, request] of requests.entries()) {
    const atRequest = at.index(position);
    checkName(request.name, names, atRequest);
    const single = isFlat && (request.deviceClassName ?? '') !== '' ? request : request.exactly;
    const field = isFlat ? 'deviceClassName' : 'exactly';
    const several = request.firstAvailable ?? [];
    if ((single === undefined) === (several.length === 0)) {
      const which = single === undefined ? 'is required' : 'is required, but multiple fields are set';
      const detail = `exactly one of \`${field}\` or \`firstAvailable\` ${which}`;
      if (single === undefined) atRequest.required(detail);
      else atRequest.invalid(null, detail);
    }
    if (single !== undefined) validateWish(single, isFlat ? atRequest : atRequest.at('exactly'));
    if (several.length > alternativesMax) atRequest.at('firstAvailable').tooMany(several.length, alternativesMax);
    const parts = new Set<string>();
    for (const [index, part] of several.entries()) {
      const atPart = atRequest.at('firstAvailable').index(index);
      checkName(part.name, parts, atPart);
      validateWish(part, atPart);
    }
  }
  const { constraints = [], config = [] } = devices;
  const atConstraints = report.at('devices', 'constraints');
  if (constraints.length > constraintsMax) atConstraints.tooMany(constraints.length, constraintsMax);
  for (const [index, constraint] of constraints.entries())
    validateConstraint(constraint, known, atConstraints.index(index));
  const atConfig = report.at('devices', 'config');
  if (config.length > configurationsMax) atConfig.tooMany(config.length, configurationsMax);
  for (const [index, each] of config.entries()) {
    checkRequestNames(each.requests ?? [], known, atConfig.index(index).at('requests'));
    validateConfiguration(each, atConfig.index(index));
  }
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
  const seen = new Set<string>();
  for (const [index, name] of names.entries()) {
    const at = report.index(index);
    if (seen.has(name)) at.duplicate(name);
    seen.add(name);
    checkRequestName(name, known, at);
  }
}

function checkRequestName(name: string, known: ReadonlySet<string>, report: Report): void {
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
  if (opaque.parameters === undefined || opaque.parameters === null) return at.at('parameters').required();
  const length = Buffer.byteLength(JSON.stringify(opaque.parameters));
  if (length > parametersLengthMax) at.at('parameters').tooLong(parametersLengthMax);
}

interface Status {
  readonly allocation?: Allocation | undefined;
  readonly reservedFor?:
    | readonly { readonly resource: string; readonly name: string; readonly uid: string }[]
    | undefined;
  readonly devices?: readonly StatusDevice[] | undefined;
}

interface StatusDevice {
  readonly driver: string;
  readonly pool: string;
  readonly device: string;
  readonly shareID?: string | undefined;
}

interface Allocation {
  readonly devices?:
    | {
        readonly results?:
          | readonly (StatusDevice & {
              readonly request: string;
              readonly bindingConditions?: readonly string[] | undefined;
              readonly bindingFailureConditions?: readonly string[] | undefined;
            })[]
          | undefined;
        readonly config?: readonly Configuration[] | undefined;
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
): void {
  const { allocation, reservedFor = [], devices = [] } = claim.status;
  const users = report.at('reservedFor');
  if (reservedFor.length > usersMax) users.tooMany(reservedFor.length, usersMax);
  const uids = new Set<string>();
  for (const [index, { resource, name, uid }] of reservedFor.entries()) {
    const at = users.index(index);
    if (resource === '') at.at('resource').required();
    if (name === '') at.at('name').required();
    if (uid === '') at.at('uid').required();
    if (uids.has(uid)) at.duplicate(uid);
    uids.add(uid);
  }
  const idOf = ({ driver, pool, device, shareID = '' }: StatusDevice) => [driver, pool, device, shareID].join('/');
  const allocated = new Set((allocation?.devices?.results ?? []).map(idOf));
  for (const [index, device] of devices.entries())
    if (!allocated.has(idOf(device)))
      report.at('devices').index(index).invalid(idOf(device), 'must be an allocated device in the claim');
  if (reservedFor.length > 0 && allocation === undefined)
    users.forbidden('may not be specified when `allocated` is not set');
  else if (claim.metadata.deletionTimestamp !== undefined) {
    const before = new Set((old.status.reservedFor ?? []).map(each => each.uid));
    if (reservedFor.some(each => !before.has(each.uid)))
      users.forbidden('new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set');
  }
  if (allocation === undefined) return;
  const at = report.at('allocation');
  if (old.status.allocation !== undefined) checkFixedSpec(allocation, old.status.allocation, at);
  else validateAllocation(allocation, namesIn(claim.spec), at.at('devices'));
}

function validateAllocation({ devices }: Allocation, known: ReadonlySet<string>, report: Report): void {
  const { results = [], config = [] } = devices ?? {};
  if (results.length > resultsMax) report.at('results').tooMany(results.length, resultsMax);
  for (const [index, result] of results.entries()) {
    const at = report.at('results').index(index);
    checkRequestName(result.request, known, at.at('request'));
    checkDriverName(result.driver, at.at('driver'));
    checkPoolName(result.pool, at.at('pool'));
    checkDnsLabel(result.device, at.at('device'));
    checkBindingConditions(result.bindingConditions, result.bindingFailureConditions, at);
  }
  if (config.length > 2 * configurationsMax) report.at('config').tooMany(config.length, 2 * configurationsMax);
  for (const [index, each] of config.entries()) {
    const at = report.at('config').index(index);
    checkRequestNames(each.requests ?? [], known, at.at('requests'));
    validateConfiguration(each, at);
  }
}

function checkName(name: string, seen: Set<string>, report: Report): void {
  if (name === '') report.at('name').required();
  else checkDnsLabel(name, report.at('name'));
  if (name !== '' && seen.has(name)) report.duplicate(name);
  seen.add(name);
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
}

const selectorsMax = 32;

/** Expressions are compiled and their worst case is known before they are stored. */
export function validateSelectors(selectors: readonly Selector[], report: Report): void {
  if (selectors.length > selectorsMax) report.tooMany(selectors.length, selectorsMax);
  for (const [position, { cel }] of selectors.slice(0, selectorsMax).entries()) {
    const at = report.index(position).at('cel');
    if (cel === undefined) at.required();
    else validateExpression(cel.expression, at.at('expression'));
  }
}

function validateExpression(expression: string, report: Report): void {
  if (Buffer.byteLength(expression) > selectorLengthMax) return report.tooLong(selectorLengthMax);
  const { problem, isTooComplex } = compileDeviceSelector(expression);
  if (problem !== undefined) report.invalid(expression, problem);
  else if (isTooComplex) report.forbidden('too complex, exceeds cost limit');
}

export function checkFixedSpec(spec: unknown, old: unknown, report: Report): void {
  if (!sameValue(spec, old)) report.invalid(spec, 'field is immutable');
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
