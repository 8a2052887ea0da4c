import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestServer } from '../test-server.ts';

const base = '/apis/flowcontrol.apiserver.k8s.io/v1';

interface Cause {
  readonly field: string;
  readonly message: string;
}

const rule = {
  subjects: [{ kind: 'User', user: { name: 'jane' } }],
  resourceRules: [{ verbs: ['get'], apiGroups: [''], resources: ['pods'], namespaces: ['default'] }],
};

async function causesOf(plural: string, name: string, spec: unknown): Promise<string[]> {
  await using api = await openTestServer();
  const { code, body } = await api.call('POST', `${base}/${plural}?dryRun=All`, { metadata: { name }, spec });
  if (code === 201) return [];
  assert.equal(code, 422);
  return body.details.causes.map(({ field, message }: Cause) => `${field}: ${message}`);
}

function schema(changes: object): Promise<string[]> {
  const spec = { priorityLevelConfiguration: { name: 'workload-low' }, rules: [{ ...rule, ...changes }] };
  return causesOf('flowschemas', 'mine', spec);
}

function level(queuing: object): Promise<string[]> {
  const limited = { nominalConcurrencyShares: 100, limitResponse: { type: 'Queue', queuing } };
  return causesOf('prioritylevelconfigurations', 'mine', { type: 'Limited', limited });
}

test('subjects name somebody, and nobody of another kind', async () => {
  assert.deepEqual(await schema({}), []);
  assert.deepEqual(
    await schema({
      subjects: [
        { kind: 'ServiceAccount', user: { name: 'x' }, group: { name: 'y' } },
        { kind: 'ServiceAccount', serviceAccount: { name: 'No', namespace: '' } },
        { kind: 'Group', group: { name: '' }, user: { name: 'x' } },
      ],
    }),
    [
      "spec.rules[0].subjects[0].serviceAccount: Required value: serviceAccount is required when subject kind is 'ServiceAccount'",
      "spec.rules[0].subjects[0].user: Forbidden: user is forbidden when subject kind is not 'User'",
      "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
      `spec.rules[0].subjects[1].serviceAccount.name: Invalid value: "No": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
      'spec.rules[0].subjects[1].serviceAccount.namespace: Required value: must specify namespace for service account',
      'spec.rules[0].subjects[2].group.name: Required value',
      "spec.rules[0].subjects[2].user: Forbidden: user is forbidden when subject kind is not 'User'",
    ],
  );
});

test('rules name verbs, resources, namespaces and paths that there are', async () => {
  assert.deepEqual(
    await schema({
      resourceRules: [{ verbs: ['look'], apiGroups: [], resources: ['*', 'pods'], namespaces: ['No'] }],
      nonResourceRules: [{ verbs: ['*', 'get'], nonResourceURLs: ['', '/', 'a', '/a b', '/a//b', '/a*', '/a/*'] }],
    }),
    [
      'spec.rules[0].resourceRules[0].verbs: Unsupported value: ["look"]: supported values: "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"',
      'spec.rules[0].resourceRules[0].apiGroups: Required value: resource rules must supply at least one api group',
      `spec.rules[0].resourceRules[0].resources: Invalid value: ["*","pods"]: if '*' is present, must not specify other resources`,
      `spec.rules[0].resourceRules[0].namespaces[0]: Invalid value: "No": each member of this list must be '*' or a DNS-1123 label; a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`,
      `spec.rules[0].nonResourceRules[0].verbs: Invalid value: ["*","get"]: if '*' is present, must not specify other verbs`,
      'spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "": must not be empty',
      'spec.rules[0].nonResourceRules[0].nonResourceURLs[2]: Invalid value: "a": must start with slash',
      'spec.rules[0].nonResourceRules[0].nonResourceURLs[3]: Invalid value: "/a b": must not contain white-space',
      'spec.rules[0].nonResourceRules[0].nonResourceURLs[4]: Invalid value: "/a//b": must not contain double slash',
      'spec.rules[0].nonResourceRules[0].nonResourceURLs[5]: Invalid value: "/a*": wildcard can only do suffix matching',
    ],
  );
});

test('a hand of queues is drawn with the bits that a hash has', async () => {
  assert.deepEqual(await level({ queues: 512, handSize: 4, queueLengthLimit: 100 }), []);
  assert.deepEqual(await level({ queues: 512, handSize: 8, queueLengthLimit: 100 }), [
    'spec.limited.limitResponse.queuing.handSize: Invalid value: 8: required entropy bits of deckSize 512 and handSize 8 should not be greater than 60',
  ]);
});

test('what every server has stays as it is', async () => {
  const limited = { nominalConcurrencyShares: 42, limitResponse: { type: 'Reject' } };
  const shown = async (plural: string, name: string, spec: unknown) =>
    (await causesOf(plural, name, spec)).map(each => each.replace(/Invalid value: \{.*\}:/, 'Invalid value: …:'));
  assert.deepEqual(await shown('prioritylevelconfigurations', 'exempt', { type: 'Limited', limited }), [
    `spec.type: Invalid value: "Limited": type must be 'Exempt' if and only if name is 'exempt'`,
    "spec: Invalid value: …: spec of 'exempt' except the 'spec.exempt' field must equal the fixed value",
  ]);
  assert.deepEqual(
    await shown('prioritylevelconfigurations', 'exempt', {
      type: 'Exempt',
      exempt: { nominalConcurrencyShares: 10, lendablePercent: 10 },
    }),
    [],
  );
  assert.deepEqual(await shown('prioritylevelconfigurations', 'catch-all', { type: 'Limited', limited }), [
    "spec: Invalid value: …: spec of 'catch-all' must equal the fixed value",
  ]);
  assert.deepEqual(
    await shown('flowschemas', 'catch-all', {
      priorityLevelConfiguration: { name: 'catch-all' },
      matchingPrecedence: 10_000,
      rules: [rule],
    }),
    ["spec: Invalid value: …: spec of 'catch-all' must equal the fixed value"],
  );
});
