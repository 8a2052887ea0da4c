import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Service } from '#api/core/v1/service.ts';
import { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { ManualClock } from '#base/clock.ts';
import { isolated } from '#base/kernel/isolate.ts';
import { Namespaces, releaseNamespace } from '#base/kernel/namespace.ts';
import { silentLog } from '#base/log.ts';
import { openInformers } from '#client/informers.ts';
import { objectFeed } from '#client/testing/object-feed.ts';
import { bridgeNetwork, removeBridgeNetwork, type BridgeNetwork } from '../cni/bridge.ts';
import { makeOutside } from '../testing/outside.ts';
import { Peer } from '../testing/peer.ts';
import { removeServiceProxy, startServiceProxy, type ServiceProxy } from './proxy.ts';

const clusterId = 'abc123';
const nft = (...args: string[]) => execFileSync('nft', args, { encoding: 'utf8' });

const isIntact = (table: string) =>
  nft('list', 'tables').includes(`inet ${table}\n`) && nft('list', 'table', 'inet', table).includes('comment "intact"');

interface End {
  readonly ip: string;
  readonly on?: string;
}

type Spec = NonNullable<Service['spec']>;

const defaults = { type: 'ClusterIP', sessionAffinity: 'None' } as const;

if (isolated(import.meta.filename)) {
  const directory = mkdtempSync(join(tmpdir(), 'proxy-'));
  const namespaces = new Namespaces();
  const clock = new ManualClock();
  const feed = objectFeed();
  const informers = openInformers(feed.client, { clock });
  /** Another machine at 192.0.2.2, which also stands for another node with the endpoint 192.0.2.3. */
  const outside = join(directory, 'outside');
  let network: BridgeNetwork;
  let proxy: ServiceProxy;
  const pods: { readonly path: string; readonly ip: string; readonly peer: Peer }[] = [];
  let host: Peer;
  let stranger: Peer;

  const start = (nodePortAddresses?: readonly string[]) =>
    startServiceProxy({
      ...(nodePortAddresses && { nodePortAddresses }),
      informers,
      nodeName: 'here',
      clusterId,
      clusterCidrs: ['10.244.0.0/16', 'fd00::/16'],
      serviceCidrs: ['10.96.0.0/12', 'fd00:96::/112'],
      clock,
      log: silentLog,
    });

  async function service(
    name: string,
    spec: Partial<Spec>,
    ends: readonly End[],
    status?: Service['status'],
    wait = true,
  ) {
    const ports = spec.ports ?? [{ name: 'p', port: 80, protocol: 'TCP' }];
    feed.put(Service, {
      metadata: { namespace: 'default', name },
      spec: { ...defaults, ports, ...spec },
      status: status ?? { loadBalancer: {} },
    });
    for (const family of ['IPv4', 'IPv6'])
      feed.put(EndpointSlice, {
        metadata: { namespace: 'default', name: `${name}-${family}`, labels: { 'kubernetes.io/service-name': name } },
        addressType: family,
        ports: ports.map(port => ({ name: port.name ?? '', port: 8080, protocol: port.protocol })),
        endpoints: ends
          .filter(({ ip }) => ip.includes(':') === (family === 'IPv6'))
          .map(({ ip, on = 'here' }) => ({ addresses: [ip], nodeName: on, conditions: { ready: true } })),
      });
    for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve));
    if (wait) await proxy.settled();
  }

  /** The feed's events pass the informers before the proxy sees them. */
  async function settled() {
    for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve));
    await proxy.settled();
  }

  before(async () => {
    await makeOutside(namespaces, {
      netnsPath: outside,
      alsoAddresses: ['192.0.2.3/24'],
      routes: ['10.96.0.0/12', '198.51.100.0/24'],
    });
    network = await bridgeNetwork({
      clusterId,
      podCidrs: ['10.244.7.0/24', 'fd00:7::/64'],
      clusterCidrs: ['10.244.0.0/16', 'fd00::/16'],
      stateDir: join(directory, 'state'),
      clock,
    });
    for (const name of ['a', 'b', 'c']) {
      const path = join(directory, name);
      await namespaces.create({ paths: { net: path } });
      const { ips } = await network.setup({ id: name, netnsPath: path, config: {} });
      const peer = new Peer(name, path);
      await peer.listen('tcp', 8080);
      await peer.listen('udp', 8080);
      pods.push({ path, ip: ips[0] ?? '', peer });
    }
    host = new Peer('host');
    stranger = new Peer('stranger', outside);
    await stranger.listen('tcp', 8080);
    proxy = await start();
    await proxy.ready;
  });

  after(async () => {
    for (const { peer } of pods) await peer[Symbol.asyncDispose]();
    await host[Symbol.asyncDispose]();
    await stranger[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
    informers[Symbol.dispose]();
    await removeServiceProxy(clusterId);
    await network[Symbol.asyncDispose]();
    await removeBridgeNetwork(clusterId);
    for (const { path } of pods) await releaseNamespace(path);
    await releaseNamespace(outside);
    await namespaces[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
    assert.equal(nft('list', 'ruleset'), '');
    assert.equal(feed.watches, 0);
  });

  const pod = (index: number) => pods[index] as (typeof pods)[number];
  /** Who answers in so many calls. */
  async function answers(caller: Peer, address: string, port: number, calls = 24): Promise<string[]> {
    const said = await Promise.all(Array.from({ length: calls }, () => caller.call('tcp', address, port)));
    return [...new Set(said)].toSorted();
  }

  for (const bridgeFilter of ['0', '1'])
    test(`a ClusterIP from pods, itself and the node, with bridge-nf-call-iptables ${bridgeFilter}`, async t => {
      const file = '/proc/sys/net/bridge/bridge-nf-call-iptables';
      if (existsSync(file)) writeFileSync(file, bridgeFilter);
      else if (bridgeFilter === '1') return t.skip('the kernel has no br_netfilter');
      await service('web', { clusterIP: '10.96.0.9' }, [{ ip: pod(0).ip }, { ip: pod(1).ip }]);
      assert.deepEqual(await answers(pod(2).peer, '10.96.0.9', 80), [`a ${pod(2).ip}`, `b ${pod(2).ip}`]);
      // a meets itself with the bridge's address.
      assert.deepEqual(await answers(pod(0).peer, '10.96.0.9', 80), ['a 10.244.7.1', `b ${pod(0).ip}`]);
      assert.deepEqual(await answers(host, '10.96.0.9', 80), ['a 192.0.2.1', 'b 192.0.2.1']);
    });

  test('endpoints come and go; without any, and at other ports, callers are refused at once', async () => {
    await service('web', { clusterIP: '10.96.0.9' }, [{ ip: pod(1).ip }]);
    assert.deepEqual(await answers(pod(2).peer, '10.96.0.9', 80), [`b ${pod(2).ip}`]);
    await service('web', { clusterIP: '10.96.0.9' }, []);
    assert.equal(await pod(2).peer.call('tcp', '10.96.0.9', 80), 'ECONNREFUSED');
    assert.equal(await host.call('tcp', '10.96.0.9', 80), 'ECONNREFUSED');
    assert.equal(await pod(2).peer.call('tcp', '10.96.0.9', 81), 'ECONNREFUSED');
    assert.equal(await pod(2).peer.call('udp', '10.96.0.9', 81), 'ECONNREFUSED');
    assert.equal(await pod(2).peer.call('tcp', '10.96.0.250', 80, { timeoutMs: 200 }), 'timeout', 'nobody has it');
    await service('web', { clusterIP: '10.96.0.9' }, [{ ip: pod(0).ip }, { ip: pod(1).ip }, { ip: pod(2).ip }]);
    assert.equal((await answers(host, '10.96.0.9', 80, 60)).length, 3);
    const slice = {
      metadata: { namespace: 'default', name: 'web-IPv4', labels: { 'kubernetes.io/service-name': 'web' } },
      addressType: 'IPv4',
      ports: [{ name: 'p', port: 8080, protocol: 'TCP' }],
      endpoints: [{ addresses: [pod(1).ip], nodeName: 'here', conditions: { ready: true } }],
    };
    feed.put(EndpointSlice, slice);
    await settled();
    assert.deepEqual(await answers(host, '10.96.0.9', 80), ['b 192.0.2.1']);
    const labels = { ...slice.metadata.labels, 'service.kubernetes.io/headless': '' };
    feed.put(EndpointSlice, { ...slice, metadata: { ...slice.metadata, labels } });
    await settled();
    assert.equal(await host.call('tcp', '10.96.0.9', 80), 'ECONNREFUSED', 'slices of headless services lead nowhere');
  });

  test('a NodePort at chosen addresses of the node only', async () => {
    await proxy[Symbol.asyncDispose]();
    proxy = await start(['192.0.2.0/24']);
    const ports = [{ name: 'p', port: 80, protocol: 'TCP', nodePort: 30_088 }];
    await service('chosen', { type: 'NodePort', clusterIP: '10.96.0.88', ports }, [{ ip: pod(0).ip }]);
    assert.match(await stranger.call('tcp', '192.0.2.1', 30_088), /^a /);
    assert.match(await host.call('tcp', '192.0.2.1', 30_088), /^a /);
    for (const address of ['127.0.0.1', '10.244.7.1'])
      assert.equal(await host.call('tcp', address, 30_088), 'ECONNREFUSED');
    await service('chosen', { type: 'NodePort', clusterIP: '10.96.0.88', ports }, []);
    assert.equal(await stranger.call('tcp', '192.0.2.1', 30_088), 'ECONNREFUSED');
    await proxy[Symbol.asyncDispose]();
    proxy = await start();
    await settled();
  });

  test('a NodePort on every address of the node, also localhost', async () => {
    const ports = [{ name: 'p', port: 80, nodePort: 30080, protocol: 'TCP' }];
    await service('node', { type: 'NodePort', clusterIP: '10.96.0.10', ports }, [{ ip: pod(0).ip }]);
    assert.equal(await stranger.call('tcp', '192.0.2.1', 30080), 'a 192.0.2.2');
    assert.equal(await pod(1).peer.call('tcp', '192.0.2.1', 30080), `a ${pod(1).ip}`);
    assert.equal(await pod(1).peer.call('tcp', '10.244.7.1', 30080), `a ${pod(1).ip}`);
    assert.equal(await host.call('tcp', '192.0.2.1', 30080), 'a 192.0.2.1');
    assert.equal(await host.call('tcp', '127.0.0.1', 30080), 'a 10.244.7.1');
    await service('node', { type: 'NodePort', clusterIP: '10.96.0.10', ports }, []);
    assert.equal(await stranger.call('tcp', '192.0.2.1', 30080), 'ECONNREFUSED');
    assert.equal(await host.call('tcp', '127.0.0.1', 30080), 'ECONNREFUSED');
  });

  test('an endpoint on another node: callers from outside are masqueraded, pods are not', async () => {
    const ports = [{ name: 'p', port: 80, nodePort: 30081, protocol: 'TCP' }];
    const elsewhere = [{ ip: '192.0.2.3', on: 'there' }];
    await service('far', { type: 'NodePort', clusterIP: '10.96.0.11', ports }, elsewhere);
    // The machine outside calls itself by way of our node.
    assert.equal(await stranger.call('tcp', '192.0.2.1', 30081), 'stranger 192.0.2.1');
    assert.equal(await host.call('tcp', '10.96.0.11', 80), 'stranger 192.0.2.1');
    assert.equal(await pod(0).peer.call('tcp', '10.96.0.11', 80), 'stranger 192.0.2.1', 'outside the cluster CIDR');
  });

  test('externalTrafficPolicy Local keeps to the node; load balancer addresses heed their source ranges', async () => {
    const spec: Partial<Spec> = {
      type: 'LoadBalancer',
      clusterIP: '10.96.0.12',
      externalTrafficPolicy: 'Local',
      healthCheckNodePort: 31000,
      ports: [{ name: 'p', port: 80, nodePort: 30082, protocol: 'TCP' }],
    };
    const status = { loadBalancer: { ingress: [{ ip: '198.51.100.7' }] } };
    await service('lb', spec, [{ ip: pod(0).ip }, { ip: '192.0.2.3', on: 'there' }], status);
    assert.deepEqual(await answers(stranger, '198.51.100.7', 80), ['a 192.0.2.2']);
    assert.equal((await answers(pod(1).peer, '198.51.100.7', 80)).length, 2, 'pods reach all');
    const check = await fetch('http://127.0.0.1:31000/');
    assert.deepEqual(
      [check.status, await check.json()],
      [200, { service: { namespace: 'default', name: 'lb' }, localEndpoints: 1, serviceProxyHealthy: true }],
    );
    await service('lb', spec, [{ ip: '192.0.2.3', on: 'there' }], status);
    assert.equal(await stranger.call('tcp', '198.51.100.7', 80, { timeoutMs: 300 }), 'timeout');
    assert.equal((await fetch('http://127.0.0.1:31000/')).status, 503);
    const closed = { ...spec, loadBalancerSourceRanges: ['203.0.113.0/24', '10.244.0.0/16'] };
    await service('lb', closed, [{ ip: pod(0).ip }], status);
    assert.equal(await stranger.call('tcp', '198.51.100.7', 80, { timeoutMs: 300 }), 'timeout');
    assert.equal(await stranger.call('tcp', '192.0.2.1', 30082), 'a 192.0.2.2', 'the NodePort is open');
    assert.equal(await pod(1).peer.call('tcp', '198.51.100.7', 80), `a ${pod(1).ip}`);
    feed.delete(Service, { metadata: { namespace: 'default', name: 'lb' } } as Service);
    await settled();
    await assert.rejects(fetch('http://127.0.0.1:31000/'));
  });

  test('ClientIP affinity: a caller finds its endpoint again until that is gone', async () => {
    const spec: Partial<Spec> = { clusterIP: '10.96.0.13', sessionAffinity: 'ClientIP' };
    const ends = [{ ip: pod(0).ip }, { ip: pod(1).ip }];
    await service('sticky', spec, ends);
    const [first, ...others] = await answers(pod(2).peer, '10.96.0.13', 80);
    assert.deepEqual(others, []);
    // Another endpoint more changes nothing for it.
    await service('sticky', spec, [{ ip: pod(2).ip }, ...ends]);
    assert.deepEqual(await answers(pod(2).peer, '10.96.0.13', 80), [first]);
    const left = ends.filter(({ ip }) => ip !== (first?.startsWith('a') ? pod(0).ip : pod(1).ip));
    await service('sticky', spec, left);
    const name = first?.startsWith('a') ? 'b' : 'a';
    assert.deepEqual(await answers(pod(2).peer, '10.96.0.13', 80), [`${name} ${pod(2).ip}`]);
    await service('sticky', spec, ends);
    assert.deepEqual(await answers(pod(2).peer, '10.96.0.13', 80), [`${name} ${pod(2).ip}`], 'and stays there');
  });

  test('flows of UDP leave an endpoint that is gone', async () => {
    const ports = [{ name: 'p', port: 53, protocol: 'UDP' }];
    const spec: Partial<Spec> = { clusterIP: '10.96.0.14', ports };
    const ask = (timeoutMs = 3000) => pod(2).peer.call('udp', '10.96.0.14', 53, { localPort: 40_000, timeoutMs });
    await service('udp', spec, [{ ip: pod(0).ip }]);
    assert.equal(await ask(), `a ${pod(2).ip}`);
    await service('udp', spec, [{ ip: pod(1).ip }]);
    assert.equal(await ask(), `b ${pod(2).ip}`, 'from the same port');
    // The same when it went while nobody looked.
    await proxy[Symbol.asyncDispose]();
    await service('udp', spec, [{ ip: pod(0).ip }], undefined, false);
    proxy = await start();
    await proxy.ready;
    assert.equal(await ask(), `a ${pod(2).ip}`, 'after the proxy has started again');
  });

  test('an endpoint on the node itself, as cluster DNS is one', async () => {
    const ports = [{ name: 'dns', port: 53, protocol: 'UDP' }];
    await host.listen('udp', 8080, '10.244.7.1');
    await service('dns', { clusterIP: '10.96.0.15', ports }, [{ ip: '10.244.7.1' }]);
    assert.equal(await pod(0).peer.call('udp', '10.96.0.15', 53), `host ${pod(0).ip}`);
    assert.match(await host.call('udp', '10.96.0.15', 53), /^host /);
  });

  test('IPv6', async () => {
    const six = execFileSync('nsenter', [`--net=${pod(0).path}`, 'ip', '-6', '-o', 'addr', 'show', 'dev', 'eth0'], {
      encoding: 'utf8',
    });
    const ip = /inet6 (fd00:[^/]+)\/128/.exec(six)?.[1] ?? '';
    await service('six', { clusterIP: 'fd00:96::9', clusterIPs: ['fd00:96::9'] }, [{ ip }]);
    assert.match(await pod(1).peer.call('tcp', 'fd00:96::9', 80), /^a fd00:7::/);
    assert.equal(await pod(0).peer.call('tcp', 'fd00:96::9', 80), 'a fd00:7::1');
    assert.equal(await pod(0).peer.call('tcp', 'fd00:96::9', 81), 'ECONNREFUSED');
  });

  test('rules that somebody else has flushed come back; rules outlive the proxy', async () => {
    await service('web', { clusterIP: '10.96.0.9' }, [{ ip: pod(0).ip }]);
    for (const command of [
      ['flush', 'ruleset'],
      ['delete', 'table', 'inet', `windlass-${clusterId}`],
      ['flush', 'table', 'inet', `windlass-${clusterId}`],
    ]) {
      nft(...command);
      await clock.advance(4_000);
      for (const table of [`windlass-${clusterId}`, `windlass-${clusterId}-pods`])
        for (let tries = 0; tries < 500 && !isIntact(table); tries++)
          await new Promise(resolve => setImmediate(resolve));
      await settled();
      assert.equal(await pod(2).peer.call('tcp', '10.96.0.9', 80), `a ${pod(2).ip}`, command.join(' '));
    }
    await proxy[Symbol.asyncDispose]();
    assert.equal(await pod(2).peer.call('tcp', '10.96.0.9', 80), `a ${pod(2).ip}`);
    proxy = await start();
    await proxy.ready;
    assert.equal(await pod(2).peer.call('tcp', '10.96.0.9', 80), `a ${pod(2).ip}`);
  });

  test('a second cluster on the machine with the same service addresses', async () => {
    const other = { clusterId: 'def456', clusterCidrs: ['10.245.0.0/16'], clock };
    const otherFeed = objectFeed();
    using otherInformers = openInformers(otherFeed.client, { clock });
    const stateDir = join(directory, 'other');
    await using otherNetwork = await bridgeNetwork({ ...other, podCidrs: ['10.245.1.0/24'], stateDir });
    const path = join(directory, 'd');
    await namespaces.create({ paths: { net: path } });
    const { ips } = await otherNetwork.setup({ id: 'd', netnsPath: path, config: {} });
    await using peer = new Peer('d', path);
    await peer.listen('tcp', 8080);
    otherFeed.put(Service, {
      metadata: { namespace: 'default', name: 'web' },
      spec: { ...defaults, clusterIP: '10.96.0.9', ports: [{ name: 'p', port: 80, protocol: 'TCP' }] },
      status: { loadBalancer: {} },
    });
    otherFeed.put(EndpointSlice, {
      metadata: { namespace: 'default', name: 'web', labels: { 'kubernetes.io/service-name': 'web' } },
      addressType: 'IPv4',
      ports: [{ name: 'p', port: 8080, protocol: 'TCP' }],
      endpoints: ips.map(ip => ({ addresses: [ip], nodeName: 'other', conditions: {} })),
    });
    const ports = [{ name: 'p', port: 80, nodePort: 30083, protocol: 'TCP' }];
    await service('web', { type: 'NodePort', clusterIP: '10.96.0.9', ports }, [{ ip: pod(0).ip }]);
    const otherProxy = await startServiceProxy({
      ...other,
      informers: otherInformers,
      nodeName: 'other',
      log: silentLog,
    });
    await otherProxy.ready;
    assert.match(await peer.call('tcp', '10.96.0.9', 80), /^d /);
    assert.match(await pod(2).peer.call('tcp', '10.96.0.9', 80), /^a /);
    assert.equal(await peer.call('tcp', '192.0.2.1', 30083), 'a 10.244.7.1', 'the node port of the other cluster');
    await otherProxy[Symbol.asyncDispose]();
    await removeServiceProxy('def456');
    await otherNetwork.teardown({ id: 'd', netnsPath: path });
    await removeBridgeNetwork('def456');
    await releaseNamespace(path);
    assert.match(await pod(2).peer.call('tcp', '10.96.0.9', 80), /^a /);
  });

  test('two thousand services: the whole, and one change', async t => {
    const count = 2000;
    for (let index = 0; index < count; index++) {
      const name = `many-${index}`;
      const clusterIP = `10.97.${index >> 8}.${index & 255}`;
      feed.put(Service, {
        metadata: { namespace: 'default', name },
        spec: { ...defaults, clusterIP, ports: [{ port: 80, protocol: 'TCP' }] },
        status: { loadBalancer: {} },
      });
      feed.put(EndpointSlice, {
        metadata: { namespace: 'default', name, labels: { 'kubernetes.io/service-name': name } },
        addressType: 'IPv4',
        ports: [{ name: '', port: 8080, protocol: 'TCP' }],
        endpoints: [1, 2, 3, 4, 5].map(n => ({
          addresses: [`10.245.${index >> 5}.${((index & 31) << 3) + n}`],
          nodeName: 'there',
          conditions: { ready: true },
        })),
      });
    }
    await proxy[Symbol.asyncDispose]();
    for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve));
    const startMs = performance.now();
    proxy = await start();
    await proxy.ready;
    const loadMs = performance.now() - startMs;
    const cpu = process.cpuUsage();
    const changeMs: number[] = [];
    for (let round = 0; round < 10; round++) {
      const beforeMs = performance.now();
      await service('many-7', { clusterIP: '10.97.0.7' }, [{ ip: pod(round % 3).ip }]);
      changeMs.push(performance.now() - beforeMs);
    }
    const { user, system } = process.cpuUsage(cpu);
    assert.match(await pod(2).peer.call('tcp', '10.97.0.7', 80), /^a /);
    const median = changeMs.toSorted((left, right) => left - right)[5] ?? 0;
    t.diagnostic(
      `load ${loadMs.toFixed(0)} ms; one change ${median.toFixed(1)} ms, own CPU ${((user + system) / 10_000).toFixed(1)} ms`,
    );
    assert.ok(loadMs < 5_000 && median < 500, `${loadMs} ms, ${median} ms`);
  });
}
