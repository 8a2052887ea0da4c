import { deepEqual } from '#base/deep-equal.ts';
import { checkDnsLabel, checkDnsSubdomain } from '../../machinery/checks.ts';
import { isDNS1123Label } from '../../machinery/names.ts';
import type { Report } from '../../machinery/validation.ts';
import type { FlowSchemaSpec } from './flow-schema.ts';
import { mandatoryLevels, mandatorySchemas } from './mandatory.ts';
import type {
  LimitedPriorityLevelConfiguration,
  PriorityLevelConfigurationSpec,
  QueuingConfiguration,
} from './priority-level-configuration.ts';

const precedenceMax = 10_000;
const methods = ['ByNamespace', 'ByUser'];

export function validateFlowSchema(name: string, spec: FlowSchemaSpec, report: Report): void {
  const { matchingPrecedence: precedence, distinguisherMethod, priorityLevelConfiguration } = spec;
  const at = report.at('matchingPrecedence');
  if (precedence <= 0) at.invalid(precedence, 'must be a positive value');
  if (precedence > precedenceMax) at.invalid(precedence, `must not be greater than ${precedenceMax}`);
  if (precedence === 1 && name !== 'exempt') {
    at.invalid(precedence, "only the schema named 'exempt' may have matchingPrecedence 1");
  }
  if (distinguisherMethod !== undefined && !methods.includes(distinguisherMethod.type)) {
    report.at('distinguisherMethod', 'type').notSupported({ Type: distinguisherMethod.type }, methods);
  }
  const atLevel = report.at('priorityLevelConfiguration', 'name');
  if (priorityLevelConfiguration.name === '') atLevel.required('must reference a priority level');
  else checkDnsSubdomain(priorityLevelConfiguration.name, atLevel);
  for (const [position, rule] of (spec.rules ?? []).entries()) validateRule(rule, report.at('rules').index(position));
  if (
    Object.hasOwn(mandatorySchemas, name) &&
    !deepEqual(spec, mandatorySchemas[name as keyof typeof mandatorySchemas])
  )
    report.invalid(spec, `spec of '${name}' must equal the fixed value`);
}

/** `report` stands at `status.conditions`. */
export function validateConditions(
  conditions: readonly { readonly type?: string | undefined }[],
  report: Report,
): void {
  const types = new Set<string>();
  for (const [position, { type = '' }] of conditions.entries()) {
    const at = report.index(position).at('type');
    if (types.has(type)) at.duplicate(type);
    types.add(type);
    if (type === '') at.required();
  }
}

type Rule = NonNullable<FlowSchemaSpec['rules']>[number];

function validateRule({ subjects, resourceRules, nonResourceRules }: Rule, report: Report): void {
  if (!subjects?.length) report.at('subjects').required('subjects must contain at least one value');
  for (const [position, subject] of (subjects ?? []).entries())
    validateSubject(subject, report.at('subjects').index(position));
  const resources = resourceRules ?? [];
  const others = nonResourceRules ?? [];
  if (resources.length + others.length === 0)
    report.required('at least one of resourceRules and nonResourceRules has to be non-empty');
  for (const [position, rule] of resources.entries()) {
    const at = report.at('resourceRules').index(position);
    validateVerbs(rule.verbs, at.at('verbs'));
    checkWildcard(
      rule.apiGroups,
      at.at('apiGroups'),
      'resource rules must supply at least one api group',
      'api groups',
    );
    checkWildcard(rule.resources, at.at('resources'), 'resource rules must supply at least one resource', 'resources');
    validateNamespaces(rule.namespaces ?? [], rule.clusterScope === true, at.at('namespaces'));
  }
  for (const [position, { verbs, nonResourceURLs }] of others.entries()) {
    const at = report.at('nonResourceRules').index(position);
    validateVerbs(verbs, at.at('verbs'));
    const urls = at.at('nonResourceURLs');
    checkWildcard(nonResourceURLs, urls, 'nonResourceURLs must contain at least one value', 'non-resource URLs');
    if (!nonResourceURLs?.includes('*'))
      for (const [index, url] of (nonResourceURLs ?? []).entries()) validateUrl(url, urls.index(index));
  }
}

const subjectFields = { Group: 'group', ServiceAccount: 'serviceAccount', User: 'user' } as const;
/** In the order in which upstream looks at what does not belong there. */
const otherFields = {
  Group: ['ServiceAccount', 'User'],
  ServiceAccount: ['User', 'Group'],
  User: ['ServiceAccount', 'Group'],
} as const;

function validateSubject(subject: Rule['subjects'][number], report: Report): void {
  if (!Object.hasOwn(subjectFields, subject.kind)) {
    report.at('kind').notSupported(subject.kind, Object.keys(subjectFields));
    return;
  }
  const kind = subject.kind as keyof typeof subjectFields;
  const field = subjectFields[kind];
  const at = report.at(field);
  if (!subject[field]) at.required(`${field} is required when subject kind is '${kind}'`);
  else if (!subject[field].name) at.at('name').required();
  if (kind === 'ServiceAccount' && subject.serviceAccount) {
    const { name, namespace } = subject.serviceAccount;
    if (name && name !== '*') checkDnsSubdomain(name, at.at('name'));
    if (namespace) checkDnsLabel(namespace, at.at('namespace'));
    else at.at('namespace').required('must specify namespace for service account');
  }
  for (const other of otherFields[kind]) {
    const name = subjectFields[other];
    if (subject[name]) report.at(name).forbidden(`${name} is forbidden when subject kind is not '${other}'`);
  }
}

const supportedVerbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'proxy', 'update', 'watch'];

function validateVerbs(verbs: List, report: Report): void {
  checkWildcard(verbs, report, 'verbs must contain at least one value', 'verbs');
  if (verbs?.length && !verbs.includes('*') && !verbs.every(verb => supportedVerbs.includes(verb)))
    report.notSupported(verbs, supportedVerbs);
}

function validateNamespaces(namespaces: readonly string[], clusterScope: boolean, report: Report): void {
  if (namespaces.length === 0 && !clusterScope)
    report.required('resource rules that are not cluster scoped must supply at least one namespace');
  else if (namespaces.includes('*')) {
    if (namespaces.length > 1) report.invalid(namespaces, "if '*' is present, must not specify other namespaces");
  } else
    for (const [index, namespace] of namespaces.entries())
      for (const message of isDNS1123Label(namespace))
        report.index(index).invalid(namespace, `each member of this list must be '*' or a DNS-1123 label; ${message}`);
}

/** A path, or the beginning of one with `/*` behind it. */
function validateUrl(url: string, report: Report): void {
  const stars = url.split('*').length - 1;
  if (url === '') report.invalid(url, 'must not be empty');
  else if (url === '/') return;
  else if (!url.startsWith('/')) report.invalid(url, 'must start with slash');
  else if (url.includes(' ')) report.invalid(url, 'must not contain white-space');
  else if (url.includes('//')) report.invalid(url, 'must not contain double slash');
  else if (stars > 1 || (stars === 1 && !url.endsWith('/*')))
    report.invalid(url, 'wildcard can only do suffix matching');
}

/** It may be null on the wire. */
type List = readonly string[] | null | undefined;

function checkWildcard(values: List, report: Report, needed: string, others: string): void {
  if (!values?.length) report.required(needed);
  else if (values.length > 1 && values.includes('*'))
    report.invalid(values, `if '*' is present, must not specify other ${others}`);
}

export function validatePriorityLevel(name: string, spec: PriorityLevelConfigurationSpec, report: Report): void {
  const { type, limited, exempt } = spec;
  if ((name === 'exempt') !== (type === 'Exempt'))
    report.at('type').invalid(type, "type must be 'Exempt' if and only if name is 'exempt'");
  if (type === 'Exempt') {
    if (limited !== undefined) report.at('limited').forbidden('must be nil if the type is not Limited');
    const at = report.at('exempt');
    if (exempt !== undefined) {
      checkNotNegative(exempt.nominalConcurrencyShares, at.at('nominalConcurrencyShares'));
      checkPercent(exempt.lendablePercent, at.at('lendablePercent'));
    }
  } else if (type === 'Limited') {
    if (exempt !== undefined) report.at('exempt').forbidden('must be nil if the type is Limited');
    if (limited === undefined) report.at('limited').required('must not be empty when type is Limited');
    else validateLimited(limited, report.at('limited'));
  } else report.at('type').notSupported(type, ['Exempt', 'Limited']);
  // How much the exempt level lends is the administrator's business.
  if (name === 'exempt' && (type !== 'Exempt' || limited !== undefined))
    report.invalid(spec, "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value");
  if (name === 'catch-all' && !deepEqual(spec, mandatoryLevels['catch-all']))
    report.invalid(spec, "spec of 'catch-all' must equal the fixed value");
}

function validateLimited(limited: LimitedPriorityLevelConfiguration, report: Report): void {
  checkNotNegative(limited.nominalConcurrencyShares, report.at('nominalConcurrencyShares'));
  const { type, queuing } = limited.limitResponse;
  const at = report.at('limitResponse');
  if (type === 'Reject') {
    if (queuing !== undefined) {
      at.at('queuing').forbidden('must be nil if limited.limitResponse.type is not Limited');
    }
  } else if (type === 'Queue') {
    if (queuing === undefined) {
      at.at('queuing').required('must not be empty if limited.limitResponse.type is Limited');
    } else validateQueuing(queuing, at.at('queuing'));
  } else at.at('type').notSupported(type, ['Queue', 'Reject']);
  checkPercent(limited.lendablePercent, report.at('lendablePercent'));
  const { borrowingLimitPercent: borrowing } = limited;
  if (borrowing !== undefined && borrowing < 0) {
    report.at('borrowingLimitPercent').invalid(borrowing, 'if specified, must be a non-negative integer');
  }
}

function checkNotNegative(value: number | undefined, report: Report): void {
  if (value !== undefined && value < 0) report.invalid(value, 'must be a non-negative integer');
}

function checkPercent(value: number | undefined, report: Report): void {
  if (value !== undefined && (value < 0 || value > 100)) report.invalid(value, 'must be between 0 and 100, inclusive');
}

const queuesMax = 10_000_000;
/** Of the hash by which a flow's queues are drawn. */
const hashBits = 60;

function validateQueuing({ queues, queueLengthLimit, handSize }: QueuingConfiguration, report: Report): void {
  if (queueLengthLimit <= 0) report.at('queueLengthLimit').invalid(queueLengthLimit, 'must be positive');
  if (queues <= 0) report.at('queues').invalid(queues, 'must be positive');
  else if (queues > queuesMax) report.at('queues').invalid(queues, `must not be greater than ${queuesMax}`);
  if (handSize <= 0) report.at('handSize').invalid(handSize, 'must be positive');
  else if (handSize > queues) {
    report.at('handSize').invalid(handSize, `should not be greater than queues (${queues})`);
  } else if (Math.ceil(Math.log2(queues) * handSize) > hashBits) {
    const entropy = `required entropy bits of deckSize ${queues} and handSize ${handSize}`;
    report.at('handSize').invalid(handSize, `${entropy} should not be greater than ${hashBits}`);
  }
}
