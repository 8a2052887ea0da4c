import type {
  FlowSchema,
  NonResourcePolicyRule,
  PolicyRulesWithSubjects,
  ResourcePolicyRule,
  Subject,
} from '#api/flowcontrol/v1/flow-schema.ts';
import type { User } from '#auth/user.ts';
import type { RequestInfo } from '../request-info.ts';

/** Whether a request is one of the schema's. */
export function matchesSchema({ spec }: FlowSchema, user: User, info: RequestInfo): boolean {
  return (spec.rules ?? []).some(rule => matchesRule(rule, user, info));
}

function matchesRule(rule: PolicyRulesWithSubjects, user: User, info: RequestInfo): boolean {
  if (!(rule.subjects ?? []).some(subject => matchesSubject(subject, user))) return false;
  return info.isResource
    ? (rule.resourceRules ?? []).some(each => matchesResource(each, info))
    : (rule.nonResourceRules ?? []).some(each => matchesPath(each, info));
}

const serviceAccountPrefix = 'system:serviceaccount:';

function matchesSubject({ kind, user: byName, group, serviceAccount }: Subject, user: User): boolean {
  switch (kind) {
    case 'User':
      return byName !== undefined && (byName.name === '*' || byName.name === user.name);
    case 'Group':
      return group !== undefined && (group.name === '*' || user.groups.includes(group.name));
    case 'ServiceAccount': {
      if (!serviceAccount) return false;
      const { namespace, name } = serviceAccount;
      const account = `${serviceAccountPrefix}${namespace}:`;
      return name === '*' ? user.name.startsWith(account) : user.name === `${account}${name}`;
    }
    default:
      return false;
  }
}

function matchesResource(rule: ResourcePolicyRule, info: RequestInfo): boolean {
  const { verb, group, resource, subresource, namespace } = info;
  if (!contains(rule.verbs, verb)) return false;
  if (!contains(rule.resources, subresource === '' ? resource : `${resource}/${subresource}`)) return false;
  if (!contains(rule.apiGroups, group)) return false;
  return namespace === '' ? rule.clusterScope === true : contains(rule.namespaces, namespace);
}

function matchesPath(rule: NonResourcePolicyRule, { verb, path }: RequestInfo): boolean {
  if (!contains(rule.verbs, verb)) return false;
  return (rule.nonResourceURLs ?? []).some(url => {
    if (url === '*' || url === path) return true;
    const prefix = url.endsWith('*') ? url.slice(0, -1) : url;
    return path.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`);
  });
}

function contains(list: readonly string[] | undefined, value: string): boolean {
  if (!list) return false;
  return (list.length === 1 && list[0] === '*') || list.includes(value);
}
