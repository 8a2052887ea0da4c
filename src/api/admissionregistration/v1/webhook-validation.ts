import { checkQualifiedName } from '../../machinery/checks.ts';
import { isFullyQualifiedName } from '../../machinery/names.ts';
import { validateLabelSelector } from '../../machinery/object-meta-validation.ts';
import type { LabelSelector } from '../../meta/v1/label-selector.ts';
import type { Report } from '../../machinery/validation.ts';
import { validateReviewVersions, validateWebhookClient } from './webhook-client-validation.ts';
import type { WebhookClientConfig } from './webhook-client-config.ts';
import { OnDemand } from '../../machinery/on-demand.ts';

interface Rule {
  readonly operations?: readonly string[] | undefined;
  readonly apiGroups?: readonly string[] | undefined;
  readonly apiVersions?: readonly string[] | undefined;
  readonly resources?: readonly string[] | undefined;
  readonly scope?: string | undefined;
}

interface Condition {
  readonly name: string;
  readonly expression: string;
}

interface Webhook {
  readonly name: string;
  readonly admissionReviewVersions?: readonly string[] | undefined;
  readonly clientConfig: WebhookClientConfig;
  readonly failurePolicy?: string | undefined;
  readonly matchConditions?: readonly Condition[] | undefined;
  readonly matchPolicy?: string | undefined;
  readonly namespaceSelector?: LabelSelector | undefined;
  readonly objectSelector?: LabelSelector | undefined;
  readonly reinvocationPolicy?: string | undefined;
  readonly rules?: readonly Rule[] | undefined;
  readonly sideEffects?: string | undefined;
  readonly timeoutSeconds?: number | undefined;
}

/** `report` stands at the list of webhooks. */
export function validateWebhooks(webhooks: readonly Webhook[] | undefined, report: Report): void {
  const names = new Set<string>();
  for (const [position, webhook] of (webhooks ?? []).entries()) {
    const at = report.index(position);
    validateWebhook(webhook, at);
    const versions = webhook.admissionReviewVersions ?? [];
    const must = 'must specify one of v1, v1beta1';
    validateReviewVersions(versions, at.at('admissionReviewVersions'), must);
    if (webhook.name === '') continue;
    if (names.has(webhook.name)) at.at('name').duplicate(webhook.name);
    names.add(webhook.name);
  }
}

export const failurePolicies = ['Fail', 'Ignore'];
export const matchPolicies = ['Equivalent', 'Exact'];
export const reinvocationPolicies = ['IfNeeded', 'Never'];
const sideEffectClasses = ['None', 'NoneOnDryRun'];
const timeoutSecondsMax = 30;

function validateWebhook(webhook: Webhook, report: Report): void {
  for (const message of isFullyQualifiedName(webhook.name)) {
    if (webhook.name === '') report.at('name').required('');
    else report.at('name').invalid(webhook.name, message);
  }
  for (const [position, rule] of (webhook.rules ?? []).entries()) {
    validateRule(rule, true, report.at('rules').index(position));
  }
  checkSupported(webhook.failurePolicy, failurePolicies, report.at('failurePolicy'));
  checkSupported(webhook.matchPolicy, matchPolicies, report.at('matchPolicy'));
  if (webhook.sideEffects === undefined) {
    report.at('sideEffects').required(`must specify one of ${sideEffectClasses.join(', ')}`);
  } else checkSupported(webhook.sideEffects, sideEffectClasses, report.at('sideEffects'));
  const { timeoutSeconds } = webhook;
  if (timeoutSeconds !== undefined && (timeoutSeconds < 1 || timeoutSeconds > timeoutSecondsMax)) {
    const range = `the timeout value must be between 1 and ${timeoutSecondsMax} seconds`;
    report.at('timeoutSeconds').invalid(timeoutSeconds, range);
  }
  validateLabelSelector(webhook.namespaceSelector, report.at('namespaceSelector'));
  validateLabelSelector(webhook.objectSelector, report.at('objectSelector'));
  validateWebhookClient(webhook.clientConfig, report.at('clientConfig'));
  checkSupported(webhook.reinvocationPolicy, reinvocationPolicies, report.at('reinvocationPolicy'));
  validateMatchConditions(webhook.matchConditions, report.at('matchConditions'));
}

function checkSupported(value: string | undefined, supported: readonly string[], report: Report): void {
  if (value !== undefined && !supported.includes(value)) report.notSupported(value, supported);
}

/** What compiles expressions: loaded when there are some, before they are validated. */
export const expressionsOnDemand = new OnDemand(() => import('./policy-expressions.ts'));

/** Conditions, where there are some, have to be compiled. */
export function beforeWebhookValidation({
  webhooks,
}: {
  readonly webhooks?: readonly { readonly matchConditions?: readonly unknown[] | undefined }[] | undefined;
}): Promise<void> | undefined {
  const some = (webhooks ?? []).some(({ matchConditions }) => (matchConditions ?? []).length > 0);
  return some ? expressionsOnDemand.load() : undefined;
}

const conditionsMax = 64;

export function validateMatchConditions(
  conditions: readonly Condition[] | undefined,
  report: Report,
  hasParams = false,
): void {
  const names = new Set<string>();
  if ((conditions ?? []).length > conditionsMax) report.tooMany((conditions ?? []).length, conditionsMax);
  for (const [position, { name, expression }] of (conditions ?? []).entries()) {
    const at = report.index(position);
    const text = expression.trim();
    if (text === '') at.at('expression').required();
    else expressionsOnDemand.module.checkCondition(text, hasParams, at.at('expression'));
    if (name === '') at.at('name').required();
    else {
      checkQualifiedName(name, at.at('name'));
      if (names.has(name)) at.at('name').duplicate(name);
      names.add(name);
    }
  }
}

const operations = ['*', 'CONNECT', 'CREATE', 'DELETE', 'UPDATE'];
const scopes = ['*', 'Cluster', 'Namespaced'];

/** Which requests are meant; `*` for all must stand alone. */
export function validateRule(rule: Rule, allowsSubresources: boolean, report: Report): void {
  const { apiGroups = [], apiVersions = [], resources = [] } = rule;
  const wanted = rule.operations ?? [];
  const alone = (what: string) => `if '*' is present, must not specify other ${what}`;
  if (wanted.length === 0) report.at('operations').required();
  if (wanted.length > 1 && wanted.includes('*')) report.at('operations').invalid(wanted, alone('operations'));
  for (const [position, operation] of wanted.entries()) {
    if (!operations.includes(operation)) report.at('operations').index(position).notSupported(operation, operations);
  }
  if (apiGroups.length === 0) report.at('apiGroups').required();
  if (apiGroups.length > 1 && apiGroups.includes('*')) report.at('apiGroups').invalid(apiGroups, alone('API groups'));
  if (apiVersions.length === 0) report.at('apiVersions').required();
  if (apiVersions.length > 1 && apiVersions.includes('*')) {
    report.at('apiVersions').invalid(apiVersions, alone('API versions'));
  }
  for (const [position, version] of apiVersions.entries()) {
    if (version === '') report.at('apiVersions').index(position).required();
  }
  if (resources.length === 0) report.at('resources').required();
  if (allowsSubresources) validateResources(resources, report.at('resources'));
  else validateMainResources(resources, report.at('resources'));
  if (rule.scope !== undefined) checkSupported(rule.scope, scopes, report.at('scope'));
}

function validateMainResources(resources: readonly string[], report: Report): void {
  if (resources.length > 1 && resources.includes('*')) {
    report.invalid(resources, "if '*' is present, must not specify other resources");
  }
  for (const [position, resource] of resources.entries()) {
    if (resource === '') report.index(position).required();
    if (resource.includes('/')) report.index(position).invalid(resource, 'must not specify subresources');
  }
}

/** Overlapping wildcards are refused: they only hide what a rule means. */
function validateResources(resources: readonly string[], report: Report): void {
  const withAllSubresources = new Set<string>();
  const subresourcesOfAll = new Set<string>();
  for (const [position, resource] of resources.entries()) {
    const at = report.index(position);
    if (resource === '') {
      at.required();
      continue;
    }
    if (resource === '*/*') {
      withAllSubresources.add('*');
      subresourcesOfAll.add('*');
    }
    const [main = '', sub] = resource.split('/', 2);
    if (sub === undefined) continue;
    if (withAllSubresources.has(main)) {
      at.invalid(resource, `if '${main}/*' is present, must not specify ${resource}`);
    }
    if (subresourcesOfAll.has(sub)) at.invalid(resource, `if '*/${sub}' is present, must not specify ${resource}`);
    if (sub === '*') withAllSubresources.add(main);
    if (main === '*') subresourcesOfAll.add(sub);
  }
  if (resources.length > 1 && resources.includes('*/*')) {
    report.invalid(resources, "if '*/*' is present, must not specify other resources");
  }
  if (resources.includes('*') && resources.some(resource => !resource.includes('/') && resource !== '*')) {
    report.invalid(resources, "if '*' is present, must not specify other resources without subresources");
  }
}
