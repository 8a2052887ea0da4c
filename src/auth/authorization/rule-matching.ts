import type { PolicyRule } from '#api/rbac/v1/policy-rule.ts';
import type { Attributes } from './authorizer.ts';

/** Whether one rule allows what is asked. */
export function ruleAllows(rule: PolicyRule, asked: Attributes): boolean {
  if (!names(rule.verbs, asked.verb)) return false;
  if (!asked.resourceRequest) return pathMatches(rule.nonResourceURLs, asked.path);
  return (
    names(rule.apiGroups, asked.group) &&
    resourceMatches(rule.resources, asked.resource, asked.subresource) &&
    (!rule.resourceNames || rule.resourceNames.length === 0 || rule.resourceNames.includes(asked.name))
  );
}

/** `*`, `pods`, `pods/log`, or a subresource of every resource: `* /scale` without the blank. */
export function resourceMatches(listed: readonly string[] | undefined, resource: string, subresource: string): boolean {
  if (!listed) return false;
  for (const each of listed) {
    if (each === '*') return true;
    if (subresource === '') {
      if (each === resource) return true;
    } else if (each.length === resource.length + 1 + subresource.length) {
      if (each.startsWith(resource) && each[resource.length] === '/' && each.endsWith(subresource)) return true;
    } else if (each.length === subresource.length + 2 && each.startsWith('*/') && each.endsWith(subresource))
      return true;
  }
  return false;
}

export function pathMatches(listed: readonly string[] | undefined, path: string): boolean {
  if (!listed) return false;
  for (const each of listed) {
    if (each === '*' || each === path) return true;
    if (each.endsWith('*') && path.startsWith(each.replace(/\*+$/, ''))) return true;
  }
  return false;
}

function names(listed: readonly string[] | undefined, wanted: string): boolean {
  return listed !== undefined && (listed.includes('*') || listed.includes(wanted));
}
