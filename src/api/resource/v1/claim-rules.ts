import { checkDnsLabel, checkDnsSubdomain, sameValue } from '../../machinery/checks.ts';
import type { Report } from '../../machinery/validation.ts';
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
  readonly devices: { readonly requests?: readonly Request[] | undefined };
}

const requestsMax = 32;

/** `isFlat` for v1beta1, whose requests name the class themselves. */
export function validateClaim({ devices }: Claim, report: Report, { isFlat = false } = {}): void {
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
    const parts = new Set<string>();
    for (const [index, part] of several.entries()) {
      const atPart = atRequest.at('firstAvailable').index(index);
      checkName(part.name, parts, atPart);
      validateWish(part, atPart);
    }
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
