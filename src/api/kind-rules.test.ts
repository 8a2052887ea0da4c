import assert from 'node:assert/strict';
import { test } from 'node:test';
import { altered, type Body, cells, created, mistakes, updateMistakes } from './kind-checks.ts';
import { kinds } from './kinds.ts';
import type { Kind } from './machinery/kind.ts';

/*
 * The smaller kinds, one block each: defaults, mistakes, changes and rows. The larger ones have tests of their own.
 */

function kindOf(name: string): Kind {
  const kind = kinds.find(each => each.kind === name);
  assert.ok(kind, name);
  return kind;
}

function checkMistakes(name: string, cases: readonly (readonly [Body, readonly string[]])[]): void {
  for (const [body, wanted] of cases) assert.deepEqual(mistakes(kindOf(name), body), wanted, JSON.stringify(body));
}

const metadata = { name: 'probe', namespace: 'default' };

test('ConfigMap', () => {
  const body = { metadata, data: { key: 'value' } };
  checkMistakes('ConfigMap', [
    [body, []],
    [altered(body, 'data', { 'no such': '' }), ['data[no such] FieldValueInvalid']],
    [altered(body, 'binaryData', { key: 'AAAA' }), ['data[key] FieldValueInvalid']],
  ]);
  const fixed = altered(body, 'immutable', true);
  assert.deepEqual(updateMistakes(kindOf('ConfigMap'), fixed, altered(fixed, 'data', {})), [
    'data FieldValueForbidden',
  ]);
  assert.deepEqual(cells(kindOf('ConfigMap'), body).slice(0, 2), ['probe', 1]);
});

test('Secret', () => {
  const body = { metadata, stringData: { key: 'value' } };
  const secret = created(kindOf('Secret'), body);
  assert.deepEqual([secret['type'], secret['data'], secret['stringData']], ['Opaque', { key: 'dmFsdWU=' }, undefined]);
  const tls = { metadata, type: 'kubernetes.io/tls' };
  checkMistakes('Secret', [[tls, ['data[tls.crt] FieldValueRequired', 'data[tls.key] FieldValueRequired']]]);
});

test('PersistentVolumeClaim', () => {
  const spec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } };
  const claim = created(kindOf('PersistentVolumeClaim'), { metadata, spec });
  assert.equal((claim['spec'] as Body)['volumeMode'], 'Filesystem');
  assert.deepEqual(claim['status'], { phase: 'Pending' });
  const body = { metadata, spec };
  checkMistakes('PersistentVolumeClaim', [
    [body, []],
    [altered(body, 'spec.accessModes', []), ['spec.accessModes FieldValueRequired']],
    [altered(body, 'spec.accessModes', ['Anyhow']), ['spec.accessModes FieldValueNotSupported']],
    [altered(body, 'spec.resources', {}), ['spec.resources[storage] FieldValueRequired']],
  ]);
});

test('Ingress', () => {
  const backend = { service: { name: 'web', port: { number: 80 } } };
  const rule = (path: Body) => ({ metadata, spec: { rules: [{ host: 'a.example', http: { paths: [path] } }] } });
  const at = 'spec.rules[0].http.paths[0]';
  checkMistakes('Ingress', [
    [rule({ path: '/', pathType: 'Prefix', backend }), []],
    [rule({ path: '/', backend }), [`${at}.pathType FieldValueRequired`]],
    [rule({ path: 'x', pathType: 'Exact', backend }), [`${at}.path FieldValueInvalid`]],
    [{ metadata, spec: {} }, ['spec FieldValueInvalid']],
  ]);
  const row = cells(kindOf('Ingress'), rule({ path: '/', pathType: 'Prefix', backend }));
  assert.deepEqual(row.slice(0, 5), ['probe', '<none>', 'a.example', '', '80']);
});

test('NetworkPolicy', () => {
  const body = { metadata, spec: { podSelector: {}, egress: [{}] } };
  const { policyTypes } = created(kindOf('NetworkPolicy'), body)['spec'] as Body;
  assert.deepEqual(policyTypes, ['Ingress', 'Egress']);
  const from = (peer: Body) => ({ metadata, spec: { podSelector: {}, ingress: [{ from: [peer] }] } });
  checkMistakes('NetworkPolicy', [
    [body, []],
    [from({}), ['spec.ingress[0].from[0] FieldValueRequired']],
    [from({ ipBlock: { cidr: 'x' } }), ['spec.ingress[0].from[0].ipBlock.cidr FieldValueInvalid']],
  ]);
});

test('RoleBinding', () => {
  const body = { metadata, roleRef: { kind: 'Role', name: 'reader' }, subjects: [{ kind: 'User', name: 'ann' }] };
  const binding = created(kindOf('RoleBinding'), body);
  assert.deepEqual(binding['roleRef'], { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' });
  assert.deepEqual(binding['subjects'], [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'ann' }]);
  checkMistakes('RoleBinding', [
    [body, []],
    [altered(body, 'roleRef.name', ''), ['roleRef.name FieldValueRequired']],
    [altered(body, 'subjects', [{ kind: 'Cat', name: 'tom' }]), ['subjects[0].kind FieldValueNotSupported']],
  ]);
  const other = altered(body, 'roleRef.name', 'writer');
  assert.deepEqual(updateMistakes(kindOf('RoleBinding'), body, other), ['roleRef FieldValueInvalid']);
});

test('Namespace', () => {
  const namespace = created(kindOf('Namespace'), { metadata: { name: 'team' } });
  assert.deepEqual(namespace['spec'], { finalizers: ['kubernetes'] });
  assert.deepEqual(namespace['status'], { phase: 'Active' });
  assert.deepEqual((namespace['metadata'] as Body)['labels'], { 'kubernetes.io/metadata.name': 'team' });
});

test('PodDisruptionBudget', () => {
  const body = { metadata, spec: { minAvailable: 1, selector: {} } };
  checkMistakes('PodDisruptionBudget', [
    [body, []],
    [altered(body, 'spec.maxUnavailable', 1), ['spec FieldValueInvalid']],
    [altered(body, 'spec.minAvailable', '200%'), ['spec.minAvailable FieldValueInvalid']],
  ]);
});

test('APIService', () => {
  const spec = { group: 'example.com', version: 'v1', groupPriorityMinimum: 100, versionPriority: 10 };
  const body = { metadata: { name: 'v1.example.com' }, spec };
  checkMistakes('APIService', [
    [body, []],
    [altered(body, 'metadata.name', 'example'), ['metadata.name FieldValueInvalid']],
    [altered(body, 'spec.groupPriorityMinimum', 0), ['spec.groupPriorityMinimum FieldValueInvalid']],
  ]);
  assert.deepEqual(cells(kindOf('APIService'), created(kindOf('APIService'), body)).slice(0, 3), [
    'v1.example.com',
    'Local',
    'True',
  ]);
});

test('ResourceClaim', () => {
  const exactly = { deviceClassName: 'gpu.example.com' };
  const body = { metadata, spec: { devices: { requests: [{ name: 'gpu', exactly }] } } };
  const { devices } = created(kindOf('ResourceClaim'), body)['spec'] as { devices: { requests: Body[] } };
  assert.deepEqual(devices.requests[0]?.['exactly'], { ...exactly, allocationMode: 'ExactCount', count: 1 });
  checkMistakes('ResourceClaim', [
    [body, []],
    [altered(body, 'spec.devices.requests', [{ name: 'gpu' }]), ['spec.devices.requests[0] FieldValueRequired']],
  ]);
  assert.deepEqual(cells(kindOf('ResourceClaim'), body).slice(0, 2), ['probe', 'pending']);
});

test('FlowSchema and PriorityLevelConfiguration', () => {
  const flow = { metadata: { name: 'all' }, spec: { priorityLevelConfiguration: { name: 'low' } } };
  assert.equal((created(kindOf('FlowSchema'), flow)['spec'] as Body)['matchingPrecedence'], 1000);
  checkMistakes('FlowSchema', [
    [flow, []],
    [altered(flow, 'spec.matchingPrecedence', 20_000), ['spec.matchingPrecedence FieldValueInvalid']],
  ]);
  const level = {
    metadata: { name: 'low' },
    spec: { type: 'Limited', limited: { limitResponse: { type: 'Reject' } } },
  };
  assert.deepEqual(created(kindOf('PriorityLevelConfiguration'), level)['spec'], {
    type: 'Limited',
    limited: { lendablePercent: 0, limitResponse: { type: 'Reject' }, nominalConcurrencyShares: 30 },
  });
  assert.deepEqual(mistakes(kindOf('PriorityLevelConfiguration'), altered(level, 'spec.type', 'Free')), [
    'spec.type FieldValueNotSupported',
  ]);
});

test('DaemonSet', () => {
  const kind = kindOf('DaemonSet');
  const labels = { app: 'probe' };
  const template = { metadata: { labels }, spec: { containers: [{ name: 'main', image: 'main:1' }] } };
  const body = { metadata, spec: { selector: { matchLabels: labels }, template } };
  const generation = (set: Body) =>
    (set['metadata'] as { annotations?: Body }).annotations?.['deprecated.daemonset.template.generation'];
  const old = created(kind, body);
  assert.equal(generation(old), '1');
  const changed = (path: string, value: unknown) => {
    const set = altered(structuredClone(old), path, value);
    kind.prepareForUpdate?.(set as never, old as never);
    return generation(set);
  };
  assert.equal(changed('spec.minReadySeconds', 3), '1');
  assert.equal(changed('spec.template.spec.nodeName', 'a'), '2');
  assert.equal(changed('metadata.annotations', {}), '1', 'nobody else sets it');
});

test('ServiceAccount', () => {
  const secrets = [{ name: 'some', namespace: 'other', uid: 'x' }];
  assert.deepEqual(created(kindOf('ServiceAccount'), { metadata, secrets })['secrets'], [{ name: 'some' }]);
});

test('Node', () => {
  const kind = kindOf('Node');
  const body = { metadata: { name: 'probe' }, spec: { podCIDR: '10.9.0.0/24', configSource: {} } };
  assert.deepEqual(created(kind, body)['spec'], { podCIDR: '10.9.0.0/24', podCIDRs: ['10.9.0.0/24'] });
  const features = (...declaredFeatures: string[]): [Body, readonly string[]] => [
    { ...body, status: { declaredFeatures } },
    [],
  ];
  checkMistakes('Node', [
    [body, []],
    features('GuestSwap', 'Resize/podLevel'),
    [features('B', 'A')[0], ['status.declaredFeatures[1] FieldValueInvalid']],
    [features('a')[0], ['status.declaredFeatures[0] FieldValueInvalid']],
    [features('A', 'A')[0], ['status.declaredFeatures[1] FieldValueDuplicate']],
  ]);
  const moved = altered(body, 'spec', { podCIDR: '10.9.1.0/24' });
  assert.deepEqual(updateMistakes(kind, body, moved), ['spec.podCIDRs FieldValueForbidden']);
});
