import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NetworkPolicy } from '#api/networking/v1/network-policy.ts';
import { compilePolicy, type PodView } from './compile.ts';

type Spec = NetworkPolicy['spec'];

const compiled = (spec: Partial<Spec>) =>
  compilePolicy({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'p', namespace: 'shop' },
    spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'], ...spec },
  });

const pod = (over: Partial<PodView> = {}): PodView => ({
  uid: 'u',
  namespace: 'shop',
  labels: { app: 'web' },
  ips: ['10.0.0.1', 'fd00::1'],
  ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
  isLocal: true,
  ...over,
});

test('a direction without rules allows nothing, one that is not named is left alone', () => {
  const { ingress, egress } = compiled({ policyTypes: ['Egress'], ingress: [{}] });
  assert.equal(ingress, undefined);
  assert.deepEqual(egress, { rules: [], sets: [] });
});

test('an empty rule allows everything, of both families', () => {
  const { ingress } = compiled({ ingress: [{}] });
  assert.deepEqual(ingress?.rules, ['meta nfproto ipv4 accept', 'meta nfproto ipv6 accept']);
});

test('blocks: host bits are cleared, exceptions are of the same family, all addresses are no prefix', () => {
  const { ingress, egress } = compiled({
    ingress: [{ from: [{ ipBlock: { cidr: '10.1.2.3/16', except: ['10.1.2.0/24', '10.1.2.128/25'] } }] }],
    egress: [{ to: [{ ipBlock: { cidr: '0.0.0.0/0' } }, { ipBlock: { cidr: 'fd00::/8', except: ['fd00:1::/32'] } }] }],
  });
  assert.deepEqual(ingress?.rules, ['ip saddr 10.1.0.0/16 ip saddr != 10.1.2.0/24 ip saddr != 10.1.2.128/25 accept']);
  assert.deepEqual(egress?.rules, ['meta nfproto ipv4 accept', 'ip6 daddr fd00::/8 ip6 daddr != fd00:1::/32 accept']);
});

test('ports: ranges that touch are one, protocols stand alone, names are looked up at the destination', () => {
  const { egress } = compiled({
    egress: [
      {
        to: [{ ipBlock: { cidr: '10.0.0.0/8' } }],
        ports: [
          { protocol: 'TCP', port: 80 },
          { protocol: 'TCP', port: 100, endPort: 200 },
          { protocol: 'TCP', port: 150, endPort: 300 },
          { protocol: 'TCP', port: 301 },
          { protocol: 'UDP' },
          { protocol: 'SCTP', port: 7 },
          { port: 'http' },
        ],
      },
    ],
  });
  const [set] = egress?.sets ?? [];
  assert.deepEqual(egress?.rules, [
    'ip daddr 10.0.0.0/8 meta l4proto udp accept',
    `ip daddr 10.0.0.0/8 meta l4proto tcp ip daddr . th dport @${set?.name}-4 accept`,
    'ip daddr 10.0.0.0/8 tcp dport { 80, 100-301 } accept',
    'ip daddr 10.0.0.0/8 sctp dport { 7 } accept',
  ]);
  assert.deepEqual(set?.elements(pod(), undefined), ['10.0.0.1 . 8080', 'fd00::1 . 8080']);
  const ofUdp = pod({ ports: [{ name: 'http', protocol: 'UDP', port: 53 }] });
  assert.deepEqual(set?.elements(ofUdp, undefined), []);
});

test('selectors: pods of the own namespace, all pods of some namespaces, some pods of some namespaces', () => {
  const teamA = { matchLabels: { team: 'a' } };
  const notDb = { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['db'] }] };
  const { ingress } = compiled({
    ingress: [
      {
        from: [
          { podSelector: notDb },
          { namespaceSelector: teamA },
          { namespaceSelector: teamA, podSelector: notDb },
          { namespaceSelector: {} },
        ],
      },
    ],
  });
  const [own, namespaces, both, everybody] = ingress?.sets ?? [];
  const isIn = (set: typeof own, over: Partial<PodView>, labels?: Record<string, string>) =>
    (set?.elements(pod(over), labels).length ?? 0) > 0;
  assert.ok(isIn(own, {}));
  assert.ok(!isIn(own, { labels: { app: 'db' } }));
  assert.ok(!isIn(own, { namespace: 'other' }, { team: 'a' }));
  assert.ok(isIn(namespaces, { namespace: 'other', labels: { app: 'db' } }, { team: 'a' }));
  assert.ok(!isIn(namespaces, {}, { team: 'b' }));
  assert.ok(!isIn(both, { labels: { app: 'db' } }, { team: 'a' }));
  assert.ok(isIn(both, {}, { team: 'a' }));
  assert.ok(isIn(everybody, { namespace: 'anywhere', labels: undefined }));
  assert.deepEqual(ingress?.rules.slice(0, 2), [
    `ip saddr @${own?.name}-4 accept`,
    `ip saddr @${namespaces?.name}-4 accept`,
  ]);
});

test('what is selected is the pods of the labels', () => {
  const { selects } = compiled({
    podSelector: { matchExpressions: [{ key: 'app', operator: 'In', values: ['web'] }] },
  });
  assert.ok(selects({ app: 'web' }));
  assert.ok(!selects({ app: 'db' }));
  assert.ok(!selects(undefined));
});

test('what a user writes never becomes a command of nft', () => {
  const evil = 'x } ; flush ruleset ; #';
  const { ingress, egress } = compiled({
    ingress: [{ from: [{ podSelector: { matchLabels: { [evil]: evil } } }], ports: [{ port: evil, protocol: evil }] }],
    egress: [{ to: [{ ipBlock: { cidr: evil, except: [evil] } }], ports: [{ port: evil }] }],
  });
  const text = [...(ingress?.rules ?? []), ...(egress?.rules ?? [])].join('\n');
  assert.ok(!text.includes('flush'), text);
});
