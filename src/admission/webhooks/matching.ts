import { compileLabelSelector } from '#api/machinery/selector.ts';
import type { LabelSelector } from '#api/meta/v1/label-selector.ts';
import type { MutatingWebhook } from '#api/admissionregistration/v1/mutating-webhook-configuration.ts';
import type { RuleWithOperations } from '#api/admissionregistration/v1/rule-with-operations.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import type { AdmissionRequest } from '../admission.ts';
import { isOf } from '../request.ts';

/** What validating and mutating webhooks have in common. */
export type Webhook = Omit<MutatingWebhook, 'reinvocationPolicy'>;

type Labels = Readonly<Record<string, string>> | undefined;

/** Configuration of admission is never sent to webhooks: nobody could repair a broken one. */
export function isExempt({ kind }: AdmissionRequest): boolean {
  return kind.group === 'admissionregistration.k8s.io';
}

export function rulesMatch(rules: readonly RuleWithOperations[] | undefined, request: AdmissionRequest): boolean {
  const { kind, operation, subresource } = request;
  const scope = kind.namespaced ? 'Namespaced' : 'Cluster';
  return (rules ?? []).some(
    rule =>
      listed(rule.operations, operation) &&
      listed(rule.apiGroups, kind.group) &&
      listed(rule.apiVersions, kind.version) &&
      (rule.scope === undefined || rule.scope === '*' || rule.scope === scope) &&
      (rule.resources ?? []).some(each => resourceListed(each, kind.plural, subresource)),
  );
}

/** The labels that the two selectors look at; a cluster-scoped object that is no namespace is in all of them. */
export function selectorsMatch(webhook: Webhook, request: AdmissionRequest, namespaceLabels: Labels): boolean {
  if (!isEmpty(webhook.namespaceSelector) && (request.namespace !== '' || isOf(request, Namespace))) {
    const labels = isOf(request, Namespace) ? (request.object ?? request.old)?.metadata.labels : namespaceLabels;
    if (!compileLabelSelector(webhook.namespaceSelector)(labels)) return false;
  }
  if (isEmpty(webhook.objectSelector)) return true;
  const matches = compileLabelSelector(webhook.objectSelector);
  return [request.object, request.old].some(each => each !== undefined && matches(each.metadata?.labels));
}

/** Whether a namespace's labels have to be looked up for a webhook. */
export function needsNamespace(webhook: Webhook, request: AdmissionRequest): boolean {
  return !isEmpty(webhook.namespaceSelector) && request.namespace !== '' && !isOf(request, Namespace);
}

function isEmpty(selector: LabelSelector | undefined): boolean {
  if (!selector) return true;
  return Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions?.length ?? 0) === 0;
}

function listed(values: readonly string[] | undefined, value: string): boolean {
  return values !== undefined && (values.includes('*') || values.includes(value));
}

/** `pods`, `pods/*`, `* /status` (without the blank), `*`: every resource, `* /*`: every subresource too. */
function resourceListed(pattern: string, resource: string, subresource: string): boolean {
  const [wantedResource = '', wantedSubresource = ''] = pattern.split('/', 2);
  if (wantedResource !== '*' && wantedResource !== resource) return false;
  return pattern.includes('/') ? wantedSubresource === '*' || wantedSubresource === subresource : subresource === '';
}
