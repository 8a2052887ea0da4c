import {
  type Authorizer,
  authorizerType,
  type DecisionValue,
  decisionType,
  GroupCheck,
  groupCheckType,
  PathCheck,
  pathCheckType,
  ResourceCheck,
  resourceCheckType,
} from '../authorizer.ts';
import { type Library, method } from '../functions.ts';
import { boolType, stringType } from '../types.ts';
import { CelError, type Result } from '../values.ts';

/** Kubernetes' own authorization checks, with selectors. */
export const authorizationLibrary: Library = [
  ['path', method('authorizer_path', [authorizerType, stringType], pathCheckType, path)],
  [
    'group',
    method(
      'authorizer_group',
      [authorizerType, stringType],
      groupCheckType,
      (authorizer: Authorizer, group: string) => new GroupCheck(authorizer, group),
    ),
  ],
  [
    'serviceAccount',
    method('authorizer_serviceaccount', [authorizerType, stringType, stringType], authorizerType, serviceAccount),
  ],
  ['resource', method('groupcheck_resource', [groupCheckType, stringType], resourceCheckType, resource)],
  [
    'subresource',
    method(
      'resourcecheck_subresource',
      [resourceCheckType, stringType],
      resourceCheckType,
      (check: ResourceCheck, subresource: string) => check.with({ subresource }),
    ),
  ],
  [
    'namespace',
    method(
      'resourcecheck_namespace',
      [resourceCheckType, stringType],
      resourceCheckType,
      (check: ResourceCheck, namespace: string) => check.with({ namespace }),
    ),
  ],
  [
    'name',
    method(
      'resourcecheck_name',
      [resourceCheckType, stringType],
      resourceCheckType,
      (check: ResourceCheck, name: string) => check.with({ name }),
    ),
  ],
  [
    'fieldSelector',
    method(
      'authorizer_fieldselector',
      [resourceCheckType, stringType],
      resourceCheckType,
      (check: ResourceCheck, fieldSelector: string) => check.with({ fieldSelector }),
    ),
  ],
  [
    'labelSelector',
    method(
      'authorizer_labelselector',
      [resourceCheckType, stringType],
      resourceCheckType,
      (check: ResourceCheck, labelSelector: string) => check.with({ labelSelector }),
    ),
  ],
  [
    'check',
    method('pathcheck_check', [pathCheckType, stringType], decisionType, (check: PathCheck, verb: string) =>
      check.check(verb),
    ),
    method('resourcecheck_check', [resourceCheckType, stringType], decisionType, (check: ResourceCheck, verb: string) =>
      check.check(verb),
    ),
  ],
  ['allowed', method('decision_allowed', [decisionType], boolType, ({ decision }: DecisionValue) => decision.allowed)],
  [
    'reason',
    method('decision_reason', [decisionType], stringType, ({ decision }: DecisionValue) => decision.reason ?? ''),
  ],
  [
    'errored',
    method('decision_errored', [decisionType], boolType, ({ decision }: DecisionValue) => decision.error !== undefined),
  ],
  [
    'error',
    method('decision_error', [decisionType], stringType, ({ decision }: DecisionValue) => decision.error ?? ''),
  ],
];

function path(authorizer: Authorizer, text: string): Result {
  return text.trim() === '' ? new CelError('path must not be empty') : new PathCheck(authorizer, text);
}

function resource({ authorizer, group }: GroupCheck, name: string): Result {
  if (name.trim() === '') return new CelError('resource must not be empty');
  return new ResourceCheck(authorizer, { group, resource: name, subresource: '', namespace: '', name: '' });
}

function serviceAccount(authorizer: Authorizer, namespace: string, name: string): Result {
  if (!isSubdomain(name)) return new CelError('Invalid service account name');
  if (!isLabel(namespace)) return new CelError('Invalid service account namespace');
  return authorizer.as(namespace, name);
}

function isLabel(text: string): boolean {
  return text.length <= 63 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(text);
}

function isSubdomain(text: string): boolean {
  return text.length <= 253 && text.split('.').every(each => /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(each));
}
