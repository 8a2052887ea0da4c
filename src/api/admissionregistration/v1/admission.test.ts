import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { altered, type Body, cells, created, mistakes } from '../../kind-checks.ts';
import type { Kind } from '../../machinery/kind.ts';
import { ValidatingAdmissionPolicy as PolicyKind } from './validating-admission-policy.ts';
import { ValidatingAdmissionPolicyBinding as BindingKind } from './validating-admission-policy-binding.ts';
import { ValidatingWebhookConfiguration as HooksKind } from './validating-webhook-configuration.ts';
import { expressionsOnDemand } from './webhook-validation.ts';

before(() => expressionsOnDemand.load());

const [Hooks, Policy, Binding] = [HooksKind, PolicyKind, BindingKind] as unknown as [Kind, Kind, Kind];
const hook = {
  name: 'check.example.com',
  sideEffects: 'None',
  admissionReviewVersions: ['v1'],
  clientConfig: { service: { name: 'check', namespace: 'default' } },
  rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }],
};
const hooks = (change: Body = {}) => ({ metadata: { name: 'checks' }, webhooks: [{ ...hook, ...change }] });

test('a webhook gets its defaults', () => {
  const [webhook] = created(Hooks, hooks())['webhooks'] as Body[];
  assert.deepEqual(webhook, {
    ...hook,
    clientConfig: { service: { name: 'check', namespace: 'default', port: 443 } },
    failurePolicy: 'Fail',
    matchPolicy: 'Equivalent',
    namespaceSelector: {},
    objectSelector: {},
    rules: [{ ...hook.rules[0], scope: '*' }],
    timeoutSeconds: 10,
  });
  assert.deepEqual(cells(Hooks, hooks()).slice(0, 2), ['checks', 1]);
});

test('wrong webhooks are refused, each for what is wrong', () => {
  for (const [change, wanted] of [
    [{}, []],
    [{ name: 'check' }, ['webhooks[0].name FieldValueInvalid']],
    [{ sideEffects: null }, ['webhooks[0].sideEffects FieldValueRequired']],
    [{ timeoutSeconds: 31 }, ['webhooks[0].timeoutSeconds FieldValueInvalid']],
    [{ clientConfig: {} }, ['webhooks[0].clientConfig FieldValueRequired']],
    [{ clientConfig: { url: 'http://a' } }, ['webhooks[0].clientConfig.url FieldValueInvalid']],
    [{ admissionReviewVersions: ['v9'] }, ['webhooks[0].admissionReviewVersions FieldValueInvalid']],
    [{ failurePolicy: 'Maybe' }, ['webhooks[0].failurePolicy FieldValueNotSupported']],
    [
      { rules: [{ ...hook.rules[0], operations: ['*', 'CREATE'] }] },
      ['webhooks[0].rules[0].operations FieldValueInvalid'],
    ],
  ] as const) {
    assert.deepEqual(mistakes(Hooks, hooks(change)), wanted, JSON.stringify(change));
  }
});

test('policies and bindings', () => {
  const policy = {
    metadata: { name: 'few' },
    spec: {
      matchConstraints: { resourceRules: hook.rules },
      validations: [{ expression: 'object.spec.replicas < 5' }],
    },
  };
  assert.deepEqual(mistakes(Policy, policy), []);
  assert.deepEqual(mistakes(Policy, altered(policy, 'spec.matchConstraints', undefined)), [
    'spec.matchConstraints FieldValueRequired',
  ]);
  assert.deepEqual(cells(Policy, policy).slice(0, 3), ['few', 1, '<unset>']);
  const binding = { metadata: { name: 'few' }, spec: { policyName: 'few', validationActions: ['Deny'] } };
  assert.deepEqual(mistakes(Binding, binding), []);
  assert.deepEqual(mistakes(Binding, altered(binding, 'spec.validationActions', ['Deny', 'Warn'])), [
    'spec.validationActions FieldValueInvalid',
  ]);
  const withParam = altered(binding, 'spec.paramRef', { name: 'p', parameterNotFoundAction: 'Deny' });
  assert.deepEqual(cells(Binding, withParam).slice(0, 3), ['few', 'few', '*/p']);
});
