import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Report } from '../../machinery/validation.ts';
import { knownSpecLike } from './known-specs.ts';
import { validatePod } from './pod-validation.ts';
import type { PodSpec } from './pod-spec.ts';

const container = {
  name: 'web',
  image: 'registry.example/known:1',
  imagePullPolicy: 'IfNotPresent',
  terminationMessagePath: '/dev/termination-log',
  terminationMessagePolicy: 'File',
};

function spec(token: string, over: object = {}, more: readonly object[] = []): PodSpec {
  return {
    containers: [{ ...container, volumeMounts: [{ name: token, mountPath: '/token' }] }],
    volumes: [{ name: token, emptyDir: {} }, ...more],
    restartPolicy: 'Always',
    dnsPolicy: 'ClusterFirst',
    schedulerName: 'default-scheduler',
    securityContext: {},
    terminationGracePeriodSeconds: 30,
    ...over,
  } as never;
}

function faults(of: PodSpec): readonly string[] {
  const report = new Report();
  validatePod({ metadata: { name: 'p', namespace: 'n' }, spec: of, status: {} } as never, report);
  return report.errors.map(({ field }) => field);
}

test('a spec is known by another one of its template, whatever its node, hostname and token volume are called', () => {
  assert.deepEqual(faults(spec('kube-api-access-aaaaa')), []);
  const known = (of: PodSpec) => knownSpecLike(of) !== undefined;
  assert.ok(known(spec('kube-api-access-bbbbb')));
  assert.ok(!known(spec('kube-api-access-bbbbb', { nodeName: 'n-1' })), 'one has a node, the other has none');
  assert.deepEqual(faults(spec('kube-api-access-aaaaa', { nodeName: 'n-1', hostname: 'h-0' })), []);
  assert.ok(known(spec('kube-api-access-ccccc', { nodeName: 'n-2', hostname: 'h-1' })));
  assert.ok(!known(spec('kube-api-access-ccccc', { nodeName: 'n 2', hostname: 'h-1' })));
  assert.ok(!known(spec('kube-api-access-ccccc', { nodeName: 'n-2', hostname: 'h.1' })));
  assert.ok(!known(spec('kube-api-access-ccccc', { restartPolicy: 'Sometimes' })));
  assert.ok(!known(spec('kube-api-access-ccccc', { constructor: {} })), 'names of every object');
  assert.ok(!known(spec('cache')), 'any other volume');
});

test('what is wrong is refused beside what is known', () => {
  const taken = { name: 'kube-api-access-ddddd', emptyDir: {} };
  assert.deepEqual(faults(spec('kube-api-access-eeeee', {}, [taken])), []);
  assert.deepEqual(faults(spec('kube-api-access-ddddd', {}, [taken])), ['spec.volumes[1].name']);
  const mounts = [{ name: 'kube-api-access-fffff', mountPath: '/token' }];
  const elsewhere = { containers: [{ ...container, volumeMounts: mounts }] };
  assert.deepEqual(faults(spec('kube-api-access-ggggg', elsewhere, [taken])), [
    'spec.containers[0].volumeMounts[0].name',
  ]);
});

test('a spec whose claims are called after its pod is not remembered', () => {
  const volume = {
    name: 'scratch',
    ephemeral: {
      volumeClaimTemplate: { spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } },
    },
  };
  const of = spec('kube-api-access-hhhhh', { dnsPolicy: 'Default' }, [volume]);
  assert.deepEqual(faults(of), []);
  assert.equal(knownSpecLike(of), undefined);
});
