import { cidrContains, parseCidr, parseIp } from '#base/ip.ts';
import { goField } from './go-form.ts';
import {
  isCIDR,
  isDNS1123Label,
  isDNS1123Subdomain,
  isIP,
  isLabelValue,
  isPortName,
  isPortNumber,
  isQualifiedName,
} from './names.ts';
import type { Field } from './schema.ts';
import type { Report } from './validation.ts';

/*
 * The checks that the kinds share, each written into the report it is given. The report stands at the field itself.
 */

export const immutableMessage = 'field is immutable';
export const negativeMessage = 'must be greater than or equal to 0';

/** Reports one `Invalid value` for each message of a rule of names.ts. */
export function checkMessages(messages: readonly string[], value: unknown, report: Report): void {
  for (const message of messages) report.invalid(value, message);
}

export function checkDnsLabel(value: string, report: Report): void {
  checkMessages(isDNS1123Label(value), value, report);
}

export function checkDnsSubdomain(value: string, report: Report): void {
  checkMessages(isDNS1123Subdomain(value), value, report);
}

export function checkQualifiedName(value: string, report: Report): void {
  checkMessages(isQualifiedName(value), value, report);
}

export function checkLabelValue(value: string, report: Report): void {
  checkMessages(isLabelValue(value), value, report);
}

export function checkNonNegative(value: number | undefined, report: Report): void {
  if ((value ?? 0) < 0) report.invalid(value, negativeMessage);
}

export function checkPositive(value: number, report: Report): void {
  if (value <= 0) report.invalid(value, 'must be greater than zero');
}

export function checkPortNumber(port: number | undefined, report: Report): void {
  checkMessages(isPortNumber(port ?? 0), port ?? 0, report);
}

export function checkPort(port: number | string | undefined, report: Report): void {
  if (typeof port === 'string') checkMessages(isPortName(port), port, report);
  else checkPortNumber(port, report);
}

/** One of the values, listed in the order given. */
export function checkOneOf(value: string, supported: readonly string[], report: Report): void {
  if (!supported.includes(value)) report.notSupported(value, supported);
}

/** Like `checkOneOf`; an empty value is `Required`. */
export function checkRequiredOneOf(value: string | undefined, supported: readonly string[], report: Report): void {
  if (!value) report.required();
  else checkOneOf(value, supported, report);
}

export function checkImmutable(value: unknown, old: unknown, report: Report): void {
  if (!sameValue(value, old)) report.invalid(value, immutableMessage);
}

/** The same for a field whose value is printed as the struct that it is in Go; a pointer to nothing is not an absent one. */
export function checkImmutableField(field: Field, value: unknown, old: unknown, report: Report): void {
  checkImmutable(goField(field, value), goField(field, old), report);
}

/** An address; `old` are values of the stored object, which are taken as they are. */
export function checkIp(value: string, report: Report, old: readonly string[] = []): void {
  if (!old.includes(value)) checkMessages(isIP(value), value, report);
}

export function checkCidr(value: string, report: Report, old: readonly string[] = []): void {
  if (!old.includes(value)) checkMessages(isCIDR(value), value, report);
}

/** An address that traffic can be sent to from another node. */
export function checkReachableIp(value: string, report: Report): void {
  const address = parseIp(value);
  if (!address) {
    report.invalid(value, 'must be a valid IP address');
    return;
  }
  const within = (...networks: string[]) =>
    networks.some(text => {
      const network = parseCidr(text);
      return network !== undefined && cidrContains(network, address);
    });
  if (address.value === 0n) report.invalid(value, `may not be unspecified (${value})`);
  if (within('127.0.0.0/8', '::1/128'))
    report.invalid(value, 'may not be in the loopback range (127.0.0.0/8, ::1/128)');
  if (within('169.254.0.0/16', 'fe80::/10'))
    report.invalid(value, 'may not be in the link-local range (169.254.0.0/16, fe80::/10)');
  if (within('224.0.0.0/24', 'ff02::/16'))
    report.invalid(value, 'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)');
}

/** True for two addresses (or networks) of different families. */
export function isDualStack(values: readonly string[]): boolean {
  return new Set(values.map(value => value.includes(':'))).size === 2;
}

/** `example.com/path`: what a domain's owner named. */
export function checkDomainPath(value: string, report: Report): void {
  const slash = value.indexOf('/');
  if (value === '') {
    report.required();
    return;
  }
  const [domain, path] = [value.slice(0, slash), value.slice(slash + 1)];
  if (slash <= 0 || path === '') {
    report.invalid(value, 'must be a domain-prefixed path (such as "acme.io/foo")');
    return;
  }
  checkMessages(isDNS1123Subdomain(domain), domain, report);
  if (!/^[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$/.test(path)) report.invalid(path, 'Invalid path');
}

export function checkFinalizerName(name: string, report: Report): void {
  checkQualifiedName(name, report);
  checkStandardFinalizer(name, report);
}

/** Without a domain only Kubernetes' own finalizers are allowed. */
export function checkStandardFinalizer(name: string, report: Report): void {
  if (!name.includes('/') && !['kubernetes', 'orphan', 'foregroundDeletion'].includes(name))
    report.invalid(name, 'name is neither a standard finalizer name nor is it fully qualified');
}

/** Whether two values are the same for the API: an empty list, map or object is as good as none. */
export function sameValue(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (isEmpty(left) || isEmpty(right)) return isEmpty(left) && isEmpty(right);
  if (Array.isArray(left)) {
    if (!Array.isArray(right) || left.length !== right.length) return false;
    return left.every((item, index) => sameValue(item, right[index]));
  }
  if (typeof left !== 'object' || typeof right !== 'object' || Array.isArray(right)) return false;
  const leftFields = left as Readonly<Record<string, unknown>>;
  const rightFields = right as Readonly<Record<string, unknown>>;
  return (
    Object.keys(leftFields).every(name => sameValue(leftFields[name], ownValue(rightFields, name))) &&
    Object.keys(rightFields).every(name => Object.hasOwn(leftFields, name) || isEmpty(rightFields[name]))
  );
}

function ownValue(fields: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(fields, name) ? fields[name] : undefined;
}

function isEmpty(value: unknown): value is undefined | null {
  if (value === undefined || value === null) return true;
  if (Array.isArray(value)) return value.length === 0;
  if (typeof value !== 'object') return false;
  for (const name in value) if (!isEmpty((value as Readonly<Record<string, unknown>>)[name])) return false;
  return true;
}
