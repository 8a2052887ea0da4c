import assert from 'node:assert/strict';
import { test } from 'node:test';
import { altered, cells, created, mistakes } from '../../kind-checks.ts';
import type { Kind } from '../../machinery/kind.ts';
import { Service as ServiceKind } from './service.ts';

const Service = ServiceKind as unknown as Kind;
const minimal = {
  metadata: { name: 'web', namespace: 'default' },
  spec: { ports: [{ port: 80 }], clusterIP: '10.0.0.1', clusterIPs: ['10.0.0.1'] },
};

test('a service gets its defaults', () => {
  assert.deepEqual(created(Service, { ...minimal, spec: { ports: [{ port: 80 }] } })['spec'], {
    internalTrafficPolicy: 'Cluster',
    ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }],
    sessionAffinity: 'None',
    type: 'ClusterIP',
  });
});

test('wrong services are refused, each for what is wrong', () => {
  const two = [{ port: 80 }, { port: 81 }];
  for (const [body, wanted] of [
    [minimal, []],
    [altered(minimal, 'spec.ports', undefined), ['spec.ports FieldValueRequired']],
    [
      altered(minimal, 'spec.ports', two),
      ['spec.ports[0].name FieldValueRequired', 'spec.ports[1].name FieldValueRequired'],
    ],
    [altered(minimal, 'spec.ports', [{ port: 0, targetPort: 1 }]), ['spec.ports[0].port FieldValueInvalid']],
    [
      altered(minimal, 'spec.ports', [{ port: 80, protocol: 'ICMP' }]),
      ['spec.ports[0].protocol FieldValueNotSupported'],
    ],
    [altered(minimal, 'spec.type', 'Magic'), ['spec.type FieldValueNotSupported']],
    [altered(minimal, 'spec.sessionAffinity', 'Always'), ['spec.sessionAffinity FieldValueNotSupported']],
    [altered(minimal, 'spec.selector', { 'no such': 'x' }), ['spec.selector FieldValueInvalid']],
  ] as const) {
    assert.deepEqual(mistakes(Service, body), wanted, JSON.stringify(body));
  }
});

test('the row of a service', () => {
  assert.deepEqual(cells(Service, minimal).slice(0, 5), ['web', 'ClusterIP', '10.0.0.1', '<none>', '80/TCP']);
  const open = altered(altered(minimal, 'spec.type', 'LoadBalancer'), 'spec.ports', [{ port: 80, nodePort: 30_080 }]);
  assert.deepEqual(cells(Service, open).slice(0, 5), ['web', 'LoadBalancer', '10.0.0.1', '<pending>', '80:30080/TCP']);
});
