import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { isolated } from '#base/kernel/isolate.ts';
import { Namespaces, releaseNamespace } from '#base/kernel/namespace.ts';
import { Netlink } from '#base/kernel/netlink.ts';
import { silentLog } from '#base/log.ts';
import { removeBridgeNetwork } from '../bridge.ts';
import type { LeasedPod, NetworkedSandbox, NodeNetwork, PortMapping } from '../pod-network.ts';
import { Peer } from '../../testing/peer.ts';
import { findNetwork } from './configuration.ts';
import { pluginNetwork } from './network.ts';

/** Debian's containernetworking-plugins. */
const reference = '/usr/lib/cni';

const directory = mkdtempSync(join(tmpdir(), 'cni-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function folder(name: string, files: Readonly<Record<string, unknown>>): string {
  const path = join(directory, name);
  mkdirSync(path, { recursive: true });
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(join(path, file, '..'), { recursive: true });
    writeFileSync(join(path, file), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return path;
}

describe('configuration', () => {
  const list = (name: string, ...types: string[]) => ({
    cniVersion: '1.0.0',
    name,
    plugins: types.map(type => ({ type })),
  });

  test('the first file by name that is right counts; the others are complained of', () => {
    const { list: found, problems } = findNetwork(
      folder('first', {
        '00-notes.txt': 'no configuration',
        '05-torn.conflist': '{"name": "x"',
        '06-empty.conflist': list('x'),
        '07-away.conf': { name: 'x', type: '../../bin/sh' },
        '10-b.conflist': list('second', 'bridge', 'portmap'),
        '20-a.conflist': list('third', 'ptp'),
      }),
    );
    assert.equal(found?.name, 'second');
    assert.deepEqual(
      found.plugins.map(({ type }) => type),
      ['bridge', 'portmap'],
    );
    assert.equal(problems.length, 3);
    assert.match(
      problems.join(),
      /05-torn.*06-empty\.conflist: it names no plugins.*"\.\.\/\.\.\/bin\/sh" is no type of plugin/s,
    );
  });

  test('a single plugin is a list of one', () => {
    const { list: found } = findNetwork(
      folder('single', { 'a.conf': { cniVersion: '0.4.0', name: 'one', type: 'ptp' } }),
    );
    assert.deepEqual([found?.name, found?.cniVersion, found?.plugins[0]?.type], ['one', '0.4.0', 'ptp']);
  });

  test('plugins of other files join a network, unless it says no (CNI 1.1)', () => {
    const more = { 'net/10-tuning.conf': { type: 'tuning' } };
    const joined = findNetwork(folder('joined', { 'a.conflist': list('net', 'bridge'), ...more })).list;
    assert.deepEqual(
      joined?.plugins.map(({ type }) => type),
      ['bridge', 'tuning'],
    );
    const alone = { ...list('net', 'bridge'), loadOnlyInlinedPlugins: true };
    assert.equal(findNetwork(folder('alone', { 'a.conflist': alone, ...more })).list?.plugins.length, 1);
  });

  test('no folder is no network', () =>
    assert.deepEqual(findNetwork(join(directory, 'absent')), { list: undefined, problems: [] }));
});

/** A plugin that writes down how it is called, and answers as the file `<type>.answer` says. */
const recorder = (log: string) => `#!/bin/sh
input=$(cat)
type=$(basename "$0")
printf '%s %s %s [%s] %s\\n' "$CNI_COMMAND" "$type" "$CNI_CONTAINERID" "$CNI_ARGS" "$input" >>${log}
answer=${directory}/$type.$CNI_COMMAND
[ -f "$answer" ] && { cat "$answer"; exit 1; }
[ "$CNI_COMMAND" = ADD ] && echo '{"cniVersion":"1.1.0","by":"'$type'","interfaces":[{"name":"h0","sandbox":""},{"name":"eth0","sandbox":"x"}],"ips":[{"address":"10.9.0.1/24","interface":0},{"address":"10.9.0.7/24","interface":1},{"address":"fd09::7/64","interface":1}]}'
exit 0
`;

describe('plugins in a row', () => {
  const log = join(directory, 'calls');
  const bin = folder('bin', { one: recorder(log), two: recorder(log) });
  for (const name of ['one', 'two']) chmodSync(join(bin, name), 0o755);
  const network = (cniVersion = '1.1.0', stateDir = 'state') => {
    const capabilities = { portMappings: true, bandwidth: true };
    const plugins = [
      { type: 'one', own: 7 },
      { type: 'two', capabilities },
    ];
    const confDirectory = folder('conf', { 'a.conflist': { cniVersion, name: 'row', plugins } });
    const gate = {
      admitted: [] as string[],
      known: () => undefined,
      dismiss: () => undefined,
      async admit(_: string, pod: LeasedPod, ips: readonly string[]) {
        this.admitted.push(`${pod.name} ${ips.join()}`);
      },
    };
    const made = pluginNetwork({
      clusterId: 'abc123',
      confDirectory,
      binDirectories: ['/nowhere', bin],
      stateDir: join(directory, stateDir),
      gate,
      clock: systemClock,
      log: silentLog,
    });
    return { made, gate };
  };
  const sandbox = (id: string): NetworkedSandbox => ({
    id,
    netnsPath: `/run/netns/${id}`,
    config: {
      metadata: { name: 'web', namespace: 'shop', uid: 'u1' },
      annotations: { 'kubernetes.io/ingress-bandwidth': '10M' },
      portMappings: [
        { protocol: 'TCP', containerPort: 80, hostPort: 8080 },
        { protocol: 'UDP', containerPort: 1, hostPort: 0 },
      ],
    },
  });
  const calls = () => {
    const text = existsSync(log) ? readFileSync(log, 'utf8') : '';
    rmSync(log, { force: true });
    return text
      .split('\n')
      .filter(line => line !== '')
      .map(line => {
        const [, command = '', type = '', id = '', args = '', input = '{}'] =
          /^(\S+) (\S+) (\S*) \[(.*?)\] (.*)$/.exec(line) ?? [];
        return { command, type, id, args, input: JSON.parse(input) as Record<string, unknown> };
      });
  };
  const makerOf = (input: Record<string, unknown> | undefined) => (input?.prevResult as { by: string } | undefined)?.by;
  const shortly = (all: ReturnType<typeof calls>) => all.map(({ command, type }) => `${command} ${type}`);

  test('each sees what those before it have made, and what it asks for by its capabilities', async () => {
    const { made, gate } = network();
    const { ips } = await made.setup(sandbox('s1'));
    assert.deepEqual(ips, ['10.9.0.7', 'fd09::7']);
    assert.deepEqual(gate.admitted, ['web 10.9.0.7,fd09::7']);
    const [first, second] = calls();
    assert.deepEqual(first?.input, { type: 'one', own: 7, name: 'row', cniVersion: '1.1.0' });
    assert.equal(
      first.args,
      'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=s1;K8S_POD_UID=u1',
    );
    assert.equal(makerOf(second?.input), 'one');
    assert.deepEqual(second?.input.runtimeConfig, {
      portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp', hostIP: '' }],
      bandwidth: { ingressRate: 10_000_000, ingressBurst: 0x7fff_ffff },
    });
    await made.check(sandbox('s1'));
    const checks = calls();
    assert.deepEqual(shortly(checks), ['CHECK one', 'CHECK two']);
    assert.equal(makerOf(checks[0]?.input), 'two');
    // Another agent, another configuration: it is taken back by the one that made it, with what was made.
    folder('conf', { 'a.conflist': { cniVersion: '1.1.0', name: 'other', plugins: [{ type: 'two' }] } });
    await made[Symbol.asyncDispose]();
    const later = network('0.3.1').made;
    await later.teardown({ id: 's1', netnsPath: undefined });
    const removals = calls();
    assert.deepEqual(shortly(removals), ['DEL two', 'DEL one']);
    assert.equal(makerOf(removals[1]?.input), 'two');
    await later.teardown({ id: 's1', netnsPath: undefined });
    assert.deepEqual(calls(), []);
    assert.deepEqual(readdirSync(join(directory, 'state', 'cni')), []);
    await later[Symbol.asyncDispose]();
  });

  test("a refusal is told in libcni's words, and what was made before it is taken back", async () => {
    const { made } = network('1.1.0', 'refused');
    folder('.', { 'two.ADD': { code: 11, msg: 'no addresses now', details: 'try again later' } });
    await assert.rejects(made.setup(sandbox('s2')), {
      message:
        'failed to setup network for sandbox "s2": plugin type="two" failed (add): no addresses now; try again later',
    });
    assert.deepEqual(shortly(calls()), ['ADD one', 'ADD two', 'DEL two', 'DEL one']);
    rmSync(join(directory, 'two.ADD'));
    assert.deepEqual((await made.setup(sandbox('s2'))).ips[0], '10.9.0.7');
    calls();
    folder('.', { 'one.DEL': { code: 11, msg: 'busy' } });
    await assert.rejects(
      made.teardown(sandbox('s2')),
      /failed to destroy network for sandbox "s2": plugin type="one" failed \(delete\): busy/,
    );
    // Whose namespace is gone holds up nobody, and is not forgotten.
    await made.teardown({ id: 's2', netnsPath: undefined });
    assert.deepEqual(readdirSync(join(directory, 'refused', 'cni')), ['s2.json']);
    rmSync(join(directory, 'one.DEL'));
    await made.teardown({ id: 's2', netnsPath: undefined });
    calls();
    await made[Symbol.asyncDispose]();
  });

  test('what dead sandboxes had is given back at start, then plugins hear who is alive', async () => {
    const { made } = network('1.1.0', 'garbage');
    await made.setup(sandbox('alive'));
    await made.setup(sandbox('dead'));
    calls();
    await made.reconcile([sandbox('alive')]);
    const all = calls();
    assert.deepEqual(
      all.map(({ command, id }) => `${command} ${id}`),
      ['DEL dead', 'DEL dead', 'GC ', 'GC '],
    );
    assert.deepEqual(all[2]?.input['cni.dev/valid-attachments'], [{ containerID: 'alive', ifname: 'eth0' }]);
    await made[Symbol.asyncDispose]();
  });

  test('older configurations are not asked what they do not know', async () => {
    const { made } = network('0.3.1', 'old');
    await made.setup(sandbox('old'));
    await made.check(sandbox('old'));
    await made.reconcile([sandbox('old')]);
    await made.teardown({ id: 'old', netnsPath: undefined });
    const all = calls();
    assert.deepEqual(shortly(all), ['ADD one', 'ADD two', 'DEL two', 'DEL one']);
    assert.equal(all[2]?.input.prevResult, undefined);
    await made[Symbol.asyncDispose]();
  });

  test('without configuration or plugin the node and the pod say so', async () => {
    const options = {
      clusterId: 'abc123',
      binDirectories: [bin],
      stateDir: join(directory, 'none'),
      clock: systemClock,
      log: silentLog,
    };
    await using none = pluginNetwork({ ...options, confDirectory: join(directory, 'absent') });
    assert.equal(none.notReady(), 'Network plugin returns error: cni plugin not initialized');
    await assert.rejects(none.setup(sandbox('s3')), {
      message: 'failed to setup network for sandbox "s3": cni plugin not initialized',
    });
    const confDirectory = folder('unknown', { 'a.conf': { cniVersion: '1.0.0', name: 'x', type: 'three' } });
    await using unknown = pluginNetwork({ ...options, confDirectory });
    await assert.rejects(
      unknown.setup(sandbox('s3')),
      /plugin type="three" failed \(add\): failed to find plugin "three" in path \[/,
    );
  });
});

const lacksPlugins = existsSync(join(reference, 'bridge')) ? false : 'containernetworking-plugins are not installed';

if (isolated(import.meta.filename)) {
  describe("Debian's plugins", { skip: lacksPlugins }, () => {
    const namespaces = new Namespaces();
    const made: string[] = [];
    let network: NodeNetwork;
    const sandbox = async (id: string, portMappings: readonly PortMapping[] = []): Promise<NetworkedSandbox> => {
      const netnsPath = join(directory, id);
      await namespaces.create({ paths: { net: netnsPath } });
      made.push(netnsPath);
      return { id, netnsPath, config: { metadata: { name: id, namespace: 'default', uid: id }, portMappings } };
    };
    before(async () => {
      await using netlink = new Netlink();
      await netlink.apply([{ changes: [{ do: 'setLink', name: 'lo', up: true }] }]);
      const ipam = { type: 'host-local', dataDir: join(directory, 'addresses'), routes: [{ dst: '0.0.0.0/0' }] };
      const bridge = {
        type: 'bridge',
        bridge: 'cni0',
        isGateway: true,
        ipMasq: true,
        hairpinMode: true,
        ipam,
        capabilities: { ipRanges: true },
      };
      const plugins = [
        bridge,
        { type: 'portmap', capabilities: { portMappings: true } },
        { type: 'tuning', sysctl: { 'net.core.somaxconn': '500' } },
      ];
      network = pluginNetwork({
        clusterId: 'abc123',
        confDirectory: folder('debian', { '10-net.conflist': { cniVersion: '1.0.0', name: 'debian', plugins } }),
        binDirectories: [reference],
        stateDir: join(directory, 'debian-state'),
        clock: systemClock,
        log: silentLog,
      });
      assert.equal(network.notReady(), 'the node has no pod CIDR yet');
      await network.updatePodCidrs(['10.244.7.0/24']);
      assert.equal(network.notReady(), undefined);
    });
    after(async () => {
      for (const path of made) await releaseNamespace(path);
      await namespaces[Symbol.asyncDispose]();
      await network[Symbol.asyncDispose]();
      await removeBridgeNetwork('abc123');
    });

    test('pods reach each other, host ports and the host; check finds what is broken; nothing stays', async () => {
      const web = await sandbox('web', [{ protocol: 'TCP', containerPort: 8080, hostPort: 8000 }]);
      const client = await sandbox('client');
      const { ips } = await network.setup(web);
      const { ips: from } = await network.setup(client);
      assert.match(ips[0] ?? '', /^10\.244\.7\./);
      {
        await using inside = new Peer('web', web.netnsPath);
        await using caller = new Peer('client', client.netnsPath);
        await using host = new Peer('host');
        await inside.listen('tcp', 8080);
        await host.listen('tcp', 53, network.gateways[0]);
        assert.equal(await caller.call('tcp', ips[0] ?? '', 8080), `web ${from[0]}`);
        assert.equal(await caller.call('tcp', network.gateways[0] ?? '', 53), `host ${from[0]}`);
        assert.match(await caller.call('tcp', network.gateways[0] ?? '', 8000), /^web /);
      }
      // Of pods with host ports this version of portmap wants rules of IPv6, too, which it has not made.
      await network.check(client);
      execFileSync('nsenter', [`--net=${client.netnsPath}`, 'ip', 'link', 'set', 'eth0', 'down']);
      execFileSync('nsenter', [`--net=${client.netnsPath}`, 'ip', 'address', 'flush', 'dev', 'eth0']);
      await assert.rejects(network.check(client), /plugin type="bridge" failed \(check\)/);
      for (const pod of [web, client]) await network.teardown(pod);
      const addresses = readdirSync(join(directory, 'addresses', 'debian')).filter(name => name.startsWith('10.'));
      assert.deepEqual(addresses, []);
      assert.doesNotMatch(execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' }), /veth/);
      const rules = execFileSync('iptables', ['-t', 'nat', '-S'], { encoding: 'utf8' });
      assert.ok(!rules.includes(ips[0] ?? '?'), rules);
    });
  });
}
