import { wellKnownGroups, type User } from '../user.ts';
import type { Attributes, Authorizer } from './authorizer.ts';

interface Policy {
  readonly user: string;
  readonly group: string;
  readonly readonly: boolean;
  readonly apiGroup: string;
  readonly resource: string;
  readonly namespace: string;
  readonly nonResourcePath: string;
}

const apiVersions = ['abac.authorization.kubernetes.io/v1beta1', 'abac.authorization.kubernetes.io/v0'];

/** The old file of policies: one JSON object a line. Throws when a line is malformed. */
export function abacAuthorizer(text: string): Authorizer {
  const policies: Policy[] = [];
  for (const [position, line] of text.split('\n').entries()) {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#')) continue;
    policies.push(policyOf(trimmed, position + 1));
  }
  return {
    name: 'ABAC',
    authorize: asked =>
      policies.some(policy => allows(policy, asked))
        ? { decision: 'allow', reason: '' }
        : { decision: 'noOpinion', reason: 'No policy matched.' },
    rulesFor(user, namespace) {
      const own = policies.filter(policy => isFor(policy, user));
      const verbs = (policy: Policy) => (policy.readonly ? ['get', 'list', 'watch'] : ['*']);
      return {
        resourceRules: own
          .filter(policy => policy.resource !== '' && (policy.namespace === '*' || policy.namespace === namespace))
          .map(policy => ({ verbs: verbs(policy), apiGroups: [policy.apiGroup], resources: [policy.resource] })),
        nonResourceRules: own
          .filter(policy => policy.nonResourcePath !== '')
          .map(policy => ({ verbs: verbs(policy), nonResourceURLs: [policy.nonResourcePath] })),
        incomplete: false,
      };
    },
  };
}

function policyOf(line: string, number: number): Policy {
  const wrong = (why: string) => new Error(`cannot read line ${number} of the policy file: ${why}`);
  let document: Readonly<Record<string, unknown>>;
  try {
    document = JSON.parse(line) as typeof document;
  } catch (cause) {
    throw wrong((cause as Error).message);
  }
  const { apiVersion, kind } = document;
  const isPlain = apiVersion === undefined && kind === undefined;
  if (!isPlain && (kind !== 'Policy' || !apiVersions.includes(String(apiVersion))))
    throw wrong(`it is ${String(apiVersion)} ${String(kind)}, not a Policy of ${apiVersions[0]}`);
  const isOld = isPlain || apiVersion === apiVersions[1];
  const spec = (isOld ? document : (document['spec'] ?? {})) as Readonly<Record<string, unknown>>;
  const text = (name: string) => (typeof spec[name] === 'string' ? spec[name] : '');
  const policy = {
    user: text('user'),
    group: text('group'),
    readonly: spec['readonly'] === true,
    apiGroup: text('apiGroup'),
    resource: text('resource'),
    namespace: text('namespace'),
    nonResourcePath: text('nonResourcePath'),
  };
  return withEverybody(isOld ? fromOldForm(policy) : policy, isOld);
}

/** In the first form what is missing means everything. */
function fromOldForm(policy: Policy): Policy {
  const bare = policy.resource === '' && policy.namespace === '';
  return {
    ...policy,
    apiGroup: '*',
    resource: policy.resource || '*',
    namespace: policy.namespace || '*',
    nonResourcePath: bare ? '*' : '',
  };
}

/** `*` never meant those without credentials. */
function withEverybody(policy: Policy, isOld: boolean): Policy {
  const nobody = policy.user === '' && policy.group === '';
  if (policy.user !== '*' && policy.group !== '*' && !(isOld && nobody)) return policy;
  return { ...policy, user: policy.user === '*' ? '' : policy.user, group: wellKnownGroups.authenticated };
}

function isFor({ user, group }: Policy, { name, groups }: User): boolean {
  if (user === '' && group === '') return false;
  return (user === '' || user === name) && (group === '' || groups.includes(group));
}

function allows(policy: Policy, asked: Attributes): boolean {
  if (!isFor(policy, asked.user)) return false;
  if (policy.readonly && !['get', 'list', 'watch'].includes(asked.verb)) return false;
  if (!asked.resourceRequest) {
    const { nonResourcePath } = policy;
    if (nonResourcePath === '*' || nonResourcePath === asked.path) return true;
    return nonResourcePath.endsWith('*') && asked.path.startsWith(nonResourcePath.replace(/\*+$/, ''));
  }
  const matches = (wanted: string, value: string) => wanted === '*' || wanted === value;
  return (
    matches(policy.namespace, asked.namespace) &&
    matches(policy.resource, asked.resource) &&
    matches(policy.apiGroup, asked.group)
  );
}
