import { checkDnsSubdomain } from '#api/machinery/checks.ts';
import { Report } from '#api/machinery/validation.ts';
import { decodeYaml, duplicateYamlKeys } from '#api/machinery/yaml.ts';
import type { Log } from '#base/log.ts';
import type { Attributes } from '../authorization/authorizer.ts';
import { auditLevels, auditStages, type AuditLevel, type AuditStage } from './event.ts';

export interface AuditPolicy {
  readonly rules: readonly PolicyRule[];
  readonly omitStages: readonly AuditStage[];
  readonly omitManagedFields: boolean;
}

interface PolicyRule {
  readonly level: AuditLevel;
  readonly users: readonly string[];
  readonly userGroups: readonly string[];
  readonly verbs: readonly string[];
  readonly resources: readonly GroupResources[];
  readonly namespaces: readonly string[];
  readonly nonResourceURLs: readonly string[];
  readonly omitStages: readonly AuditStage[];
  readonly omitManagedFields: boolean | undefined;
}

interface GroupResources {
  readonly group: string;
  readonly resources: readonly string[];
  readonly resourceNames: readonly string[];
}

/** What is to be written down of one request. */
export interface AuditDecision {
  readonly level: AuditLevel;
  readonly omitStages: readonly AuditStage[];
  readonly omitManagedFields: boolean;
}

/** Reads a policy file's text. Throws a sentence for what upstream refuses; fields nobody knows are only warned about. */
export function parseAuditPolicy(text: string, file: string, log: Log): AuditPolicy {
  const refuse = (why: string): never => {
    throw new Error(`loading audit policy file: ${why}: from file ${file}`);
  };
  let document: unknown;
  try {
    document = decodeYaml(text);
  } catch (error) {
    return refuse(`failed decoding: ${(error as Error).message}`);
  }
  if (!isObject(document)) return refuse('failed decoding: the file holds no object');
  const { apiVersion = '', kind = '' } = document;
  if (apiVersion !== 'audit.k8s.io/v1' || kind !== 'Policy')
    return refuse(
      `failed decoding: no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)} in scheme "k8s.io/apiserver/pkg/audit/scheme.go"`,
    );
  const problems = duplicateYamlKeys(text).map(key => `key ${JSON.stringify(key)} already set in map`);
  const reader = new Reader(problems, why => refuse(`failed decoding: ${why}`));
  const policy: AuditPolicy = {
    rules: reader.objects(document, 'rules', '').map((rule, index) => ruleOf(reader, rule, `rules[${index}]`)),
    omitStages: reader.strings(document, 'omitStages', '') as AuditStage[],
    omitManagedFields: reader.flag(document, 'omitManagedFields', '') ?? false,
  };
  reader.closed(document, ['apiVersion', 'kind', 'metadata', 'rules', 'omitStages', 'omitManagedFields'], '');
  if (problems.length > 0)
    log.warn('the audit policy contains errors; what they are about is left out', {
      file,
      errors: problems.join(', '),
    });
  const found = validate(policy);
  if (found.length > 0) return refuse(found.length === 1 ? (found[0] as string) : `[${found.join(', ')}]`);
  if (policy.rules.length === 0) return refuse('loaded illegal policy with 0 rules');
  return {
    ...policy,
    rules: policy.rules.map(rule => ({
      ...rule,
      omitStages: [...new Set([...policy.omitStages, ...rule.omitStages])],
    })),
  };
}

function ruleOf(reader: Reader, rule: JsonObject, at: string): PolicyRule {
  reader.closed(
    rule,
    [
      'level',
      'users',
      'userGroups',
      'verbs',
      'resources',
      'namespaces',
      'nonResourceURLs',
      'omitStages',
      'omitManagedFields',
    ],
    at,
  );
  return {
    level: reader.text(rule, 'level', at) as AuditLevel,
    users: reader.strings(rule, 'users', at),
    userGroups: reader.strings(rule, 'userGroups', at),
    verbs: reader.strings(rule, 'verbs', at),
    resources: reader.objects(rule, 'resources', at).map((each, index) => {
      const path = `${at}.resources[${index}]`;
      reader.closed(each, ['group', 'resources', 'resourceNames'], path);
      return {
        group: reader.text(each, 'group', path),
        resources: reader.strings(each, 'resources', path),
        resourceNames: reader.strings(each, 'resourceNames', path),
      };
    }),
    namespaces: reader.strings(rule, 'namespaces', at),
    nonResourceURLs: reader.strings(rule, 'nonResourceURLs', at),
    omitStages: reader.strings(rule, 'omitStages', at) as AuditStage[],
    omitManagedFields: reader.flag(rule, 'omitManagedFields', at),
  };
}

type JsonObject = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Reads fields of their types; another type cannot be read at all, as in Go. */
class Reader {
  readonly #problems: string[];
  readonly #refuse: (why: string) => never;

  constructor(problems: string[], refuse: (why: string) => never) {
    this.#problems = problems;
    this.#refuse = refuse;
  }

  text(object: JsonObject, name: string, at: string): string {
    const value = own(object, name);
    return typeof value === 'string' ? value : value === undefined ? '' : this.#wrong(name, at, 'a string');
  }

  flag(object: JsonObject, name: string, at: string): boolean | undefined {
    const value = own(object, name);
    return typeof value === 'boolean' || value === undefined ? value : this.#wrong(name, at, 'a boolean');
  }

  strings(object: JsonObject, name: string, at: string): readonly string[] {
    const value = own(object, name);
    if (value === undefined) return [];
    const isList = Array.isArray(value) && value.every(each => typeof each === 'string');
    return isList ? (value as string[]) : this.#wrong(name, at, 'a list of strings');
  }

  objects(object: JsonObject, name: string, at: string): readonly JsonObject[] {
    const value = own(object, name);
    if (value === undefined) return [];
    return Array.isArray(value) && value.every(isObject) ? value : this.#wrong(name, at, 'a list of objects');
  }

  closed(object: JsonObject, known: readonly string[], at: string): void {
    for (const name of Object.keys(object))
      if (!known.includes(name)) this.#problems.push(`unknown field ${JSON.stringify(pathOf(name, at))}`);
  }

  #wrong(name: string, at: string, wanted: string): never {
    return this.#refuse(`${pathOf(name, at)} is not ${wanted}`);
  }
}

function own(object: JsonObject, name: string): unknown {
  const value = Object.hasOwn(object, name) ? object[name] : undefined;
  return value === null ? undefined : value;
}

function pathOf(name: string, at: string): string {
  return at === '' ? name : `${at}.${name}`;
}

/** Upstream's sentences. */
function validate(policy: AuditPolicy): readonly string[] {
  const report = new Report();
  checkStages(policy.omitStages, report.at('omitStages'));
  for (const [index, rule] of policy.rules.entries()) {
    const at = report.at('rules').index(index);
    if ((rule.level as string) === '') at.at('level').required('');
    else if (!auditLevels.includes(rule.level)) at.at('level').notSupported(rule.level, [...auditLevels]);
    for (const [position, url] of rule.nonResourceURLs.entries()) {
      if (url === '*') continue;
      const atUrl = at.at('nonResourceURLs').index(position);
      if (!url.startsWith('/')) atUrl.invalid(url, "non-resource URL rules must begin with a '/' character");
      if (url.slice(0, -1).includes('*'))
        atUrl.invalid(url, "non-resource URL wildcards '*' must be the final character of the rule");
    }
    for (const { group, resources, resourceNames } of rule.resources) {
      if (group !== '' && group !== '*') checkDnsSubdomain(group, at.at('resources', 'group'));
      if (resourceNames.length > 0 && resources.length === 0)
        at.at('resources', 'resourceNames').invalid(
          resourceNames,
          'using resourceNames requires at least one resource',
        );
    }
    checkStages(rule.omitStages, at.at('omitStages'));
    if (rule.nonResourceURLs.length > 0 && (rule.resources.length > 0 || rule.namespaces.length > 0))
      at.at('nonResourceURLs').invalid(
        rule.nonResourceURLs,
        'rules cannot apply to both regular resources and non-resource URLs',
      );
  }
  return report.errors.map(({ field, message }) => `${field}: ${message}`);
}

function checkStages(stages: readonly AuditStage[], report: Report): void {
  for (const [index, stage] of stages.entries())
    if (!auditStages.includes(stage)) report.index(index).invalid(stage, `allowed stages are ${auditStages.join(',')}`);
}

/** The first rule that fits decides; what no rule is about is not written down. */
export function decideAudit(policy: AuditPolicy, attributes: Attributes): AuditDecision {
  const rule = policy.rules.find(each => matches(each, attributes));
  if (!rule) return { level: 'None', omitStages: policy.omitStages, omitManagedFields: policy.omitManagedFields };
  const { level, omitStages, omitManagedFields = policy.omitManagedFields } = rule;
  return { level, omitStages, omitManagedFields };
}

function matches(rule: PolicyRule, attributes: Attributes): boolean {
  const { user, verb } = attributes;
  if (rule.users.length > 0 && !rule.users.includes(user.name)) return false;
  if (rule.userGroups.length > 0 && !user.groups.some(group => rule.userGroups.includes(group))) return false;
  if (rule.verbs.length > 0 && !rule.verbs.includes(verb)) return false;
  if (rule.namespaces.length > 0 || rule.resources.length > 0) return matchesResource(rule, attributes);
  if (rule.nonResourceURLs.length > 0) {
    const { path } = attributes;
    return !attributes.resourceRequest && rule.nonResourceURLs.some(url => matchesPath(path ?? '', url));
  }
  return true;
}

function matchesPath(path: string, url: string): boolean {
  return url === '*' || url === path || (url.endsWith('*') && path.startsWith(url.replace(/\*+$/, '')));
}

function matchesResource(rule: PolicyRule, attributes: Attributes): boolean {
  if (!attributes.resourceRequest) return false;
  const { namespace = '', group = '', resource = '', subresource = '', name = '' } = attributes;
  if (rule.namespaces.length > 0 && !rule.namespaces.includes(namespace)) return false;
  if (rule.resources.length === 0) return true;
  const combined = subresource === '' ? resource : `${resource}/${subresource}`;
  return rule.resources.some(each => {
    if (each.group !== group && each.group !== '*') return false;
    if (each.resources.length === 0) return true;
    if (each.resourceNames.length > 0 && !each.resourceNames.includes(name)) return false;
    return each.resources.some(
      pattern =>
        pattern === combined ||
        pattern === '*' ||
        (subresource !== '' && pattern === `*/${subresource}`) ||
        pattern === `${resource}/*`,
    );
  });
}
