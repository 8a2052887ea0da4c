import {
  isCIdentifier,
  isDNS1035Label,
  isDNS1123Subdomain,
  isPathSegmentName,
  isQualifiedName,
} from '../../machinery/names.ts';
import { type Condition, validateConditions } from '../../meta/v1/condition.ts';
import { checkOneOf } from '../../machinery/checks.ts';
import { validateLabelSelector } from '../../machinery/object-meta-validation.ts';
import type { LabelSelector } from '../../meta/v1/label-selector.ts';
import type { Report } from '../../machinery/validation.ts';
import type { PolicyExpressions } from './policy-expressions.ts';
import {
  failurePolicies,
  matchPolicies,
  reinvocationPolicies,
  expressionsOnDemand,
  validateMatchConditions,
  validateRule,
} from './webhook-validation.ts';

/*
 * What policies of both sorts, and of all versions, have in common.
 */

interface NamedRule {
  readonly resourceNames?: readonly string[] | undefined;
  readonly operations?: readonly string[] | undefined;
  readonly apiGroups?: readonly string[] | undefined;
  readonly apiVersions?: readonly string[] | undefined;
  readonly resources?: readonly string[] | undefined;
  readonly scope?: string | undefined;
}

interface MatchResources {
  readonly excludeResourceRules?: readonly NamedRule[] | undefined;
  readonly matchPolicy?: string | undefined;
  readonly namespaceSelector?: LabelSelector | undefined;
  readonly objectSelector?: LabelSelector | undefined;
  readonly resourceRules?: readonly NamedRule[] | undefined;
}

interface PolicySpec {
  readonly failurePolicy?: string | undefined;
  readonly matchConditions?: readonly { readonly name: string; readonly expression: string }[] | undefined;
  readonly matchConstraints?: MatchResources | undefined;
  readonly paramKind?: { readonly apiVersion?: string | undefined; readonly kind?: string | undefined } | undefined;
  readonly variables?: readonly { readonly name: string; readonly expression: string }[] | undefined;
}

interface ValidatingSpec extends PolicySpec {
  readonly auditAnnotations?: readonly { readonly key: string; readonly valueExpression: string }[] | undefined;
  readonly validations?:
    | readonly {
        readonly expression: string;
        readonly message?: string | undefined;
        readonly messageExpression?: string | undefined;
        readonly reason?: string | undefined;
      }[]
    | undefined;
}

interface MutatingSpec extends PolicySpec {
  readonly reinvocationPolicy?: string | undefined;
  readonly mutations?:
    | readonly {
        readonly patchType: string;
        readonly applyConfiguration?: { readonly expression?: string | undefined } | undefined;
        readonly jsonPatch?: { readonly expression?: string | undefined } | undefined;
      }[]
    | undefined;
}

const reasons = ['Forbidden', 'Invalid', 'RequestEntityTooLarge'];

export function validateValidatingPolicy(spec: ValidatingSpec, name: string, report: Report): void {
  const expressions = new expressionsOnDemand.module.PolicyExpressions({
    hasParams: spec.paramKind !== undefined,
    hasVariables: (spec.variables ?? []).length > 0,
  });
  validatePolicy(spec, expressions, report);
  const { validations = [], auditAnnotations = [] } = spec;
  if (validations.length === 0 && auditAnnotations.length === 0) {
    const either = 'validations or auditAnnotations must contain at least one item';
    report.at('validations').required(either);
    report.at('auditAnnotations').required(either);
  }
  for (const [position, { expression, message = '', messageExpression = '', reason }] of validations.entries()) {
    const at = report.at('validations').index(position);
    if (expression.trim() === '') at.at('expression').required('expression is not specified');
    else expressions.condition(expression, at.at('expression'));
    if (messageExpression !== '' && messageExpression.trim() === '') {
      at.at('messageExpression').invalid(messageExpression, 'must be non-empty if specified');
    } else if (messageExpression !== '') expressions.message(messageExpression, at.at('messageExpression'));
    if (message !== '' && message.trim() === '')
      at.at('message').invalid(message, 'message must be non-empty if specified');
    else if (/[\r\n]/.test(message.trim())) at.at('message').invalid(message, 'message must not contain line breaks');
    else if (/[\r\n]/.test(expression.trim()) && message === '') {
      at.at('message').required('message must be specified if expression contains line breaks');
    }
    if (reason !== undefined && !reasons.includes(reason)) at.at('reason').notSupported(reason, reasons);
  }
  validateAnnotations(auditAnnotations, name, expressions, report.at('auditAnnotations'));
}

const annotationsMax = 20;
const valueExpressionBytesMax = 5 * 1024;

function validateAnnotations(
  annotations: NonNullable<ValidatingSpec['auditAnnotations']>,
  name: string,
  expressions: PolicyExpressions,
  report: Report,
): void {
  if (annotations.length > annotationsMax)
    report.invalid(annotations, `must not have more than ${annotationsMax} auditAnnotations`);
  const keys = new Set<string>();
  for (const [position, { key, valueExpression }] of annotations.entries()) {
    const at = report.index(position);
    if (name === '') at.at('key').invalid(key, 'requires metadata.name be non-empty');
    else for (const message of isQualifiedName(`${name}/${key}`)) at.at('key').invalid(`${name}/${key}`, message);
    const text = valueExpression.trim();
    if (text === '') at.at('valueExpression').required('valueExpression is not specified');
    else if (Buffer.byteLength(text) > valueExpressionBytesMax)
      at.at('valueExpression').required(`must not exceed ${valueExpressionBytesMax} bytes in length`);
    else expressions.annotation(valueExpression, at.at('valueExpression'));
    if (keys.has(key)) at.at('key').duplicate(key);
    keys.add(key);
  }
}

interface PolicyStatus {
  readonly conditions?: readonly Condition[] | null | undefined;
  readonly typeChecking?:
    | { readonly expressionWarnings?: readonly { readonly fieldRef: string; readonly warning: string }[] | undefined }
    | undefined;
}

export function validatePolicyStatus({ conditions, typeChecking }: PolicyStatus, report: Report): void {
  for (const [position, { fieldRef, warning }] of (typeChecking?.expressionWarnings ?? []).entries()) {
    const at = report.at('typeChecking', 'expressionWarnings').index(position);
    if (!warning) at.at('warning').required();
    if (!fieldRef?.trim()) at.at('fieldRef').required();
  }
  validateConditions(conditions, report.at('conditions'));
}

export function validateMutatingPolicy(spec: MutatingSpec, report: Report): void {
  const expressions = new expressionsOnDemand.module.PolicyExpressions({
    hasParams: spec.paramKind !== undefined,
    hasVariables: true,
  });
  validatePolicy(spec, expressions, report);
  validateMutatedOperations(spec.matchConstraints, report.at('matchConstraints'));
  const { mutations = [], reinvocationPolicy } = spec;
  if (mutations.length === 0) report.at('mutations').required('mutations must contain at least one item');
  for (const [position, { patchType, applyConfiguration, jsonPatch }] of mutations.entries()) {
    const at = report.at('mutations').index(position);
    if (patchType === '') at.at('patchType').required();
    else if (patchType === 'ApplyConfiguration') {
      if (applyConfiguration === undefined) {
        at.at('applyConfiguration').required('must be specified when patchType is ApplyConfiguration');
      } else if ((applyConfiguration.expression ?? '').trim() === '') {
        at.at('applyConfiguration', 'expression').required();
      } else {
        const { expression = '' } = applyConfiguration;
        expressions.configuration(expression, at.at('applyConfiguration', 'expression'));
      }
      if (jsonPatch !== undefined)
        at.at('jsonPatch').invalid('{jsonPatch}', 'must not be specified when patchType is ApplyConfiguration');
    } else if (patchType === 'JSONPatch') {
      if (jsonPatch === undefined) at.at('jsonPatch').required('must be specified when patchType is JSONPatch');
      else if ((jsonPatch.expression ?? '').trim() === '') {
        at.at('jsonPatch', 'expression').required();
      } else expressions.patch(jsonPatch.expression ?? '', at.at('jsonPatch', 'expression'));
      if (applyConfiguration !== undefined)
        at.at('applyConfiguration').invalid(
          '{applyConfiguration}',
          'must not be specified when patchType is JSONPatch',
        );
    } else at.at('patchType').notSupported(patchType, ['ApplyConfiguration', 'JSONPatch']);
  }
  const at = report.at('reinvocationPolicy');
  if (reinvocationPolicy === undefined || reinvocationPolicy === '') at.required();
  else if (!reinvocationPolicies.includes(reinvocationPolicy))
    at.notSupported(reinvocationPolicy, reinvocationPolicies);
}

function validatePolicy(spec: PolicySpec, expressions: PolicyExpressions, report: Report): void {
  const { failurePolicy, paramKind, matchConstraints } = spec;
  if (failurePolicy === undefined) report.at('failurePolicy').required();
  else if (!failurePolicies.includes(failurePolicy)) {
    report.at('failurePolicy').notSupported(failurePolicy, failurePolicies);
  }
  if (paramKind !== undefined) validateParamKind(paramKind, report.at('paramKind'));
  const at = report.at('matchConstraints');
  if (matchConstraints === undefined) at.required();
  else {
    validateMatchResources(matchConstraints, at);
    if ((matchConstraints.resourceRules ?? []).length === 0) at.at('resourceRules').required();
  }
  validateMatchConditions(spec.matchConditions, report.at('matchConditions'), paramKind !== undefined);
  for (const [position, { name, expression }] of (spec.variables ?? []).entries()) {
    const atVariable = report.at('variables').index(position);
    if (name.trim() === '') atVariable.at('name').required('name is not specified');
    else if (isCIdentifier(name).length > 0) atVariable.at('name').invalid(name, 'must be a valid CEL identifier');
    if (expression.trim() === '') atVariable.at('expression').required('expression is not specified');
    else expressions.variable({ name, expression }, atVariable.at('expression'));
  }
}

function validateParamKind({ apiVersion = '', kind = '' }: NonNullable<PolicySpec['paramKind']>, report: Report): void {
  const at = report.at('apiVersion');
  const parts = apiVersion.split('/');
  if (apiVersion === '') at.required();
  else if (parts.length > 2) at.invalid(apiVersion, `unexpected GroupVersion string: ${apiVersion}`);
  else {
    const [version = '', group] = parts.toReversed();
    const messages = group === undefined ? [] : isDNS1123Subdomain(group);
    if (messages.length > 0) at.invalid(group, messages.join(','));
    const problems = isDNS1035Label(version);
    if (problems.length > 0) at.invalid(version, problems.join(','));
  }
  const messages = isDNS1035Label(kind.toLowerCase());
  if (kind === '') report.at('kind').required();
  else if (messages.length > 0) {
    report.at('kind').invalid(kind, `may have mixed case, but should otherwise match: ${messages.join(',')}`);
  }
}

function validateMatchResources(match: MatchResources, report: Report): void {
  if (match.matchPolicy === undefined) report.at('matchPolicy').required();
  else if (!matchPolicies.includes(match.matchPolicy)) {
    report.at('matchPolicy').notSupported(match.matchPolicy, matchPolicies);
  }
  if (match.namespaceSelector === undefined) report.at('namespaceSelector').required();
  else validateLabelSelector(match.namespaceSelector, report.at('namespaceSelector'));
  if (match.objectSelector === undefined) report.at('objectSelector').required();
  else validateLabelSelector(match.objectSelector, report.at('objectSelector'));
  for (const name of ['resourceRules', 'excludeResourceRules'] as const) {
    for (const [position, rule] of (match[name] ?? []).entries()) {
      const at = report.at(name).index(position);
      validateResourceNames(rule.resourceNames, at.at('resourceNames'));
      validateRule(rule, true, at);
    }
  }
}

const mutatedOperations = ['*', 'CONNECT', 'CREATE', 'UPDATE'];

/** Only what is made or changed can be mutated. */
function validateMutatedOperations(match: MatchResources | undefined, report: Report): void {
  for (const { operations = [] } of match?.resourceRules ?? [])
    for (const operation of operations)
      checkOneOf(operation, mutatedOperations, report.at('resourceRules', 'operations'));
}

function validateResourceNames(names: readonly string[] | undefined, report: Report): void {
  const seen = new Set<string>();
  for (const [position, name] of (names ?? []).entries()) {
    for (const message of isPathSegmentName(name)) report.index(position).invalid(name, message);
    if (seen.has(name)) report.index(position).duplicate(name);
    seen.add(name);
  }
}

interface BindingSpec {
  readonly policyName?: string | undefined;
  readonly matchResources?: MatchResources | undefined;
  readonly paramRef?: ParamRef | undefined;
  readonly validationActions?: readonly string[] | undefined;
}

interface ParamRef {
  readonly name?: string | undefined;
  readonly namespace?: string | undefined;
  readonly parameterNotFoundAction?: string | undefined;
  readonly selector?: LabelSelector | undefined;
}

export function validateBinding({ policyName = '', paramRef, matchResources }: BindingSpec, report: Report): void {
  if (policyName === '') report.at('policyName').required();
  else for (const message of isDNS1123Subdomain(policyName)) report.at('policyName').invalid(policyName, message);
  if (paramRef !== undefined) validateParamRef(paramRef, report.at('paramRef'));
  if (matchResources !== undefined) validateMatchResources(matchResources, report.at('matchResources'));
}

export function validateMutatingBinding(spec: BindingSpec, report: Report): void {
  validateBinding(spec, report);
  validateMutatedOperations(spec.matchResources, report.at('matchResources'));
}

const actions = ['Audit', 'Deny', 'Warn'];

export function validateActions(wanted: readonly string[] | undefined, report: Report): void {
  if (wanted === undefined || wanted.length === 0) report.required('at least one validation action is required');
  const seen = new Set<string>();
  for (const [position, action] of (wanted ?? []).entries()) {
    if (!actions.includes(action)) report.index(position).notSupported(action, actions);
    if (seen.has(action)) report.index(position).duplicate(action);
    seen.add(action);
  }
  if (seen.has('Deny') && seen.has('Warn')) {
    report.invalid(
      wanted,
      'must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)',
    );
  }
}

const notFoundActions = ['Deny', 'Allow'];

function validateParamRef({ name = '', selector, parameterNotFoundAction }: ParamRef, report: Report): void {
  if (name !== '') {
    for (const message of isPathSegmentName(name)) report.at('name').invalid(name, message);
    if (selector !== undefined) report.at('name').forbidden('name and selector are mutually exclusive');
  }
  if (selector !== undefined) {
    validateLabelSelector(selector, report.at('selector'));
    if (name !== '') report.at('selector').forbidden('name and selector are mutually exclusive');
  } else if (name === '') report.required('one of name or selector must be specified');
  const at = report.at('parameterNotFoundAction');
  if (parameterNotFoundAction === undefined || parameterNotFoundAction === '') at.required();
  else if (!notFoundActions.includes(parameterNotFoundAction)) {
    at.notSupported(parameterNotFoundAction, notFoundActions);
  }
}
