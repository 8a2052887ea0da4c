import type { MatchResources, NamedRuleWithOperations } from '#api/admissionregistration/v1/match-resources.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import type { Kind } from '#api/machinery/kind.ts';
import type { AdmissionRequest, Equivalent } from '../admission.ts';
import { isOf } from '../request.ts';
import { find, type Sources } from '../sources.ts';
import { needsNamespace, rulesMatch, selectorsMatch } from '../webhooks/matching.ts';

/** As what a request is meant: its own kind, or the same object in another version. */
export interface Matched {
  readonly kind: Kind;
  readonly equivalent: Equivalent | undefined;
}

/** Whether constraints are about a request, and in which version. Rules are asked first: they cost nothing. */
export async function matchOf(
  constraints: MatchResources,
  request: AdmissionRequest,
  sources: Sources,
): Promise<Matched | undefined> {
  const matched = resourceMatchOf(constraints, request);
  if (!matched) return undefined;
  const selectors = constraints as Parameters<typeof selectorsMatch>[0];
  const namespace = needsNamespace(selectors, request) ? await namespaceOf(request, sources) : undefined;
  return selectorsMatch(selectors, request, namespace?.metadata.labels) ? matched : undefined;
}

/** What the rules alone say. */
export function resourceMatchOf(constraints: MatchResources, request: AdmissionRequest): Matched | undefined {
  const { resourceRules = [], excludeResourceRules = [], matchPolicy } = constraints;
  const fuzzy = matchPolicy === 'Equivalent';
  if (ruleMatchOf(excludeResourceRules, request, fuzzy)) return undefined;
  if (resourceRules.length === 0) return { kind: request.kind, equivalent: undefined };
  return ruleMatchOf(resourceRules, request, fuzzy);
}

function ruleMatchOf(
  rules: readonly NamedRuleWithOperations[],
  request: AdmissionRequest,
  fuzzy: boolean,
): Matched | undefined {
  if (rules.some(rule => names(rule, request) && rulesMatch([rule], request)))
    return { kind: request.kind, equivalent: undefined };
  if (!fuzzy || rules.length === 0) return undefined;
  for (const equivalent of request.served?.equivalents(request.kind) ?? []) {
    const other = { ...request, kind: equivalent.kind };
    if (rules.some(rule => names(rule, request) && rulesMatch([rule], other)))
      return { kind: equivalent.kind, equivalent };
  }
  return undefined;
}

function names({ resourceNames = [] }: NamedRuleWithOperations, { name }: AdmissionRequest): boolean {
  return resourceNames.length === 0 || resourceNames.includes(name);
}

/** The namespace that a request is in; a namespace is in none. */
export async function namespaceOf(request: AdmissionRequest, sources: Sources): Promise<Namespace | undefined> {
  if (request.namespace === '' || isOf(request, Namespace)) return undefined;
  return find(sources, sources.informers.of(Namespace), request.namespace);
}
