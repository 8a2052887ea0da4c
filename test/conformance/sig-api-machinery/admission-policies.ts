import assert from 'node:assert/strict';
import { MutatingAdmissionPolicyBinding } from '#api/admissionregistration/v1/mutating-admission-policy-binding.ts';
import { MutatingAdmissionPolicy } from '#api/admissionregistration/v1/mutating-admission-policy.ts';
import { ValidatingAdmissionPolicyBinding } from '#api/admissionregistration/v1/validating-admission-policy-binding.ts';
import { ValidatingAdmissionPolicy } from '#api/admissionregistration/v1/validating-admission-policy.ts';
import { Deployment } from '#api/apps/v1/deployment.ts';
import { apiOperations } from '../api-operations.ts';
import { conformance, type Trial } from '../conformance.ts';
import { refusal } from '../waiting.ts';

const validating = '[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should';
const mutating = '[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should';

/** Nothing that anybody else makes. */
const nowhere = {
  namespaceSelector: { matchLabels: { 'e2e-nowhere': 'true' } },
  resourceRules: [{ apiGroups: ['apps'], apiVersions: ['v1'], operations: ['CREATE'], resources: ['deployments'] }],
};

conformance(it => {
  it(`${validating} validate against a Deployment [Conformance]`, async t => {
    await denies(
      t,
      {
        validations: [
          {
            expression: 'object.spec.replicas > 1',
            messageExpression: "'wants replicas > 1, got ' + string(object.spec.replicas)",
          },
          {
            expression: "namespaceObject.metadata.name == '" + t.namespace + "'",
            message: 'Internal error! Other namespace should not be allowed.',
          },
        ],
      },
      /wants replicas > 1, got 1/,
    );
  });

  it(`${validating} allow expressions to refer variables. [Conformance]`, async t => {
    await denies(
      t,
      {
        variables: [
          { name: 'replicas', expression: 'object.spec.replicas' },
          { name: 'oddReplicas', expression: 'variables.replicas % 2 == 1' },
        ],
        validations: [
          { expression: 'variables.replicas > 1' },
          { expression: 'variables.oddReplicas', message: 'only odd' },
        ],
      },
      /failed expression: variables.replicas > 1/,
    );
  });

  it(`${validating} support ValidatingAdmissionPolicy API operations [Conformance]`, async t =>
    apiOperations(t, {
      kind: ValidatingAdmissionPolicy,
      object: {
        spec: {
          matchConstraints: nowhere,
          validations: [{ expression: 'object.spec.replicas <= 100', reason: 'Invalid' }],
        },
      } as never,
      status: {
        conditions: [
          {
            type: 'Patched',
            status: 'True',
            reason: 'E2E',
            message: 'by a test',
            lastTransitionTime: '2026-01-01T00:00:00Z',
          },
        ],
      },
    }));

  it(`${validating} support ValidatingAdmissionPolicyBinding API operations [Conformance]`, async t =>
    apiOperations(t, {
      kind: ValidatingAdmissionPolicyBinding,
      object: { spec: { policyName: 'replicalimit-policy.example.com', validationActions: ['Deny'] } },
    }));

  it(`${mutating} mutate a Deployment [Conformance]`, async t => {
    await mutates(
      t,
      {
        patchType: 'JSONPatch',
        jsonPatch: {
          expression: '[JSONPatch{op: "replace", path: "/spec/replicas", value: object.spec.replicas + 2}]',
        },
      },
      ({ spec }) => spec?.replicas === 3,
    );
  });

  it(`${mutating} mutate a Deployment with annotations [Conformance]`, async t => {
    await mutates(
      t,
      {
        patchType: 'ApplyConfiguration',
        applyConfiguration: {
          expression: 'Object{metadata: Object.metadata{annotations: {"my-annotation": "myValue"}}}',
        },
      },
      ({ metadata }) => metadata.annotations?.['my-annotation'] === 'myValue',
    );
  });

  it(`${mutating} support MutatingAdmissionPolicy API operations [Conformance]`, async t =>
    apiOperations(t, {
      kind: MutatingAdmissionPolicy,
      object: {
        spec: {
          matchConstraints: nowhere,
          reinvocationPolicy: 'Never',
          mutations: [
            {
              patchType: 'JSONPatch',
              jsonPatch: { expression: '[JSONPatch{op: "add", path: "/metadata/labels", value: {}}]' },
            },
          ],
        },
      } as never,
    }));

  it(`${mutating} support MutatingAdmissionPolicyBinding API operations [Conformance]`, async t =>
    apiOperations(t, { kind: MutatingAdmissionPolicyBinding, object: { spec: { policyName: 'nobody.example.com' } } }));
});

function matching({ namespace }: Trial) {
  return {
    ...nowhere,
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
  };
}

async function denies(t: Trial, rules: object, words: RegExp): Promise<void> {
  const policyName = t.unique('policy');
  const { client } = t;
  const spec = { failurePolicy: 'Fail', matchConstraints: matching(t), ...rules };
  await client.create<ValidatingAdmissionPolicy>(ValidatingAdmissionPolicy, {
    metadata: { name: policyName },
    spec,
  } as never);
  t.defer(() => client.delete(ValidatingAdmissionPolicy, policyName));
  await client.create(ValidatingAdmissionPolicyBinding, {
    metadata: { name: policyName },
    spec: { policyName, validationActions: ['Deny'] },
  });
  t.defer(() => client.delete(ValidatingAdmissionPolicyBinding, policyName));
  const message = await t.eventually(
    'one replica is refused',
    async () => (await refusal(deployment(t, 1, true))).message,
  );
  assert.match(message, words);
  assert.match(
    message,
    new RegExp(`ValidatingAdmissionPolicy '${policyName}' with binding '${policyName}' denied request`),
  );
  await deployment(t, 3, false);
}

async function mutates(t: Trial, mutation: object, mutated: (deployment: Deployment) => boolean): Promise<void> {
  const policyName = t.unique('policy');
  const { client } = t;
  const spec = {
    failurePolicy: 'Fail',
    reinvocationPolicy: 'Never',
    matchConstraints: matching(t),
    mutations: [mutation],
  };
  await client.create<MutatingAdmissionPolicy>(MutatingAdmissionPolicy, {
    metadata: { name: policyName },
    spec,
  } as never);
  t.defer(() => client.delete(MutatingAdmissionPolicy, policyName));
  await client.create(MutatingAdmissionPolicyBinding, { metadata: { name: policyName }, spec: { policyName } });
  t.defer(() => client.delete(MutatingAdmissionPolicyBinding, policyName));
  await t.eventually('a Deployment is mutated', async () => mutated(await deployment(t, 1, true)));
}

function deployment(
  { client, namespace, image, unique }: Trial,
  replicas: number,
  dryRun: boolean,
): Promise<Deployment> {
  const labels = { app: 'policed' };
  const template = { metadata: { labels }, spec: { containers: [{ name: 'main', image: image('client') }] } };
  const object = {
    metadata: { name: unique('policed') },
    spec: { replicas, selector: { matchLabels: labels }, template },
  };
  return client.create<Deployment>(Deployment, object, { namespace, dryRun });
}
