import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { realContainers, startScenarioCluster, type ScenarioCluster } from './cluster.ts';
import { eventually } from './eventually.ts';
import { leftBehind } from './leaks.ts';
import { container, pod, service } from './objects.ts';

const run = promisify(execFile);

describe('two clusters on one machine', { skip: realContainers }, () => {
  let clusters: readonly [ScenarioCluster, ScenarioCluster];
  before(async () => {
    clusters = await Promise.all([startScenarioCluster(), startScenarioCluster()]);
    await Promise.all(
      clusters.map(async cluster => {
        const image = `${cluster.registry}/web:v1`;
        await cluster.apply(
          pod('web', container(image, { readyPath: '/healthz' })),
          pod('client', container(`${cluster.registry}/client`)),
          service('web'),
        );
        await cluster.kubectl('wait', 'pod', '--all', '--for=condition=Ready', '--timeout=60s');
      }),
    );
  });
  after(async () => {
    await Promise.all(clusters?.map(cluster => cluster[Symbol.asyncDispose]()) ?? []);
  });

  /** From the host and from a pod, by address and by name. */
  const assertServes = async (cluster: ScenarioCluster) => {
    const { spec } = await cluster.get<{ spec: { clusterIP: string } }>('service', 'web');
    const { stdout } = await run('curl', ['--silent', '--max-time', '5', `http://${spec.clusterIP}/`]);
    assert.equal(stdout, 'web v1 web\n');
    assert.equal(await answerOf(cluster, 'client', 'web'), 'web v1 web\n');
  };

  test('both serve, with addresses of their own', async () => {
    const addresses = await Promise.all(
      clusters.map(async cluster => {
        await assertServes(cluster);
        const { items } = await cluster.get<{ items: { spec: { clusterIP: string } }[] }>('services', '-A');
        return items.map(({ spec }) => spec.clusterIP);
      }),
    );
    assert.equal(new Set(addresses.flat()).size, addresses.flat().length);
  });

  test('one that is stopped does not disturb the other', async () => {
    const [first, second] = clusters;
    await second.windlass('down');
    assert.deepEqual(leftBehind(second.dataDir), []);
    await assertServes(first);
    await second.windlass('up', '--detach');
    await eventually('the second serves again', async () => {
      await assertServes(second);
      return true;
    });
    await first.windlass('down');
    assert.deepEqual(leftBehind(first.dataDir), []);
    await assertServes(second);
  });
});

interface NodeWithAddress {
  readonly status: { readonly addresses: readonly { readonly type: string; readonly address: string }[] };
}

describe('two nodes on one machine', { skip: realContainers }, () => {
  let cluster: ScenarioCluster;
  let nodes: readonly string[];
  before(async () => {
    cluster = await startScenarioCluster('--nodes', '2');
    const { items } = await cluster.get<{ items: { metadata: { name: string } }[] }>('nodes');
    nodes = items.map(({ metadata }) => metadata.name);
    for (const [index, nodeName] of nodes.entries())
      await cluster.apply(
        pod(`web-${index}`, container(`${cluster.registry}/web:v1`, { script: alsoTellCaller }), { nodeName }),
        service(`web-${index}`),
        pod(`client-${index}`, container(`${cluster.registry}/client`), { nodeName }),
      );
    await cluster.kubectl('wait', 'pod', '--all', '--for=condition=Ready', '--timeout=60s');
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  test('both are ready', async () => {
    assert.equal(nodes.length, 2);
    await cluster.kubectl('wait', 'node', '--all', '--for=condition=Ready', '--timeout=10s');
  });

  test('their pods reach each other by address, by Service and by name, and keep their own address', async () => {
    for (const from of [0, 1])
      for (const to of [0, 1]) {
        const [source, target] = await Promise.all([addressOf(`client-${from}`), addressOf(`web-${to}`)]);
        const { spec } = await cluster.get<{ spec: { clusterIP: string } }>('service', `web-${to}`);
        for (const host of [target, spec.clusterIP, `web-${to}`])
          for (const client of [`client-${from}`, `web-${from}`])
            assert.equal(await answerOf(cluster, client, host), `web v1 web-${to}\n`, `${client} → ${host}`);
        const caller = await answerOf(cluster, `client-${from}`, `web-${to}/cgi-bin/caller`);
        assert.equal(/10\.[\d.]+/.exec(caller)?.[0], source, caller);
      }
  });

  test('policies are kept between nodes, for pods of either', async () => {
    const policy = (name: string, spec: object) => ({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name, namespace: 'default' },
      spec,
    });
    const app = (name: string) => ({ podSelector: { matchLabels: { app: name } } });
    await cluster.apply(
      policy('in', { ...app('web-1'), ingress: [{ from: [app('client-0')] }] }),
      policy('out', { ...app('client-1'), policyTypes: ['Egress'], egress: [{ to: [app('web-0')] }] }),
    );
    const isClosed = (from: string, host: string) =>
      cluster
        .kubectl('exec', from, '--', 'timeout', '1', 'wget', '-qO-', `http://${host}`)
        .then(() => false)
        .catch(() => true);
    await eventually('the policies hold', () => isClosed('web-0', 'web-1'));
    assert.ok(await isClosed('client-1', 'web-1'));
    assert.equal(await answerOf(cluster, 'client-0', 'web-1'), 'web v1 web-1\n');
    assert.equal(await answerOf(cluster, 'client-1', 'web-0'), 'web v1 web-0\n');
    await cluster.kubectl('delete', 'networkpolicies', '--all');
    await eventually('nothing is closed', async () => (await answerOf(cluster, 'web-0', 'web-1')) !== '');
  });

  test('each node has an address and node ports of its own; under the policy Local only those with endpoints serve, with the caller told', async () => {
    const { items } = await cluster.get<{ items: NodeWithAddress[] }>('nodes');
    const addresses = items.map(({ status }) => status.addresses.find(({ type }) => type === 'InternalIP')?.address);
    assert.equal(new Set(addresses).size, 2);
    const outside = (name: string, externalTrafficPolicy: string, type: string) => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'default' },
      spec: { type, externalTrafficPolicy, selector: { app: 'web-1' }, ports: [{ port: 80 }] },
    });
    await cluster.apply(outside('everywhere', 'Cluster', 'NodePort'), outside('there', 'Local', 'LoadBalancer'));
    const portsOf = async (name: string) =>
      (await cluster.get<{ spec: { healthCheckNodePort: number; ports: { nodePort: number }[] } }>('service', name))
        .spec;
    const [everywhere, there] = [await portsOf('everywhere'), await portsOf('there')];
    const ask = async (index: number, port: number | undefined, path = '') =>
      (await run('curl', ['--silent', '--max-time', '2', `http://${addresses[index]}:${port}/${path}`])).stdout;
    for (const index of [0, 1])
      await eventually(
        `node ${index} leads to the pod of the second`,
        async () => (await ask(index, everywhere.ports[0]?.nodePort)) === 'web v1 web-1\n',
      );
    // The machine is an outside caller to its second node, and is told by its own address there.
    await eventually('the node with the endpoint serves', async () =>
      (await ask(1, there.ports[0]?.nodePort, 'cgi-bin/caller')).includes(addresses[0] ?? '?'),
    );
    const health = async (index: number) =>
      (
        await run('curl', [
          '--silent',
          '--max-time',
          '2',
          '--output',
          '/dev/null',
          '--write-out',
          '%{http_code}',
          `http://${addresses[index]}:${there.healthCheckNodePort}/`,
        ])
      ).stdout;
    assert.deepEqual([await health(0), await health(1)], ['503', '200']);
    await cluster.kubectl('delete', 'services', 'everywhere', 'there');
  });

  test('pods of the second go on when the agent is killed', async () => {
    const pid = cluster.pid('node-agent');
    const before = await addressOf('web-1');
    process.kill(pid, 'SIGKILL');
    await eventually('there is another agent', () => cluster.pid('node-agent') !== pid);
    await eventually('pods answer', async () => (await answerOf(cluster, 'client-0', 'web-1')) === 'web v1 web-1\n');
    assert.equal(await addressOf('web-1'), before);
    const restarts = await cluster.kubectl(
      'get',
      'pods',
      '--output=jsonpath={.items[*].status.containerStatuses[*].restartCount}',
    );
    assert.equal(restarts, '0 0 0 0');
  });

  test('a node that a killed cluster had more is taken off the machine too', async () => {
    for (const role of ['supervisor', 'node-agent', 'control-plane'] as const)
      process.kill(cluster.pid(role), 'SIGKILL');
    await cluster.windlass('up', '--detach', '--nodes', '1');
    await eventually('pods of the first answer', async () => {
      return (await answerOf(cluster, 'client-0', 'web-0')) === 'web v1 web-0\n';
    });
    await cluster.windlass('down');
    assert.deepEqual(leftBehind(cluster.dataDir, nodes), []);
  });

  const addressOf = async (name: string) =>
    (await cluster.get<{ status: { podIP: string } }>('pod', name)).status.podIP;
});

function answerOf(cluster: ScenarioCluster, from: string, host: string): Promise<string> {
  return cluster.kubectl('exec', from, '--', 'timeout', '5', 'wget', '-qO-', `http://${host}`);
}

/** The web server with one page more, which says who asks for it. */
const alsoTellCaller = [
  'printf \'#!/bin/sh\\nprintf "Content-Type: text/plain\\\\r\\\\n\\\\r\\\\n$REMOTE_ADDR"\\n\' >/www/cgi-bin/caller',
  'chmod +x /www/cgi-bin/caller',
  'exec /server',
].join('; ');
