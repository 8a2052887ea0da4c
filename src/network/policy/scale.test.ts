import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { NetworkPolicy } from '#api/networking/v1/network-policy.ts';
import { ManualClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { openInformers } from '#client/informers.ts';
import { objectFeed } from '#client/testing/object-feed.ts';
import { openNetworkPolicies } from './policies.ts';

const [namespaceCount, podCount, policyCount, localCount] = [100, 5_000, 1_000, 110];

const turns = async () => {
  for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve));
};

function pod(index: number, tier: string): Pod {
  const isLocal = index < localCount;
  return {
    metadata: {
      namespace: `ns-${index % namespaceCount}`,
      name: `pod-${index}`,
      uid: `uid-${index}`,
      labels: { app: `app-${index % 7}`, tier },
    },
    spec: {
      nodeName: isLocal ? 'here' : `node-${index % 50}`,
      containers: [{ name: 'c', ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }] }],
    },
    status: { podIPs: [{ ip: `10.${index >> 8}.${index & 255}.2` }] },
  } as unknown as Pod;
}

function policy(index: number): NetworkPolicy {
  return {
    metadata: { namespace: `ns-${index % namespaceCount}`, name: `policy-${index}` },
    spec: {
      podSelector: { matchLabels: { app: `app-${index % 7}` } },
      policyTypes: ['Ingress'],
      ingress: [
        {
          from: [
            { podSelector: { matchLabels: { tier: `t${index % 3}` } } },
            { namespaceSelector: { matchLabels: { team: `team-${index % 50}` } } },
          ],
          ports: [{ protocol: 'TCP', port: 'http' }],
        },
      ],
    },
  } as unknown as NetworkPolicy;
}

test('with 1,000 policies and 5,000 pods a change writes what differs', async t => {
  const feed = objectFeed();
  const clock = new ManualClock();
  const informers = openInformers(feed.client, { clock });
  const scripts: string[] = [];
  await using policies = openNetworkPolicies({
    clusterId: 'abc123',
    nodeNames: ['here'],
    clock,
    log: silentLog,
    run: async script => {
      scripts.push(script);
    },
  });
  const settled = async () => {
    await turns();
    await policies.settled();
    await turns();
    await policies.settled();
  };
  const cpuMs = async (work: () => unknown) => {
    const before = process.cpuUsage();
    await work();
    await settled();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  };

  policies.follow(informers);
  await settled();
  assert.equal(feed.watches, 1, 'without policies nobody watches pods');
  for (let index = 0; index < namespaceCount; index++)
    feed.put(Namespace, { metadata: { name: `ns-${index}`, labels: { team: `team-${index % 50}` } } } as never);
  for (let index = 0; index < podCount; index++) feed.put(Pod, pod(index, `t${index % 3}`));
  for (let index = 0; index < localCount; index++) {
    const { metadata, status } = pod(index, `t${index % 3}`);
    const { uid = '', namespace = '', name = '', labels = {} } = metadata;
    policies.known(uid, { uid, namespace, name, labels }, [status?.podIPs?.[0]?.ip ?? '']);
  }
  const load = await cpuMs(() => {
    for (let index = 0; index < policyCount; index++) feed.put(NetworkPolicy, policy(index));
  });
  const elements = (script: string) => script.match(/^\S+ : goto |^10\./gm)?.length ?? 0;
  assert.ok(elements(scripts.join('\n')) > 3_000, scripts.map(script => script.length).join());

  scripts.length = 0;
  const rounds = 50;
  const remote = await cpuMs(async () => {
    for (let round = 0; round < rounds; round++) {
      feed.put(Pod, pod(3_000, `t${(round + 1) % 3}`));
      await settled();
    }
  });
  assert.ok(scripts.length <= rounds);
  for (const script of scripts) assert.ok(script.length < 2_000, script);

  scripts.length = 0;
  const local = await cpuMs(async () => {
    for (let round = 0; round < rounds; round++) {
      const { metadata } = pod(5, 't1');
      const { uid = '', namespace = '', name = '' } = metadata;
      await policies.admit(`new-${round}`, { uid, namespace, name, labels: {} }, [`10.200.0.${round + 2}`]);
    }
  });
  assert.equal(scripts.length, rounds);
  for (const script of scripts) assert.ok(script.length < 4_000, script);

  const silent = await cpuMs(async () => {
    for (let round = 0; round < rounds; round++) {
      const same = pod(3_000, `t${rounds % 3}`);
      feed.put(Pod, { ...same, status: { ...same.status, message: String(round) } } as unknown as Pod);
      await settled();
    }
  });
  assert.equal(scripts.length, rounds, 'a status that says nothing of addresses writes nothing');
  t.diagnostic(
    `CPU: all at once ${load.toFixed(0)} ms; a change of a pod elsewhere ${(remote / rounds).toFixed(2)} ms, ` +
      `a new pod here ${(local / rounds).toFixed(2)} ms, a status ${(silent / rounds).toFixed(2)} ms`,
  );

  for (let index = 0; index < policyCount; index++) feed.delete(NetworkPolicy, policy(index));
  await settled();
  assert.match(scripts.at(-1) ?? '', /^add table .*\ndelete table [^\n]*\n$/);
  assert.equal(feed.watches, 2, 'policies and namespaces');
  informers[Symbol.dispose]();
});
