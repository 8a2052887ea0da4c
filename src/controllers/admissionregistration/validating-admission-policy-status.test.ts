import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ValidatingAdmissionPolicy } from '#api/admissionregistration/v1/validating-admission-policy.ts';
import type { CustomResourceDefinition } from '#api/apiextensions/v1/custom-resource-definition.ts';
import * as answer from './policy-warnings.ts';
import { validatingAdmissionPolicyStatusController as controller } from './validating-admission-policy-status.ts';

const thing = {
  metadata: { name: 'things.example.com' },
  spec: {
    group: 'example.com',
    names: { plural: 'things', kind: 'Thing' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', properties: { size: { type: 'integer' } } } },
      },
    ],
  },
} as unknown as CustomResourceDefinition;

function warnings(spec: object): readonly { fieldRef: string; warning: string }[] {
  const policy = { metadata: { name: 'p', generation: 2 }, spec, status: {} } as unknown as ValidatingAdmissionPolicy;
  const observed = { definitions: { objects: new Map([['things.example.com', thing]]) }, answer };
  const [action] = controller.decide(policy, observed as never);
  const { status } = (action as unknown as { patch: { patch: { status: Status } } }).patch.patch;
  assert.equal(status.observedGeneration, 2);
  return status.typeChecking.expressionWarnings ?? [];
}

interface Status {
  readonly observedGeneration: number;
  readonly typeChecking: { readonly expressionWarnings?: readonly { fieldRef: string; warning: string }[] };
}

const rule = (apiGroups: string[], apiVersions: string[], resources: string[]) => ({
  resourceRules: [{ apiGroups, apiVersions, resources, operations: ['*'] }],
});

test('what does not fit a type is said with its place, once a kind', () => {
  const found = warnings({
    matchConstraints: rule(['apps'], ['v1'], ['deployments', 'statefulsets']),
    variables: [{ name: 'n', expression: 'object.spec.replicas' }],
    validations: [
      { expression: 'object.spec.replicas > 1 && variables.n < 5' },
      {
        expression: 'object.spec.serviceName != "" && object.spec.replicas == "x"',
        messageExpression: 'object.kind + 1',
      },
    ],
  });
  assert.deepEqual(
    found.map(({ fieldRef }) => fieldRef),
    ['spec.validations[1].expression', 'spec.validations[1].messageExpression'],
  );
  const [first] = found;
  assert.match(
    first?.warning ?? '',
    /^apps\/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'serviceName'\n \| /,
  );
  assert.match(
    first?.warning ?? '',
    /\n\napps\/v1, Kind=StatefulSet: ERROR: <input>:1:55: found no matching overload for '_==_' applied to '\(int, string\)'/,
  );
});

test('kinds of definitions are known, also as params; with a wildcard none is', () => {
  const spec = {
    paramKind: { apiVersion: 'example.com/v1', kind: 'Thing' },
    validations: [{ expression: 'params.size > object.size' }, { expression: 'params.nothing == 1' }],
  };
  assert.match(
    warnings({ ...spec, matchConstraints: rule(['example.com'], ['v1'], ['things']) })[0]?.warning ?? '',
    /^example\.com\/v1, Kind=Thing: ERROR: <input>:1:7: undefined field 'nothing'/,
  );
  assert.deepEqual(warnings({ ...spec, matchConstraints: rule(['*'], ['v1'], ['things']) }), []);
});
