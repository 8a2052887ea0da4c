import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { Service } from '#api/core/v1/service.ts';
import { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { NetworkPolicy } from '#api/networking/v1/network-policy.ts';
import { ManualClock } from '#base/clock.ts';
import { isolated } from '#base/kernel/isolate.ts';
import { Namespaces, releaseNamespace } from '#base/kernel/namespace.ts';
import { silentLog } from '#base/log.ts';
import { openInformers } from '#client/informers.ts';
import { objectFeed } from '#client/testing/object-feed.ts';
import { bridgeNetwork, removeBridgeNetwork, type BridgeNetwork } from '../cni/bridge.ts';
import type { PortMapping } from '../cni/pod-network.ts';
import { removeServiceProxy, startServiceProxy, type ServiceProxy } from '../proxy/proxy.ts';
import { makeOutside } from '../testing/outside.ts';
import { Peer } from '../testing/peer.ts';
import { openNetworkPolicies, removeNetworkPolicies, type NetworkPolicies } from './policies.ts';

const clusterId = 'abc123';
const nft = (...args: string[]) => execFileSync('nft', args, { encoding: 'utf8' });
const hasTable = () => nft('list', 'tables').includes('-policies');

interface TestPod {
  readonly name: string;
  readonly ip: string;
  readonly ip6: string;
  readonly peer: Peer;
  relabel(labels: Record<string, string>): Promise<void>;
  remove(): Promise<void>;
}

type Spec = NetworkPolicy['spec'];

if (isolated(import.meta.filename)) {
  const directory = mkdtempSync(join(tmpdir(), 'policy-'));
  const namespaces = new Namespaces();
  const clock = new ManualClock();
  const feed = objectFeed();
  const informers = openInformers(feed.client, { clock });
  /** Another machine: 192.0.2.2 and 192.0.2.3. */
  const outside = join(directory, 'outside');
  let policies: NetworkPolicies;
  let network: BridgeNetwork;
  let proxy: ServiceProxy;
  let host: Peer;
  let stranger: Peer;
  let web: TestPod;
  let client: TestPod;
  let other: TestPod;
  const pods: TestPod[] = [];
  const written: NetworkPolicy[] = [];

  const openAgent = async () => {
    policies = openNetworkPolicies({ clusterId, nodeNames: ['here'], clock, log: silentLog });
    network = await bridgeNetwork({
      clusterId,
      podCidrs: ['10.244.7.0/24', 'fd00:7::/64'],
      clusterCidrs: ['10.244.0.0/16', 'fd00::/16'],
      stateDir: join(directory, 'state'),
      gate: policies,
      clock,
    });
  };
  /** The feed's events pass the informers before anybody sees them. */
  const settled = async () => {
    for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve));
    await policies.settled();
    for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve));
    await policies.settled();
  };
  const policy = async (name: string, spec: Partial<Spec>, namespace = 'shop') => {
    const object = { metadata: { namespace, name }, spec: { podSelector: {}, policyTypes: ['Ingress'], ...spec } };
    written.push(object as NetworkPolicy);
    feed.put(NetworkPolicy, object as NetworkPolicy);
    await settled();
  };
  const startPod = async (
    name: string,
    namespace: string,
    labels: Record<string, string>,
    portMappings: readonly PortMapping[] = [],
  ): Promise<TestPod> => {
    const netnsPath = join(directory, name);
    await namespaces.create({ paths: { net: netnsPath } });
    const metadata = { name, namespace, uid: name };
    const object = (its: Record<string, string>) =>
      ({
        metadata: { ...metadata, labels: its },
        spec: {
          nodeName: 'here',
          containers: [{ name: 'c', ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }] }],
        },
      }) as unknown as Pod;
    feed.put(Pod, object(labels));
    const { ips } = await network.setup({ id: name, netnsPath, config: { metadata, labels, portMappings } });
    const peer = new Peer(name, netnsPath);
    for (const port of [8080, 9090]) await peer.listen('tcp', port);
    await peer.listen('udp', 5353);
    const pod: TestPod = {
      name,
      ip: ips[0] ?? '',
      ip6: ips[1] ?? '',
      peer,
      async relabel(now) {
        feed.put(Pod, object(now));
        await settled();
      },
      async remove() {
        feed.delete(Pod, object(labels));
        await peer[Symbol.asyncDispose]();
        await network.teardown({ id: name, netnsPath });
        await releaseNamespace(netnsPath);
        pods.splice(pods.indexOf(pod), 1);
      },
    };
    pods.push(pod);
    return pod;
  };
  /** Who answers. */
  const ask = async (from: Peer, to: string, port = 8080, protocol: 'tcp' | 'udp' = 'tcp', timeoutMs = 3000) =>
    (await from.call(protocol, to, port, { timeoutMs })).split(' ')[0];
  const silence = async (from: Peer, to: string, port = 8080, protocol: 'tcp' | 'udp' = 'tcp') =>
    assert.equal(await ask(from, to, port, protocol, 120), 'timeout');

  before(async () => {
    await makeOutside(namespaces, { netnsPath: outside, alsoAddresses: ['192.0.2.3/24'] });
    await openAgent();
    for (const [name, team] of [
      ['shop', 'a'],
      ['office', 'b'],
    ])
      feed.put(Namespace, { metadata: { name: name ?? '', labels: { team: team ?? '' } } } as unknown as Namespace);
    policies.follow(informers);
    web = await startPod('web', 'shop', { app: 'web' }, [{ protocol: 'TCP', containerPort: 8080, hostPort: 80 }]);
    client = await startPod('client', 'shop', { app: 'client' });
    other = await startPod('other', 'office', { app: 'client' });
    host = new Peer('host');
    await host.listen('tcp', 7070);
    stranger = new Peer('stranger', outside);
    for (const port of [8080, 9090]) await stranger.listen('tcp', port);
    feed.put(Service, {
      metadata: { namespace: 'shop', name: 'web' },
      spec: {
        type: 'NodePort',
        sessionAffinity: 'None',
        clusterIP: '10.96.0.10',
        clusterIPs: ['10.96.0.10'],
        ports: [{ name: 'p', port: 80, protocol: 'TCP', nodePort: 30080 }],
      },
      status: { loadBalancer: {} },
    } as unknown as Service);
    feed.put(EndpointSlice, {
      metadata: { namespace: 'shop', name: 'web', labels: { 'kubernetes.io/service-name': 'web' } },
      addressType: 'IPv4',
      ports: [{ name: 'p', port: 8080, protocol: 'TCP' }],
      endpoints: [{ addresses: [web.ip], nodeName: 'here', conditions: { ready: true } }],
    } as unknown as EndpointSlice);
    proxy = await startServiceProxy({
      informers,
      nodeName: 'here',
      clusterId,
      clusterCidrs: ['10.244.0.0/16', 'fd00::/16'],
      serviceCidrs: ['10.96.0.0/12'],
      clock,
      log: silentLog,
    });
    await proxy.ready;
  });

  afterEach(async () => {
    for (const object of written.splice(0)) feed.delete(NetworkPolicy, object);
    await settled();
    assert.ok(!hasTable(), 'without policies there is nothing in the way of packets');
  });

  after(async () => {
    for (const peer of [host, stranger]) await peer[Symbol.asyncDispose]();
    while (pods.length > 0) await pods[0]?.remove();
    await proxy[Symbol.asyncDispose]();
    await network[Symbol.asyncDispose]();
    await policies[Symbol.asyncDispose]();
    await removeServiceProxy(clusterId);
    await removeBridgeNetwork(clusterId);
    await removeNetworkPolicies(clusterId);
    informers[Symbol.dispose]();
    await releaseNamespace(outside);
    await namespaces[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
    assert.equal(nft('list', 'ruleset'), '');
  });

  test('default deny of what comes in: the node still reaches the pod, and the pod others', async () => {
    assert.equal(await ask(client.peer, web.ip), 'web');
    await policy('deny', {});
    for (const address of [web.ip, web.ip6]) {
      await silence(client.peer, address);
      await silence(client.peer, address, 5353, 'udp');
      assert.equal(await ask(host, address), 'web');
    }
    assert.equal(await ask(web.peer, other.ip), 'other');
    assert.equal(await ask(web.peer, '192.0.2.2'), 'stranger');
    // Neither service, nor node port, nor host port is a way around it.
    await silence(client.peer, '10.96.0.10', 80);
    await silence(client.peer, '192.0.2.1', 30080);
    await silence(stranger, '192.0.2.1', 30080);
    await silence(stranger, '192.0.2.1', 80);
    assert.equal(await ask(web.peer, '10.96.0.10', 80), 'web', 'nobody is shut off from itself');
    assert.equal(await ask(host, '192.0.2.1', 30080), 'web');
  });

  test('default deny of what goes out: the own node is still there, and answers go out', async () => {
    await policy('deny', { policyTypes: ['Egress'], podSelector: { matchLabels: { app: 'client' } } });
    await silence(client.peer, web.ip);
    await silence(client.peer, web.ip6);
    await silence(client.peer, '10.96.0.10', 80);
    await silence(client.peer, '192.0.2.2');
    assert.equal(await ask(client.peer, '192.0.2.1', 7070), 'host');
    assert.equal(await ask(web.peer, client.ip), 'client');
    assert.equal(await ask(other.peer, web.ip), 'web', 'pods of other namespaces are not selected');
  });

  test('several policies allow what one of them allows', async () => {
    const toWeb = { podSelector: { matchLabels: { app: 'web' } } };
    await policy('deny', {});
    await policy('client', { ...toWeb, ingress: [{ from: [{ podSelector: { matchLabels: { app: 'client' } } }] }] });
    assert.equal(await ask(client.peer, web.ip), 'web');
    assert.equal(await ask(client.peer, web.ip6), 'web');
    assert.equal(await ask(client.peer, '10.96.0.10', 80), 'web');
    await silence(other.peer, web.ip); // the same labels in another namespace
    await silence(web.peer, client.ip);
    await policy('office', { ...toWeb, ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: 'b' } } }] }] });
    assert.equal(await ask(other.peer, web.ip), 'web');
    assert.equal(await ask(client.peer, web.ip), 'web');
    // Both sides have a say.
    await policy('quiet', { policyTypes: ['Egress'] }, 'office');
    await silence(other.peer, web.ip);
  });

  test('labels of pods and namespaces that change count at once', async () => {
    await policy('some', {
      podSelector: { matchLabels: { app: 'web' } },
      ingress: [
        {
          from: [
            { namespaceSelector: { matchLabels: { team: 'c' } }, podSelector: { matchLabels: { app: 'client' } } },
          ],
        },
      ],
    });
    const label = async (team: string) => {
      feed.put(Namespace, { metadata: { name: 'office', labels: { team } } } as unknown as Namespace);
      await settled();
    };
    await silence(other.peer, web.ip);
    await label('c');
    assert.equal(await ask(other.peer, web.ip), 'web');
    await other.relabel({ app: 'none' });
    await silence(other.peer, web.ip);
    await other.relabel({ app: 'client' });
    assert.equal(await ask(other.peer, web.ip), 'web');
    await label('b');
    await silence(other.peer, web.ip);
    await web.relabel({ app: 'free' });
    assert.equal(await ask(other.peer, web.ip), 'web');
    await web.relabel({ app: 'web' });
  });

  test('ports by number, range, protocol and name', async () => {
    const allow = (ports: NonNullable<NonNullable<Spec['ingress']>[number]['ports']>) =>
      policy('ports', { podSelector: { matchLabels: { app: 'web' } }, ingress: [{ ports }] });
    const reached = () =>
      Promise.all([
        ask(client.peer, web.ip, 8080, 'tcp', 300),
        ask(client.peer, web.ip6, 9090, 'tcp', 300),
        ask(client.peer, web.ip, 5353, 'udp', 300),
      ]);
    await allow([{ protocol: 'TCP', port: 8080 }]);
    assert.deepEqual(await reached(), ['web', 'timeout', 'timeout']);
    assert.equal(await ask(client.peer, '10.96.0.10', 80), 'web', 'the port of the pod, not of the service');
    await allow([{ protocol: 'TCP', port: 9000, endPort: 9100 }]);
    assert.deepEqual(await reached(), ['timeout', 'web', 'timeout']);
    await allow([{ protocol: 'UDP' }]);
    assert.deepEqual(await reached(), ['timeout', 'timeout', 'web']);
    await allow([{ protocol: 'TCP', port: 'http' }]);
    assert.deepEqual(await reached(), ['web', 'timeout', 'timeout']);
    await policy('ports', {
      podSelector: { matchLabels: { app: 'client' } },
      policyTypes: ['Egress'],
      egress: [{ to: [{ podSelector: { matchLabels: { app: 'web' } } }], ports: [{ protocol: 'TCP', port: 'http' }] }],
    });
    assert.deepEqual(await reached(), ['web', 'timeout', 'timeout']);
    await silence(client.peer, other.ip);
  });

  test('blocks with exceptions, for outside and for pods', async () => {
    await policy('out', {
      policyTypes: ['Egress'],
      podSelector: { matchLabels: { app: 'client' } },
      egress: [{ to: [{ ipBlock: { cidr: '192.0.2.0/24', except: ['192.0.2.3/32'] } }] }],
    });
    assert.equal(await ask(client.peer, '192.0.2.2'), 'stranger');
    await silence(client.peer, '192.0.2.3');
    await silence(client.peer, web.ip);
    await policy('in', {
      podSelector: { matchLabels: { app: 'web' } },
      ingress: [
        { from: [{ ipBlock: { cidr: '192.0.2.2/32' } }] },
        { from: [{ ipBlock: { cidr: 'fd00::/16' } }], ports: [{ protocol: 'TCP', port: 9090 }] },
      ],
    });
    assert.equal(await ask(stranger, '192.0.2.1', 30080), 'web', 'callers keep their addresses');
    await silence(other.peer, web.ip);
    await silence(other.peer, web.ip6);
    assert.equal(await ask(other.peer, web.ip6, 9090), 'web');
  });

  test('the kernel understands every form of a rule', async () => {
    await policy('forms', {
      policyTypes: ['Ingress', 'Egress'],
      ingress: [
        {
          from: [
            { ipBlock: { cidr: '0.0.0.0/0', except: ['10.0.0.0/8', '10.1.0.0/16'] } },
            { ipBlock: { cidr: '::/0', except: ['fd00::/8'] } },
            { ipBlock: { cidr: '192.0.2.77/24' } },
            { podSelector: {}, namespaceSelector: {} },
          ],
          ports: [
            { protocol: 'SCTP', port: 7 },
            { protocol: 'SCTP', port: 'sctp-port' },
            { protocol: 'SCTP' },
            { protocol: 'UDP', port: 1, endPort: 65_535 },
            { protocol: 'UDP', port: 53 },
            { protocol: 'TCP', port: 65_535 },
          ],
        },
      ],
      egress: [{ ports: [{ protocol: 'UDP', port: 'dns' }] }, { to: [{ ipBlock: { cidr: '::ffff:0:0/96' } }] }, {}],
    });
    const table = nft('list', 'table', 'inet', 'windlass-abc123-policies');
    for (const part of ['sctp dport 7', 'udp dport 1-65535', '!= fd00::/8', '192.0.2.0/24', 'ip daddr . udp dport @'])
      assert.ok(table.includes(part), `${part} in ${table}`);
    await silence(client.peer, web.ip);
    assert.equal(await ask(client.peer, web.ip, 5353, 'udp'), 'web');
    assert.equal(await ask(client.peer, web.ip6, 5353, 'udp'), 'web');
  });

  test('a new pod is shut off from its first packet, and let in by its labels', async () => {
    await policy('deny', { policyTypes: ['Ingress', 'Egress'] });
    await policy('guests', {
      podSelector: { matchLabels: { app: 'web' } },
      ingress: [{ from: [{ podSelector: { matchLabels: { app: 'guest' } } }] }],
    });
    await policy('may', {
      policyTypes: ['Egress'],
      podSelector: { matchLabels: { app: 'guest' } },
      egress: [{ to: [{ podSelector: { matchLabels: { app: 'web' } } }] }],
    });
    // Nothing but its sandbox tells of it: the API has no address yet.
    const guest = await startPod('guest', 'shop', { app: 'guest' });
    const table = nft('list', 'table', 'inet', 'windlass-abc123-policies');
    assert.ok(table.includes(guest.ip) && table.includes(guest.ip6));
    assert.equal(await ask(guest.peer, web.ip), 'web');
    await silence(guest.peer, client.ip);
    await silence(client.peer, guest.ip);
    await guest.remove();
    await settled();
    const left = nft('list', 'table', 'inet', 'windlass-abc123-policies');
    assert.ok(!left.includes(guest.ip), left);
  });

  test('without an agent that knows the policies no pod begins to speak', async () => {
    const waiting = openNetworkPolicies({ clusterId, nodeNames: ['here'], clock, log: silentLog });
    const pod = { uid: 'early', namespace: 'shop', name: 'early', labels: {} };
    const signal = AbortSignal.timeout(20);
    await assert.rejects(waiting.admit('early', pod, ['10.244.7.99'], signal), { name: 'TimeoutError' });
    await waiting[Symbol.asyncDispose]();
    await assert.rejects(waiting.admit('early', pod, ['10.244.7.99']), /were closed/);
  });

  test('an agent that starts again takes over, and rules flushed by hand come back', async () => {
    await policy('deny', {});
    await network[Symbol.asyncDispose]();
    await policies[Symbol.asyncDispose]();
    await silence(client.peer, web.ip); // while there is no agent
    await openAgent();
    await silence(client.peer, web.ip); // before it has read the policies
    policies.follow(informers);
    await settled();
    await silence(client.peer, web.ip);
    assert.equal(await ask(host, web.ip), 'web');

    nft('flush', 'ruleset');
    await clock.advance(10_000);
    for (let tries = 0; tries < 200 && !(hasTable() && nft('list', 'ruleset').includes('dnat')); tries++)
      await new Promise(resolve => setImmediate(resolve));
    await settled();
    await silence(client.peer, web.ip);
    assert.equal(await ask(host, web.ip), 'web');
  });

  test('connections that were made before a policy go on', async () => {
    const port = 5353;
    const first = await client.peer.call('udp', web.ip, port, { localPort: 40_000 });
    assert.match(first, /^web /);
    await policy('deny', {});
    assert.equal(
      (await client.peer.call('udp', web.ip, port, { localPort: 40_000, timeoutMs: 250 })).split(' ')[0],
      'web',
    );
    await silence(client.peer, web.ip, port, 'udp');
  });

  test('chains and sets that nobody needs are gone', async () => {
    const from = (app: string) => ({ ingress: [{ from: [{ podSelector: { matchLabels: { app } } }] }] });
    await policy('first', from('client'));
    const lines = () => nft('list', 'table', 'inet', 'windlass-abc123-policies').match(/^\t(chain|set) /gm)?.length;
    const before = lines();
    for (const app of ['a', 'b', 'c', 'client', 'd', 'client']) await policy('first', from(app));
    assert.equal(lines(), before);
    assert.equal(await ask(client.peer, web.ip), 'web');
  });

  test('a refused change leaves a whole table behind', async () => {
    await policy('deny', {});
    writeFileSync(join(directory, 'odd.nft'), 'delete table inet windlass-abc123-policies\n');
    nft('-f', join(directory, 'odd.nft'));
    await policy('more', { policyTypes: ['Egress'], podSelector: { matchLabels: { app: 'web' } } });
    await silence(client.peer, web.ip);
    await silence(web.peer, other.ip);
    assert.equal(await ask(host, web.ip), 'web');
  });
}
