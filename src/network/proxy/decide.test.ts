import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Service } from '#api/core/v1/service.ts';
import type { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { arrange, decide, decideService } from './decide.ts';

const node = { name: 'here', zone: 'a' };

type Spec = NonNullable<Service['spec']>;

function service(spec: Partial<Spec>, status?: Service['status']): Service {
  return {
    metadata: { namespace: 'default', name: 'web' },
    spec: {
      type: 'ClusterIP',
      clusterIP: '10.96.0.9',
      clusterIPs: ['10.96.0.9'],
      sessionAffinity: 'None',
      ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
      ...spec,
    },
    status: status ?? { loadBalancer: {} },
  };
}

interface End {
  readonly ip: string;
  readonly on?: string;
  readonly ready?: boolean;
  readonly serving?: boolean;
  readonly terminating?: boolean;
  readonly zones?: readonly string[];
  readonly nodes?: readonly string[];
}

function slice(ends: readonly End[], port = 8080, protocol = 'TCP', name = 'http'): EndpointSlice {
  return {
    metadata: { namespace: 'default', name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    ports: [{ name, port, protocol }],
    endpoints: ends.map(({ ip, on = 'there', ready = true, serving, terminating, zones, nodes }) => ({
      addresses: [ip],
      nodeName: on,
      conditions: {
        ready,
        ...(serving !== undefined && { serving }),
        ...(terminating !== undefined && { terminating }),
      },
      hints: {
        ...(zones && { forZones: zones.map(zone => ({ name: zone })) }),
        ...(nodes && { forNodes: nodes.map(forNode => ({ name: forNode })) }),
      },
    })),
  };
}

function rules(of: Service, ...slices: EndpointSlice[]): string[] {
  return decideService(of, slices, node).elements.map(
    ({ set, key, value }) => `${set} { ${key}${value === '' ? '' : ` : ${value}`} }`,
  );
}

test('a ClusterIP leads to its ready endpoints by chance', () => {
  assert.deepEqual(
    rules(service({}), slice([{ ip: '10.1.0.1', on: 'here' }, { ip: '10.1.0.2' }, { ip: '10.1.0.3', ready: false }])),
    [
      'cluster-ips4 { 10.96.0.9 }',
      'endpoints4 { 10.96.0.9 . tcp . 80 . 0:1 : 10.1.0.1 . 8080 }',
      'endpoints4 { 10.96.0.9 . tcp . 80 . 0:2 : 10.1.0.2 . 8080 }',
      'services4 { 10.96.0.9 . tcp . 80 : goto address4-random-2 }',
      'hairpins4 { 10.1.0.1 . 10.1.0.1 }',
      'remote4 { 10.1.0.2 . tcp . 8080 }',
    ],
  );
});

test('without endpoints callers are refused', () => {
  assert.deepEqual(
    rules(service({ type: 'NodePort', ports: [{ name: 'http', port: 80, nodePort: 30080, protocol: 'TCP' }] })),
    ['cluster-ips4 { 10.96.0.9 }', 'unserved4 { 10.96.0.9 . tcp . 80 }', 'unserved-nodeports4 { tcp . 30080 }'],
  );
});

test('headless services, external names and those of another proxy need no rules', () => {
  const ends = slice([{ ip: '10.1.0.1' }]);
  assert.deepEqual(rules(service({ clusterIP: 'None', clusterIPs: ['None'] }), ends), []);
  assert.deepEqual(rules(service({ type: 'ExternalName', externalName: 'example.org' }), ends), []);
  const other = service({});
  const labels = { 'service.kubernetes.io/service-proxy-name': 'mesh' };
  assert.deepEqual(rules({ ...other, metadata: { ...other.metadata, labels } }, ends), []);
});

test('NodePort, external addresses and the load balancer: callers from outside keep to this node under Local', () => {
  const balanced = service(
    {
      type: 'LoadBalancer',
      externalTrafficPolicy: 'Local',
      healthCheckNodePort: 31000,
      externalIPs: ['192.0.2.10'],
      ports: [{ name: 'http', port: 80, protocol: 'TCP', nodePort: 30080 }],
    },
    { loadBalancer: { ingress: [{ ip: '198.51.100.7' }, { ip: '198.51.100.8', ipMode: 'Proxy' }] } },
  );
  const ends = slice([{ ip: '10.1.0.1', on: 'here' }, { ip: '10.1.0.2' }]);
  const lines = rules(balanced, ends);
  for (const line of [
    'services4 { 192.0.2.10 . tcp . 80 : goto address4-random-2 }',
    'services-external4 { 192.0.2.10 . tcp . 80 : goto address4-external-random-1 }',
    'services-external4 { 198.51.100.7 . tcp . 80 : goto address4-external-random-1 }',
    'endpoints4 { 198.51.100.7 . tcp . 80 . 1:1 : 10.1.0.1 . 8080 }',
    'nodeports4 { tcp . 30080 : goto node4-random-2 }',
    'nodeports-external4 { tcp . 30080 : goto node4-external-random-1 }',
    'node-endpoints4 { tcp . 30080 . 1:1 : 10.1.0.1 . 8080 }',
  ])
    assert.ok(lines.includes(line), `${line} in\n${lines.join('\n')}`);
  assert.ok(!lines.some(line => line.includes('198.51.100.8')));
  assert.equal(decideService(balanced, [ends], node).healthCheck?.localEndpoints, 1);

  const elsewhere = slice([{ ip: '10.1.0.2' }]);
  assert.ok(rules(balanced, elsewhere).includes('nodeports-external4 { tcp . 30080 : drop }'));
  assert.ok(rules(balanced, elsewhere).includes('nodeports4 { tcp . 30080 : goto node4-random-1 }'));
  assert.equal(decideService(balanced, [elsewhere], node).healthCheck?.localEndpoints, 0);
});

test('internalTrafficPolicy Local stays on the node, or is dropped', () => {
  const local = service({ internalTrafficPolicy: 'Local' });
  assert.ok(
    rules(local, slice([{ ip: '10.1.0.1', on: 'here' }, { ip: '10.1.0.2' }])).includes(
      'services4 { 10.96.0.9 . tcp . 80 : goto address4-random-1 }',
    ),
  );
  assert.ok(rules(local, slice([{ ip: '10.1.0.2' }])).includes('services4 { 10.96.0.9 . tcp . 80 : drop }'));
});

test('serving endpoints that terminate stand in when none is ready', () => {
  const leaving = { ready: false, serving: true, terminating: true };
  const lines = rules(
    service({}),
    slice([
      { ip: '10.1.0.1', ...leaving },
      { ip: '10.1.0.2', ready: false },
    ]),
  );
  assert.ok(lines.includes('endpoints4 { 10.96.0.9 . tcp . 80 . 0:1 : 10.1.0.1 . 8080 }'));
  assert.ok(lines.includes('services4 { 10.96.0.9 . tcp . 80 : goto address4-random-1 }'));
  const better = rules(service({}), slice([{ ip: '10.1.0.1', ...leaving }, { ip: '10.1.0.2' }]));
  assert.ok(better.includes('endpoints4 { 10.96.0.9 . tcp . 80 . 0:1 : 10.1.0.2 . 8080 }'));
});

test('topology hints count when all have them and one is ours', () => {
  const goesTo = (...ends: End[]) =>
    rules(service({}), slice(ends))
      .filter(line => line.startsWith('endpoints4'))
      .map(line => / : (\S+)/.exec(line)?.[1]);
  const [a, b] = [
    { ip: '10.1.0.1', zones: ['a'] },
    { ip: '10.1.0.2', zones: ['b'] },
  ];
  assert.deepEqual(goesTo(a, b), ['10.1.0.1']);
  assert.deepEqual(goesTo(b), ['10.1.0.2']);
  assert.deepEqual(goesTo(a, { ip: '10.1.0.2' }), ['10.1.0.1', '10.1.0.2']);
  assert.deepEqual(goesTo({ ...a, nodes: ['there'] }, { ...b, nodes: ['here'] }), ['10.1.0.2']);
});

test('session affinity: endpoints have numbers of their own, indexes pick them', () => {
  const sticky = service({ sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } });
  const lines = rules(sticky, slice([{ ip: '10.1.0.1' }, { ip: '10.1.0.2' }]));
  assert.ok(lines.includes('services4 { 10.96.0.9 . tcp . 80 : goto address4-affinity-2-60 }'));
  const number = /picks4 \{ 10\.96\.0\.9 \. tcp \. 80 \. 0:1 : (\S+) \}/.exec(lines.join('\n'))?.[1];
  assert.ok(lines.includes(`endpoints4 { 10.96.0.9 . tcp . 80 . ${number} : 10.1.0.1 . 8080 }`), lines.join('\n'));
});

test('loadBalancerSourceRanges close the load balancer address to others', () => {
  const closed = service(
    { type: 'LoadBalancer', loadBalancerSourceRanges: ['10.1.0.0/16', ' 10.0.0.0/8', 'fd00::/8', 'nonsense'] },
    { loadBalancer: { ingress: [{ ip: '198.51.100.7' }] } },
  );
  const lines = rules(closed, slice([{ ip: '10.1.0.1' }]));
  assert.deepEqual(
    lines.filter(line => /^(firewalled|allowed)/.test(line)),
    ['firewalled4 { 198.51.100.7 . tcp . 80 }', 'allowed4 { 198.51.100.7 . tcp . 80 . 10.0.0.0/8 }'],
  );
});

test('a family of its own for each cluster address', () => {
  const dual = service({ clusterIPs: ['10.96.0.9', 'FD00:96::0009'] });
  const six: EndpointSlice = { ...slice([{ ip: 'fd00:1::5' }]), addressType: 'IPv6' };
  const lines = rules(dual, slice([{ ip: '10.1.0.1' }]), six);
  assert.ok(lines.includes('services6 { fd00:96::9 . tcp . 80 : goto address6-random-1 }'));
  assert.ok(lines.includes('endpoints6 { fd00:96::9 . tcp . 80 . 0:1 : fd00:1::5 . 8080 }'));
  assert.ok(lines.includes('services4 { 10.96.0.9 . tcp . 80 : goto address4-random-1 }'));
});

test('what a user writes into a service never becomes a command of nft', () => {
  const evil = service({ externalIPs: ['1.2.3.4 }; flush ruleset', '192.0.2.4'] });
  const lines = rules(evil, slice([{ ip: '10.1.0.1; drop' }, { ip: '10.1.0.2' }]));
  assert.ok(!lines.some(line => line.includes(';')), lines.join('\n'));
});

test('two services with one external address: the first has it', () => {
  const [one, two] = [service({ externalIPs: ['192.0.2.4'] }), service({ externalIPs: ['192.0.2.4'] })];
  const second = { ...two, metadata: { namespace: 'default', name: 'api' } };
  const ruleset = decide(
    [one, second],
    key => [slice([{ ip: key === 'default/web' ? '10.1.0.1' : '10.1.0.2' }])],
    node,
  );
  assert.equal(ruleset.elements.get('endpoints4')?.get('192.0.2.4 . tcp . 80 . 0:1'), '10.1.0.1 . 8080');
});

test('an endpoint that goes moves one other at most', () => {
  assert.deepEqual(arrange(['a', 'b', 'c', 'd'], ['a', 'c', 'd']), ['a', 'd', 'c']);
  assert.deepEqual(arrange([], ['a', 'b']), ['a', 'b']);
  assert.deepEqual(arrange(['a', 'b'], ['x', 'b', 'a']), ['a', 'b', 'x']);
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(20)), fc.uniqueArray(fc.nat(20)), (old, now) => {
      const [previous, wanted] = [old.map(String), now.map(String)];
      const order = arrange(previous, wanted);
      assert.deepEqual(order.toSorted(), wanted.toSorted());
      const moved = order.filter((target, place) => previous.includes(target) && previous[place] !== target);
      assert.ok(moved.length <= previous.filter(target => !wanted.includes(target)).length);
    }),
  );
});
