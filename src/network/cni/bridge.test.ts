import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { after, before, test } from 'node:test';
import { isolated } from '#base/kernel/isolate.ts';
import { Namespaces, releaseNamespace } from '#base/kernel/namespace.ts';
import { ManualClock } from '#base/clock.ts';
import { makeOutside } from '../testing/outside.ts';
import { Peer } from '../testing/peer.ts';
import { bridgeNetwork, removeBridgeNetwork, type BridgeNetwork } from './bridge.ts';
import type { NetworkedSandbox, PortMapping } from './pod-network.ts';

const clusterId = 'abc123';
const nft = (...args: string[]) => execFileSync('nft', args, { encoding: 'utf8' });

if (isolated(import.meta.filename, [['--experimental-ffi'], []])) {
  const directory = mkdtempSync(join(tmpdir(), 'bridge-'));
  const stateDir = join(directory, 'state');
  const namespaces = new Namespaces();
  const clock = new ManualClock();
  const open = () =>
    bridgeNetwork({
      clusterId,
      podCidrs: ['10.244.7.0/24', 'fd00:7::/64'],
      clusterCidrs: ['10.244.0.0/16', 'fd00::/16'],
      stateDir,
      clock,
    });
  const made: string[] = [];
  const sandbox = async (id: string, portMappings: readonly PortMapping[] = []): Promise<NetworkedSandbox> => {
    const netnsPath = join(directory, id);
    await namespaces.create({ paths: { net: netnsPath } });
    made.push(netnsPath);
    return { id, netnsPath, config: { portMappings } };
  };
  /** Where the other machines are: 192.0.2.2 and a default route that leads there. */
  const outside = join(directory, 'outside');
  let network: BridgeNetwork;

  before(async () => {
    await makeOutside(namespaces, { netnsPath: outside, mtu: 1480 });
    network = await open();
  });

  after(async () => {
    await network[Symbol.asyncDispose]();
    await removeBridgeNetwork(clusterId);
    for (const path of [...made, outside]) await releaseNamespace(path);
    await namespaces[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
    assert.equal(nft('list', 'ruleset'), '');
  });

  test('the bridge fits the uplink and holds the gateways', () => {
    assert.equal(network.notReady(), undefined);
    assert.deepEqual(network.gateways, ['10.244.7.1', 'fd00:7::1']);
    assert.equal(network.mtu, 1480);
  });

  for (const bridgeFilter of ['0', '1'])
    test(`pods reach each other, the node and the outside, with bridge-nf-call-iptables ${bridgeFilter}`, async t => {
      const file = '/proc/sys/net/bridge/bridge-nf-call-iptables';
      if (existsSync(file)) writeFileSync(file, bridgeFilter);
      else if (bridgeFilter === '1') return t.skip('the kernel has no br_netfilter');
      const [one, two] = [await sandbox(`one-${bridgeFilter}`), await sandbox(`two-${bridgeFilter}`)];
      const { ips: from } = await network.setup(one);
      const { ips: to } = await network.setup(two);
      await network.check(one);
      await using caller = new Peer('one', one.netnsPath);
      await using callee = new Peer('two', two.netnsPath);
      await using host = new Peer('host');
      await using stranger = new Peer('stranger', outside);
      for (const peer of [callee, host, stranger]) await peer.listen('tcp', 8080);
      assert.equal(await caller.call('tcp', to[0] ?? '', 8080), `two ${from[0]}`);
      assert.equal(await caller.call('tcp', to[1] ?? '', 8080), `two ${from[1]}`);
      assert.equal(await caller.call('tcp', '10.244.7.1', 8080), `host ${from[0]}`);
      assert.equal(await caller.call('tcp', '192.0.2.2', 8080), 'stranger 192.0.2.1');
      assert.equal(await host.call('tcp', to[0] ?? '', 8080), 'two 10.244.7.1');
      for (const pod of [one, two]) await network.teardown(pod);
      await assert.rejects(network.check(one), /has no lease/);
    });

  test('host ports: from other machines, pods, the pod itself and localhost', async () => {
    const server = await sandbox('server', [
      { protocol: 'TCP', containerPort: 8080, hostPort: 80 },
      { protocol: 'UDP', containerPort: 5353, hostPort: 53, hostIp: '192.0.2.1' },
    ]);
    const client = await sandbox('client');
    const { ips } = await network.setup(server);
    const { ips: clientIps } = await network.setup(client);
    await using inside = new Peer('server', server.netnsPath);
    await using pod = new Peer('client', client.netnsPath);
    await using host = new Peer('host');
    await using stranger = new Peer('stranger', outside);
    await inside.listen('tcp', 8080);
    await inside.listen('udp', 5353);
    assert.equal(await stranger.call('tcp', '192.0.2.1', 80), 'server 192.0.2.2');
    assert.equal(await stranger.call('udp', '192.0.2.1', 53), 'server 192.0.2.2');
    assert.equal(await pod.call('tcp', '192.0.2.1', 80), `server ${clientIps[0]}`);
    assert.equal(await inside.call('tcp', '192.0.2.1', 80), 'server 10.244.7.1');
    assert.equal(await host.call('tcp', '192.0.2.1', 80), 'server 192.0.2.1');
    assert.equal(await host.call('tcp', '127.0.0.1', 80), 'server 10.244.7.1');
    assert.equal(await host.call('udp', '10.244.7.1', 53), 'ECONNREFUSED', 'bound to another address');

    const rival = await sandbox('rival', [{ protocol: 'TCP', containerPort: 1, hostPort: 80 }]);
    await assert.rejects(network.setup(rival), /cannot open host port tcp\/80: 10\.244\.7\.\d+:8080 has it/);

    // The rules are back after somebody has flushed them, and after the agent has started again.
    nft('flush', 'ruleset');
    await clock.advance(10_000);
    for (let tries = 0; tries < 200 && !/dnat/.test(nft('list', 'ruleset')); tries++)
      await new Promise(resolve => setImmediate(resolve));
    assert.equal(await stranger.call('tcp', '192.0.2.1', 80), 'server 192.0.2.2');
    await network[Symbol.asyncDispose]();
    network = await open();
    await network.reconcile([server, client]);
    assert.equal(await stranger.call('tcp', '192.0.2.1', 80), 'server 192.0.2.2');
    await network.check(server);

    await network.teardown(server);
    await network.teardown(server);
    await network.teardown(client);
    assert.equal(await stranger.call('tcp', '192.0.2.1', 80), 'ECONNREFUSED');
    // The pairs of addresses that may send are those of the whole range: everywhere else the pod is forgotten.
    const rules = nft('list', 'ruleset');
    const senders = /set senders4 \{.*?\n\t\}/s.exec(rules)?.[0] ?? '';
    const pairs = new Set(senders.match(/0a:58:[0-9a-f:]+ \. [\d.]+/g));
    assert.equal(pairs.size, 256);
    for (let last = 0; last < 256; last++)
      assert.ok(pairs.has(`0a:58:0a:f4:07:${last.toString(16).padStart(2, '0')} . 10.244.7.${last}`), String(last));
    assert.ok(!rules.replace(senders, '').includes(ips[0] ?? '?'));
  });

  test("a pod reaches nothing that listens on the node's loopback", async () => {
    const pod = await sandbox('sneaky');
    await network.setup(pod);
    await using host = new Peer('host');
    await using inside = new Peer('sneaky', pod.netnsPath);
    await host.listen('tcp', 9999, '127.0.0.1');
    assert.equal(await host.call('tcp', '127.0.0.1', 9999), 'host 127.0.0.1');
    const run = (...args: string[]) => execFileSync('nsenter', [`--net=${pod.netnsPath}`, ...args]);
    run('ip', 'addr', 'del', '127.0.0.1/8', 'dev', 'lo');
    run('sh', '-c', 'echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet');
    run('ip', 'route', 'add', '127.0.0.0/8', 'via', '10.244.7.1', 'dev', 'eth0', 'onlink');
    assert.equal(await inside.call('tcp', '127.0.0.1', 9999, { timeoutMs: 300 }), 'timeout');
    await network.teardown(pod);
  });

  test("a pod cannot send with another's hardware address", async () => {
    const [thief, victim] = [await sandbox('thief'), await sandbox('victim')];
    await network.setup(thief);
    const { ips } = await network.setup(victim);
    await using host = new Peer('host');
    await using caller = new Peer('thief', thief.netnsPath);
    await using callee = new Peer('victim', victim.netnsPath);
    await callee.listen('tcp', 8080);
    await host.listen('tcp', 8081);
    assert.match(await caller.call('tcp', '10.244.7.1', 8081), /^host /);
    const mac = `0a:58:0a:f4:07:${Number(ips[0]?.split('.')[3]).toString(16).padStart(2, '0')}`;
    execFileSync('nsenter', [`--net=${thief.netnsPath}`, 'ip', 'link', 'set', 'eth0', 'address', mac]);
    assert.equal(await caller.call('tcp', '10.244.7.1', 8081, { timeoutMs: 300 }), 'timeout');
    assert.match(await host.call('tcp', ips[0] ?? '', 8080), /^victim /);
    for (const pod of [thief, victim]) await network.teardown(pod);
  });

  test("a pod cannot send from another's address, nor past the host's routing", async () => {
    const [thief, victim, friend] = [await sandbox('forger'), await sandbox('wronged'), await sandbox('friend')];
    const { ips: own } = await network.setup(thief);
    const { ips } = await network.setup(victim);
    const { ips: to } = await network.setup(friend);
    await using caller = new Peer('forger', thief.netnsPath);
    await using callee = new Peer('friend', friend.netnsPath);
    await using wronged = new Peer('wronged', victim.netnsPath);
    const inThief = (...args: string[]) => execFileSync('nsenter', [`--net=${thief.netnsPath}`, ...args]);
    // A caller of UDP sees no refusal, so an answer would tell that the datagram has arrived with the false address.
    for (const peer of [callee, wronged]) await peer.listen('udp', 5000, '::');
    const seen = () => nft('list', 'table', 'inet', 'counting');
    for (const [index, ip] of ips.entries()) {
      const target = to[index] ?? '';
      nft('-f', arrivals(directory, `${ip.includes(':') ? 'ip6' : 'ip'} saddr ${ip}`));
      assert.equal(await caller.call('udp', target, 5000), `friend ${own[index]}`);
      const wide = ip.includes(':') ? 128 : 32;
      inThief('ip', 'addr', 'add', `${ip}/${wide}`, 'dev', 'eth0', ...(wide === 128 ? ['nodad'] : []));
      inThief('ip', 'addr', 'del', `${own[index]}/${wide}`, 'dev', 'eth0');
      assert.equal(await caller.call('udp', target, 5000, { timeoutMs: 200 }), 'timeout');
      assert.ok(!/packets [1-9]/.test(seen()), seen());
      assert.equal(await wronged.call('udp', target, 5000), `friend ${ip}`);
      assert.match(seen(), /packets [1-9]/, 'the counter counts');
      nft('delete', 'table', 'inet', 'counting');
      inThief('ip', 'addr', 'del', `${ip}/${wide}`, 'dev', 'eth0');
      inThief('ip', 'addr', 'add', `${own[index]}/${wide}`, 'dev', 'eth0', ...(wide === 128 ? ['nodad'] : []));
    }
    // Straight to the other's hardware address, which is no secret.
    const last = Number(to[0]?.split('.')[3]).toString(16).padStart(2, '0');
    inThief('ip', 'route', 'add', `${to[0]}/32`, 'dev', 'eth0');
    inThief('ip', 'neigh', 'add', to[0] ?? '', 'lladdr', `0a:58:0a:f4:07:${last}`, 'dev', 'eth0');
    assert.equal(await caller.call('udp', to[0] ?? '', 5000, { timeoutMs: 200 }), 'timeout');
    // Nobody hears who asks for an address, so nobody can answer in another's place.
    inThief('ip', 'neigh', 'del', to[0] ?? '', 'dev', 'eth0');
    assert.match(await caller.call('udp', to[0] ?? '', 5000, { timeoutMs: 200 }), /timeout|EHOSTUNREACH/);
    assert.match(String(inThief('ip', 'neigh', 'show', to[0] ?? '')), /FAILED|INCOMPLETE|^$/);
    for (const pod of [thief, victim, friend]) await network.teardown(pod);
  });

  test('a host that forwards nothing by default lets pods through', async () => {
    const iptables = (...args: string[]) => execFileSync('iptables', args, { encoding: 'utf8' });
    const pod = await sandbox('docked');
    await network.setup(pod);
    await using inside = new Peer('docked', pod.netnsPath);
    await using stranger = new Peer('stranger', outside);
    await stranger.listen('tcp', 8082);
    iptables('-P', 'FORWARD', 'DROP');
    assert.equal(await inside.call('tcp', '192.0.2.2', 8082, { timeoutMs: 300 }), 'timeout');
    for (let start = 0; start < 2; start++) {
      await network[Symbol.asyncDispose]();
      network = await open();
      assert.equal(await inside.call('tcp', '192.0.2.2', 8082), 'stranger 192.0.2.1');
      assert.equal(iptables('-S', 'FORWARD').match(/wl-abc123/g)?.length, 2);
    }
    await network.teardown(pod);
    await network[Symbol.asyncDispose]();
    await removeBridgeNetwork(clusterId);
    assert.equal(iptables('-S', 'FORWARD'), '-P FORWARD DROP\n');
    iptables('-P', 'FORWARD', 'ACCEPT');
    nft('delete', 'table', 'ip', 'filter');
    network = await open();
  });

  test('a bridge that somebody takes away comes back, with its pods', async () => {
    const [one, two] = [await sandbox('left'), await sandbox('right')];
    await network.setup(one);
    const { ips: to } = await network.setup(two);
    await using caller = new Peer('left', one.netnsPath);
    await using callee = new Peer('right', two.netnsPath);
    await callee.listen('tcp', 8080);
    const answers = async () => {
      for (const ip of to)
        if (!(await caller.call('tcp', ip, 8080, { timeoutMs: 200 })).startsWith('right ')) return false;
      return true;
    };
    const hands = [
      ['link', 'delete', 'wl-abc123'],
      ['link', 'set', 'wl-abc123', 'down'],
      ['address', 'flush', 'dev', 'wl-abc123'],
      ['neighbour', 'flush', 'nud', 'permanent', 'dev', 'wl-abc123'],
    ];
    const neighbours = () =>
      execFileSync('ip', ['neigh', 'show', 'nud', 'permanent'], { encoding: 'utf8' }).split('\n').toSorted();
    const before = neighbours();
    const isMended = async () => isDeepStrictEqual(neighbours(), before) && (await answers());
    for (const hand of hands) {
      execFileSync('ip', hand);
      assert.equal(await isMended(), false, hand.join(' '));
      for (let attempt = 0; attempt < 50; attempt++) {
        // Without ffi nobody tells of changes, and looks are 5 s apart.
        await clock.advance(5_000);
        if (await isMended()) break;
      }
      assert.ok(await isMended(), hand.join(' '));
      await network.check(one);
    }
    for (const pod of [one, two]) await network.teardown(pod);
  });

  test('an agent that was killed gives back what its dead sandboxes had', async () => {
    const [dead, alive] = [await sandbox('dead'), await sandbox('alive')];
    const { ips } = await network.setup(dead);
    const { ips: kept } = await network.setup(alive);
    await network[Symbol.asyncDispose]();
    writeFileSync(join(stateDir, 'leases', 'torn.json.new'), '{"sandbo');
    await releaseNamespace(dead.netnsPath);
    network = await open();
    await network.reconcile([alive]);
    await network.check(alive);
    assert.deepEqual(readdirSync(join(stateDir, 'leases')), ['alive.json']);
    const links = execFileSync('ip', ['-o', 'link', 'show', 'type', 'veth'], { encoding: 'utf8' });
    assert.equal(links.match(/wvabc123/g)?.length, 1);
    assert.ok(!execFileSync('ip', ['neigh'], { encoding: 'utf8' }).includes(ips[0] ?? '?'));
    const next = await sandbox('next');
    assert.notEqual((await network.setup(next)).ips[0], kept[0]);
    for (const pod of [alive, next]) await network.teardown(pod);
    assert.deepEqual(readdirSync(join(stateDir, 'leases')), []);
  });

  test('a failed setup leaves nothing behind', async () => {
    const missing = { id: 'missing', netnsPath: join(directory, 'missing'), config: {} };
    await assert.rejects(network.setup(missing));
    assert.deepEqual(readdirSync(join(stateDir, 'leases')), []);
    await assert.rejects(network.setup({ ...missing, id: '../evil' }), /not a name for a file/);
  });

  test('setting up and taking down again and again', async t => {
    const pods: NetworkedSandbox[] = [];
    for (let index = 0; index < 20; index++) pods.push(await sandbox(`many-${index}`));
    const startMs = performance.now();
    for (const pod of pods) await network.setup(pod);
    const setupMs = (performance.now() - startMs) / pods.length;
    const teardownStartMs = performance.now();
    await Promise.all(pods.map(pod => network.teardown(pod)));
    const teardownMs = (performance.now() - teardownStartMs) / pods.length;
    t.diagnostic(`setup ${setupMs.toFixed(1)} ms, teardown ${teardownMs.toFixed(1)} ms a pod`);
    assert.deepEqual(readdirSync(join(stateDir, 'leases')), []);
  });

  test('a network without addresses says so', async () => {
    await using small = await bridgeNetwork({
      clusterId: 'def456',
      podCidrs: ['10.99.0.0/29'],
      stateDir: join(directory, 'small'),
    });
    const pods = await Promise.all([0, 1, 2, 3, 4, 5].map(index => sandbox(`small-${index}`)));
    for (const pod of pods.slice(0, 5)) await small.setup(pod);
    await assert.rejects(small.setup(pods[5] as NetworkedSandbox), /no addresses are free in 10\.99\.0\.0\/29/);
    for (const pod of pods) await small.teardown(pod);
    await removeBridgeNetwork('def456');
  });
}

/** A file of a rule that counts what is forwarded behind the pod network's own rules. */
function arrivals(directory: string, condition: string): string {
  const path = join(directory, 'arrivals.nft');
  const chain = `type filter hook forward priority 10;\niifname "wl-*" ${condition} counter`;
  writeFileSync(path, `table inet counting {\nchain arrivals {\n${chain}\n}\n}\n`);
  return path;
}
