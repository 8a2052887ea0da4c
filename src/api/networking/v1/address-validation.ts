import { checkDnsSubdomain, checkMessages, immutableMessage, isDualStack } from '../../machinery/checks.ts';
import { isCanonicalCIDR, isPathSegmentName } from '../../machinery/names.ts';
import type { Report } from '../../machinery/validation.ts';

interface ParentReference {
  readonly group?: string | undefined;
  readonly resource?: string | undefined;
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
}

/** One network for each family. `report` stands at `cidrs`. */
export function validateServiceCidrs(cidrs: readonly string[], report: Report): void {
  if (cidrs.length === 0) {
    report.required('at least one CIDR required');
    return;
  }
  if (cidrs.length > 2) {
    report.invalid(cidrs, 'may only hold up to 2 values');
    return;
  }
  if (cidrs.length === 2 && !isDualStack(cidrs))
    report.invalid(cidrs, 'may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64');
  for (const [index, cidr] of cidrs.entries()) checkMessages(isCanonicalCIDR(cidr), cidr, report.index(index));
}

/** A second family may be added; what is there stays. */
export function validateServiceCidrsUpdate(
  given: readonly string[] | undefined,
  old: readonly string[],
  report: Report,
): void {
  const cidrs = given ?? [];
  const isUpgrade = old.length === 1 && cidrs.length === 2;
  if (!isUpgrade && cidrs.length !== old.length) {
    report.invalid(given, immutableMessage);
    return;
  }
  for (const [index, cidr] of old.entries())
    if (cidrs[index] !== cidr) report.index(index).invalid(cidrs[index], immutableMessage);
  if (isUpgrade) validateServiceCidrs(cidrs, report);
}

/** `report` stands at `parentRef`. */
export function validateParent(parent: ParentReference | undefined, report: Report): void {
  if (!parent) {
    report.required();
    return;
  }
  if (parent.group) checkDnsSubdomain(parent.group, report.at('group'));
  for (const name of ['resource', 'name'] as const) {
    const value = parent[name];
    if (!value) report.at(name).required();
    else checkMessages(isPathSegmentName(value), value, report.at(name));
  }
  if (parent.namespace) checkMessages(isPathSegmentName(parent.namespace), parent.namespace, report.at('namespace'));
}

export function parentOf(parent: ParentReference | undefined): string {
  if (!parent) return '<none>';
  const resource = `${parent.resource ?? ''}${parent.group ? `.${parent.group}` : ''}`.toLowerCase();
  return [resource, ...(parent.namespace ? [parent.namespace] : []), parent.name ?? ''].join('/');
}
