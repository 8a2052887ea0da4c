import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { realContainers, startScenarioCluster, type ScenarioCluster } from './cluster.ts';
import { eventually } from './eventually.ts';
import { container, pod, service } from './objects.ts';

const lacking =
  realContainers ?? (existsSync('/usr/lib/cni/bridge') ? false : 'containernetworking-plugins are not installed');

describe("pods are connected by Debian's CNI plugins", { skip: lacking }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'windlass-cni-'));
  const link = `cni${process.pid % 100_000}`;
  const plugins = [
    {
      type: 'bridge',
      bridge: link,
      isGateway: true,
      hairpinMode: true,
      // Every node's pods have addresses of its own range.
      capabilities: { ipRanges: true },
      ipam: { type: 'host-local', dataDir: join(directory, 'addresses'), routes: [{ dst: '0.0.0.0/0' }] },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
    { type: 'loopback' },
  ];
  let cluster: ScenarioCluster;
  before(async () => {
    configure(plugins);
    cluster = await startScenarioCluster('--nodes', '2', '--cni-conf-dir', directory);
    const names = (await cluster.kubectl('get', 'nodes', '--output=name')).trim().split('\n');
    for (const [index, node] of names.entries())
      await cluster.apply(
        pod(`web-${index}`, container(`${cluster.registry}/web:v1`), { nodeName: node.slice('node/'.length) }),
        service(`web-${index}`),
        pod(`client-${index}`, container(`${cluster.registry}/client`), { nodeName: node.slice('node/'.length) }),
      );
    await cluster.kubectl('wait', 'pod', '--all', '--for=condition=Ready', '--timeout=60s');
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
    // A plugin's bridge is the plugin's.
    if (existsSync(`/sys/class/net/${link}`)) execFileSync('ip', ['link', 'del', link]);
    rmSync(directory, { recursive: true, force: true });
  });

  const configure = (chain: readonly object[]) =>
    writeFileSync(
      join(directory, '10-net.conflist'),
      JSON.stringify({ cniVersion: '1.0.0', name: 'scenario', plugins: chain }),
    );
  const answerOf = (from: string, host: string) =>
    cluster.kubectl('exec', from, '--', 'timeout', '5', 'wget', '-qO-', `http://${host}`);

  test('on one node and between nodes, by address, Service and name', async () => {
    for (const from of [0, 1])
      for (const to of [0, 1]) {
        const path = '--output=jsonpath={.status.podIP}';
        const address = await cluster.kubectl('get', 'pod', `web-${to}`, path);
        for (const host of [address, `web-${to}`])
          assert.equal(await answerOf(`client-${from}`, host), `web v1 web-${to}\n`, `client-${from} → ${host}`);
      }
  });

  test('policies are kept', async () => {
    await cluster.apply({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'closed', namespace: 'default' },
      spec: { podSelector: { matchLabels: { app: 'web-1' } }, policyTypes: ['Ingress'] },
    });
    for (const client of ['client-0', 'client-1'])
      await eventually(`${client} is kept out`, () =>
        answerOf(client, 'web-1').then(
          () => false,
          () => true,
        ),
      );
    await cluster.kubectl('delete', 'networkpolicy', 'closed');
  });

  test('what a plugin refuses is told by an event, and tried again', async () => {
    configure([{ type: 'absent' }]);
    await cluster.apply(pod('late', container(`${cluster.registry}/web:v1`)));
    await eventually('an event says why', async () => {
      const events = await cluster.kubectl('get', 'events', '--field-selector=involvedObject.name=late');
      return /FailedCreatePodSandBox.*plugin type="absent" failed \(add\): failed to find plugin "absent" in path/.test(
        events,
      );
    });
    configure(plugins);
    await cluster.kubectl('wait', 'pod', 'late', '--for=condition=Ready', '--timeout=60s');
  });
});
