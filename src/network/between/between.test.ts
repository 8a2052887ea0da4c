import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Node } from '#api/core/v1/node.ts';
import { systemClock } from '#base/clock.ts';
import { isolated } from '#base/kernel/isolate.ts';
import { Namespaces, releaseNamespace } from '#base/kernel/namespace.ts';
import { silentLog } from '#base/log.ts';
import { removeBridgeNetwork } from '../cni/bridge.ts';
import { makeOutside } from '../testing/outside.ts';
import { Peer } from '../testing/peer.ts';
import type { NodeCall, NodeProcessOptions } from '../testing/node-process.ts';
import { keepMachineNetwork, makeMachineNetwork, removeMachineNetwork, type MachineNetwork } from './machine.ts';
import { removeNodeRoutes, tunnelOf, type BetweenNodes } from './routes.ts';

const clusterId = 'abc123';
const clusterCidrs = ['10.244.0.0/16', 'fd00:244::/32'];
const run = (program: string, ...args: string[]) => execFileSync(program, args, { encoding: 'utf8' });
const inside = (netns: string, ...args: string[]) => run('nsenter', `--net=${netns}`, ...args);

/** A node of the test: its process, and a pod on it. */
class TestNode implements AsyncDisposable {
  readonly object: Node;
  readonly name: string;
  readonly address: string;
  readonly netnsPath: string | undefined;
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #last = 0;

  constructor(number: number, mode: BetweenNodes, directory: string, netnsPath?: string) {
    this.name = `node-${number}`;
    this.address = `10.252.0.${number}`;
    this.netnsPath = netnsPath;
    const podCidrs = [`10.244.${number}.0/24`, `fd00:244:${number}::/64`];
    const addresses = [this.address, `fd00:252::${number}`].map(address => ({ type: 'InternalIP', address }));
    const object = { metadata: { name: this.name }, spec: { podCIDRs: podCidrs }, status: { addresses } };
    this.object = object as unknown as Node;
    const options: NodeProcessOptions = {
      mode,
      clusterId,
      id: number === 1 ? clusterId : `abc12${number + 3}`,
      name: this.name,
      address: this.address,
      podCidrs,
      clusterCidrs,
      stateDir: join(directory, `${mode}-${this.name}`),
    };
    const script = new URL('../testing/node-process.ts', import.meta.url).pathname;
    const command = [process.execPath, '--no-warnings', ...process.execArgv, script, JSON.stringify(options)];
    const [program = '', ...args] = netnsPath === undefined ? command : ['nsenter', `--net=${netnsPath}`, ...command];
    this.#waiting.set(0, Promise.withResolvers());
    this.#process = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#process.on('message', ({ number: of, value, error }: { number: number; value?: unknown; error?: string }) => {
      const waiting = this.#waiting.get(of);
      if (error === undefined) waiting?.resolve(value);
      else waiting?.reject(new Error(error));
    });
  }

  async do(call: NodeCall): Promise<unknown> {
    await this.#waiting.get(0)?.promise;
    const waiting = Promise.withResolvers<unknown>();
    this.#waiting.set(++this.#last, waiting);
    this.#process.send({ number: this.#last, call });
    return waiting.promise;
  }

  /** What its kernel says about the ways to others. */
  ways(): string {
    const ask = (...args: string[]) =>
      this.netnsPath === undefined ? run(args[0] ?? '', ...args.slice(1)) : inside(this.netnsPath, ...args);
    return [
      ask('ip', 'route', 'show', 'proto', '87'),
      ask('ip', '-6', 'route', 'show', 'proto', '87'),
      ask('ip', 'neigh', 'show', 'nud', 'permanent'),
      ask('bridge', 'fdb', 'show'),
    ].join('');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#waiting.get(0)?.promise;
    const ended = once(this.#process, 'exit');
    this.#process.disconnect();
    await ended;
  }
}

/** Without the groups that the kernel joins by itself, sooner or later. */
function ownOf(ways: string): string[] {
  return ways
    .split('\n')
    .filter(line => !/^(33:33|01:00:5e):/.test(line))
    .toSorted();
}

/** Nobody tells when the kernel has been mended. */
async function eventually(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (await isTrue()) return;
    await systemClock.sleep(100);
  }
  assert.fail(`${what} did not come true`);
}

function lacksVxlan(): string | false {
  try {
    run('ip', 'link', 'add', 'wx-try', 'type', 'vxlan', 'id', '1', 'dstport', '14999');
    run('ip', 'link', 'del', 'wx-try');
    return false;
  } catch {
    return 'the kernel has no VXLAN';
  }
}

if (isolated(import.meta.filename)) {
  const directory = mkdtempSync(join(tmpdir(), 'between-'));
  const namespaces = new Namespaces();
  const outside = join(directory, 'outside');
  const places = [2, 3].map(number => ({
    number,
    address: `10.252.0.${number}`,
    netnsPath: join(directory, `node-${number}`),
  }));
  const machine: MachineNetwork = { clusterId, machineAddress: '10.252.0.1/24', nodes: places };
  const netns: string[] = [];
  const pod = async (name: string) => {
    const path = join(directory, name);
    await namespaces.create({ paths: { net: path } });
    netns.push(path);
    return path;
  };

  before(async () => {
    await makeOutside(namespaces, { netnsPath: outside, mtu: 1480 });
    await makeMachineNetwork(machine);
    await makeMachineNetwork(machine);
    run('ip', 'address', 'add', 'fd00:252::1/64', 'dev', `wn-${clusterId}`, 'nodad');
  });

  after(async () => {
    await removeMachineNetwork(
      clusterId,
      places.map(({ netnsPath }) => netnsPath),
      silentLog,
    );
    for (const path of [...netns, outside]) await releaseNamespace(path);
    await namespaces[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
    assert.equal(run('nft', 'list', 'ruleset'), '');
    assert.doesNotMatch(run('ip', '-o', 'link'), /abc123/);
  });

  for (const mode of ['vxlan', 'hostgw'] as const)
    describe(mode, { skip: mode === 'vxlan' && lacksVxlan() }, () => {
      let nodes: readonly TestNode[];
      let pods: readonly { readonly peer: Peer; readonly ips: readonly string[]; readonly path: string }[];
      let keeper: AsyncDisposable;
      const stack = new AsyncDisposableStack();
      const reaches = async (from: number, to: number, ip: number) =>
        (await pods[from]?.peer.call('tcp', pods[to]?.ips[ip] ?? '', 8080, { timeoutMs: 500 })) ===
        `${mode}-${to} ${pods[from]?.ips[ip]}`;

      before(async () => {
        for (const { number, netnsPath } of places)
          inside(netnsPath, 'ip', 'address', 'replace', `fd00:252::${number}/64`, 'dev', 'eth0', 'nodad');
        keeper = await keepMachineNetwork(machine, { podCidrs: ['10.244.0.0/16'], clock: systemClock, log: silentLog });
        nodes = [undefined, ...places.map(({ netnsPath }) => netnsPath)].map((path, index) =>
          stack.use(new TestNode(index + 1, mode, directory, path)),
        );
        await Promise.all(nodes.flatMap(node => nodes.map(({ object }) => node.do({ do: 'put', node: object }))));
        pods = await Promise.all(
          nodes.map(async (node, index) => {
            const path = await pod(`${mode}-pod-${index}`);
            const ips = (await node.do({ do: 'connect', sandboxId: `${mode}-${index}`, netnsPath: path })) as string[];
            const peer = stack.use(new Peer(`${mode}-${index}`, path));
            await peer.listen('tcp', 8080);
            return { peer, ips, path };
          }),
        );
        // Until the kernel is sure that nobody else has a new link's own address, the link finds no neighbours for IPv6.
        const tentative = ['ip', '-6', 'address', 'show', 'tentative'] as const;
        const isUnsure = () =>
          run(...tentative) !== '' || places.some(({ netnsPath }) => inside(netnsPath, ...tentative) !== '');
        while (isUnsure()) await systemClock.sleep(50);
      });

      after(async () => {
        await stack.disposeAsync();
        await keeper?.[Symbol.asyncDispose]();
        await removeNodeRoutes(clusterId);
        await removeBridgeNetwork(clusterId);
        for (const { netnsPath } of places) inside(netnsPath, 'nft', 'flush', 'ruleset');
        for (const { number, netnsPath } of places)
          for (const link of [`wl-abc12${number + 3}`, ...(mode === 'vxlan' ? [`wx-${clusterId}`] : [])])
            inside(netnsPath, 'ip', 'link', 'del', link);
      });

      test('pods of all nodes reach each other over both families, with their own addresses', async () => {
        for (const from of [0, 1, 2])
          for (const to of [0, 1, 2])
            for (const ip of [0, 1]) assert.ok(await reaches(from, to, ip), `${from} → ${to} (${ip})`);
      });

      test('packets fit', async () => {
        for (const { path } of pods)
          assert.match(inside(path, 'ip', 'link', 'show', 'eth0'), mode === 'vxlan' ? / mtu 1430 / : / mtu 1480 /);
      });

      test('nodes and pods reach each other with their own addresses, the outside is masqueraded to', async () => {
        await using machinePeer = new Peer('machine');
        await using second = new Peer('second', places[0]?.netnsPath);
        await using stranger = new Peer('stranger', outside);
        for (const peer of [machinePeer, second, stranger]) await peer.listen('tcp', 9090, '0.0.0.0');
        const [one, two, three] = pods;
        assert.equal(
          await machinePeer.call('tcp', two?.ips[0] ?? '', 8080),
          `${mode}-1 ${mode === 'vxlan' ? '10.244.1.0' : '10.252.0.1'}`,
        );
        assert.equal(
          await second.call('tcp', three?.ips[0] ?? '', 8080),
          `${mode}-2 ${mode === 'vxlan' ? '10.244.2.0' : '10.252.0.2'}`,
        );
        assert.equal(await one?.peer.call('tcp', '10.252.0.2', 9090), `second ${one?.ips[0]}`);
        assert.equal(await three?.peer.call('tcp', '10.252.0.2', 9090), `second ${three?.ips[0]}`);
        assert.equal(await three?.peer.call('tcp', '10.252.0.1', 9090), `machine ${three?.ips[0]}`);
        assert.equal(await three?.peer.call('tcp', '192.0.2.2', 9090), 'stranger 192.0.2.1');
        assert.equal(await second.call('tcp', '192.0.2.2', 9090), 'stranger 192.0.2.1');
      });

      test('a node that goes takes its entries with it, and no others', async () => {
        const [first, , third] = nodes;
        assert.ok(first && third);
        const before = first.ways();
        assert.match(before, /10\.244\.3\./);
        await first.do({ do: 'delete', node: third.object });
        const without = first.ways();
        assert.doesNotMatch(without, /10\.244\.3\.|fd00:244:3:|10\.252\.0\.3/);
        assert.ok(await reaches(0, 1, 0));
        assert.equal(await reaches(0, 2, 0), false);
        await first.do({ do: 'put', node: third.object });
        assert.ok(await reaches(0, 2, 0));
        assert.deepEqual(ownOf(first.ways()), ownOf(before));
      });

      test('what somebody takes away comes back', async () => {
        const { netnsPath } = places[0] ?? { netnsPath: '' };
        const before = ownOf(nodes[1]?.ways() ?? '').join('\n');
        const hands: string[][] = [
          ['ip', 'route', 'flush', 'proto', '87'],
          ['ip', 'link', 'del', 'wl-abc125'],
          ['ip', 'link', 'set', 'wl-abc125', 'down'],
        ];
        if (mode === 'vxlan')
          hands.push(
            ['ip', 'link', 'del', `wx-${clusterId}`],
            ['ip', 'link', 'set', `wx-${clusterId}`, 'down'],
            ['ip', 'neigh', 'flush', 'nud', 'permanent', 'dev', `wx-${clusterId}`],
          );
        for (const hand of hands) {
          inside(netnsPath, ...hand);
          await eventually(`pods talk again after ${hand.join(' ')}`, async () => {
            if (ownOf(nodes[1]?.ways() ?? '').join('\n') !== before) return false;
            for (const ip of [0, 1]) if (!(await reaches(0, 1, ip)) || !(await reaches(1, 2, ip))) return false;
            return true;
          });
        }
        run('ip', 'link', 'del', `wn${clusterId}-2`);
        await eventually('the node is joined again', () => reaches(0, 1, 0));
      });

      if (mode === 'vxlan')
        test('nobody but nodes sends through the tunnel', async () => {
          const { port } = tunnelOf(mode, clusterId) as { port: number };
          const { netnsPath } = places[0] ?? { netnsPath: '' };
          inside(
            netnsPath,
            'nft',
            `add table inet counting; add chain inet counting in { type filter hook input priority 0; }; add rule inet counting in udp dport ${port} ip saddr 10.244.0.0/16 counter; add rule inet counting in udp dport ${port} ip saddr 10.252.0.0/24 counter`,
          );
          await pods[0]?.peer.call('udp', '10.252.0.2', port, { timeoutMs: 200 });
          assert.ok(await reaches(0, 1, 0));
          const [fromPods = '', fromNodes = ''] = inside(netnsPath, 'nft', 'list', 'table', 'inet', 'counting')
            .split('\n')
            .filter(line => line.includes('counter'));
          assert.match(fromPods, /packets 0 /);
          assert.match(fromNodes, /packets [1-9]/);
          inside(netnsPath, 'nft', 'delete', 'table', 'inet', 'counting');
        });
    });
}
