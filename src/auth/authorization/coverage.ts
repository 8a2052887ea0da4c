import type { PolicyRule } from '#api/rbac/v1/policy-rule.ts';
import { pathMatches } from './rule-matching.ts';

/** The parts of `wanted` that no rule of `held` covers, each with one verb and one resource or path. */
export function uncoveredRules(held: readonly PolicyRule[], wanted: readonly PolicyRule[]): PolicyRule[] {
  return wanted.flatMap(rule => [...pieces(rule)]).filter(piece => !held.some(rule => covers(rule, piece)));
}

/** Rules in one line each, those that differ by their verbs alone joined, sorted: as a refusal lists them. */
export function describeRules(rules: readonly PolicyRule[]): string[] {
  return [...new Set(compact(rules).map(describeRule))].sort();
}

/** `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}` */
export function describeRule(rule: PolicyRule): string {
  const part = (name: string, values: readonly string[] | undefined) =>
    values && values.length > 0 ? [`${name}:${quotedList(values)}`] : [];
  return `{${[
    ...part('APIGroups', rule.apiGroups),
    ...part('Resources', rule.resources),
    ...part('NonResourceURLs', rule.nonResourceURLs),
    ...part('ResourceNames', rule.resourceNames),
    ...part('Verbs', rule.verbs),
  ].join(', ')}}`;
}

/** A list of strings as Go's %q prints it. */
export function quotedList(values: readonly string[]): string {
  return `[${values.map(each => JSON.stringify(each)).join(' ')}]`;
}

function* pieces(rule: PolicyRule): Generator<PolicyRule> {
  for (const group of rule.apiGroups ?? [])
    for (const resource of rule.resources ?? [])
      for (const verb of rule.verbs) {
        const piece = { apiGroups: [group], resources: [resource], verbs: [verb] };
        if (!rule.resourceNames || rule.resourceNames.length === 0) yield piece;
        else for (const name of rule.resourceNames) yield { ...piece, resourceNames: [name] };
      }
  for (const url of rule.nonResourceURLs ?? [])
    for (const verb of rule.verbs) yield { nonResourceURLs: [url], verbs: [verb] };
}

function covers(held: PolicyRule, piece: PolicyRule): boolean {
  if (!all(held.verbs, piece.verbs)) return false;
  const url = piece.nonResourceURLs?.[0];
  if (url !== undefined) return pathMatches(held.nonResourceURLs, url);
  return (
    all(held.apiGroups, piece.apiGroups) &&
    coversResource(held.resources ?? [], piece.resources?.[0] ?? '') &&
    (!held.resourceNames ||
      held.resourceNames.length === 0 ||
      (piece.resourceNames !== undefined && all(held.resourceNames, piece.resourceNames, false)))
  );
}

/** `* /scale` (without the blank) covers `deployments/scale`, but not the reverse. */
function coversResource(held: readonly string[], wanted: string): boolean {
  if (held.includes('*') || held.includes(wanted)) return true;
  const slash = wanted.indexOf('/');
  return slash >= 0 && held.includes(`*${wanted.slice(slash)}`);
}

function all(held: readonly string[] | undefined, wanted: readonly string[] | undefined, wildcard = true): boolean {
  if (!held) return false;
  return (wildcard && held.includes('*')) || (wanted ?? []).every(each => held.includes(each));
}

function compact(rules: readonly PolicyRule[]): PolicyRule[] {
  const joined = new Map<string, { rule: PolicyRule; verbs: string[] }>();
  for (const rule of rules) {
    const { verbs, ...rest } = rule;
    const key = rest.nonResourceURLs ? JSON.stringify(rule) : JSON.stringify(rest);
    const known = joined.get(key);
    if (known) known.verbs.push(...verbs.filter(each => !known.verbs.includes(each)));
    else joined.set(key, { rule, verbs: [...verbs] });
  }
  return [...joined.values()].map(({ rule, verbs }) => ({ ...rule, verbs }));
}
