import { checkDnsSubdomain } from '../../machinery/checks.ts';
import type { Report } from '../../machinery/validation.ts';
import type { FlowSchemaSpec } from './flow-schema.ts';
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
    report.at('distinguisherMethod').notSupported(distinguisherMethod, methods);
  }
  const atLevel = report.at('priorityLevelConfiguration', 'name');
  if (priorityLevelConfiguration.name === '') atLevel.required('must reference a priority level');
  else checkDnsSubdomain(priorityLevelConfiguration.name, atLevel);
  for (const [position, rule] of (spec.rules ?? []).entries()) validateRule(rule, report.at('rules').index(position));
}

type Rule = NonNullable<FlowSchemaSpec['rules']>[number];
const subjectKinds = { Group: 'group', ServiceAccount: 'serviceAccount', User: 'user' } as const;

function validateRule({ subjects, resourceRules, nonResourceRules }: Rule, report: Report): void {
  if ((subjects ?? []).length === 0) report.at('subjects').required('subjects must contain at least one value');
  for (const [position, subject] of (subjects ?? []).entries()) {
    const at = report.at('subjects').index(position);
    if (!Object.hasOwn(subjectKinds, subject.kind)) {
      at.at('kind').notSupported(subject.kind, Object.keys(subjectKinds));
      continue;
    }
    for (const [kind, field] of Object.entries(subjectKinds)) {
      if (kind === subject.kind && subject[field] === undefined) {
        at.at(field).required(`${field} is required when subject kind is '${kind}'`);
      } else if (kind !== subject.kind && subject[field] !== undefined) {
        at.at(field).forbidden(`${field} is forbidden when subject kind is not '${kind}'`);
      }
    }
  }
  const resources = resourceRules ?? [];
  const others = nonResourceRules ?? [];
  if (resources.length + others.length === 0) {
    report.required('at least one of resourceRules and nonResourceRules has to be non-empty');
  }
  for (const [position, { verbs, apiGroups, resources: names, clusterScope, namespaces }] of resources.entries()) {
    const at = report.at('resourceRules').index(position);
    checkWildcards(verbs, 'verbs', at);
    checkWildcards(apiGroups, 'apiGroups', at);
    checkWildcards(names, 'resources', at);
    if ((namespaces ?? []).length === 0 && clusterScope !== true) {
      at.at('namespaces').required('resource rules that are not cluster scoped must supply at least one namespace');
    } else if ((namespaces ?? []).length > 1 && namespaces?.includes('*') === true) {
      at.at('namespaces').invalid(namespaces, "if '*' is present, must not specify other namespaces");
    }
  }
  for (const [position, { verbs, nonResourceURLs }] of others.entries()) {
    const at = report.at('nonResourceRules').index(position);
    checkWildcards(verbs, 'verbs', at);
    checkWildcards(nonResourceURLs, 'nonResourceURLs', at);
  }
}

/** A list may be null on the wire. */
function checkWildcards(values: readonly string[] | null | undefined, name: string, report: Report): void {
  const at = report.at(name);
  if (!values?.length) at.required(`${name} must contain at least one value`);
  else if (values.length > 1 && values.includes('*')) {
    at.invalid(values, `if '*' is present, must not specify other ${name}`);
  }
}

export function validatePriorityLevel(spec: PriorityLevelConfigurationSpec, report: Report): void {
  const { type, limited, exempt } = spec;
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

function validateQueuing({ queues, queueLengthLimit, handSize }: QueuingConfiguration, report: Report): void {
  if (queueLengthLimit <= 0) report.at('queueLengthLimit').invalid(queueLengthLimit, 'must be positive');
  if (queues <= 0) report.at('queues').invalid(queues, 'must be positive');
  else if (queues > queuesMax) report.at('queues').invalid(queues, `must not be greater than ${queuesMax}`);
  if (handSize <= 0) report.at('handSize').invalid(handSize, 'must be positive');
  else if (handSize > queues) {
    report.at('handSize').invalid(handSize, `should not be greater than queues (${queues})`);
  }
}
