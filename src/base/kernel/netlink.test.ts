import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { isolated } from './isolate.ts';
import { Namespaces, releaseNamespace } from './namespace.ts';
import { Netlink, type Step } from './netlink.ts';

const ip = (...args: string[]) => execFileSync('ip', args, { encoding: 'utf8' });
const ipIn = (netns: string, ...args: string[]) =>
  execFileSync('nsenter', [`--net=${netns}`, 'ip', ...args], { encoding: 'utf8' });

/** What a server says to a client inside the namespace. */
async function textFrom(netns: string, host: string, port: number): Promise<string> {
  const script = `require('net').connect(${port}, '${host}').setTimeout(5000, () => process.exit(1)).pipe(process.stdout)`;
  const { stdout } = await promisify(execFile)('nsenter', [`--net=${netns}`, process.execPath, '-e', script]);
  return stdout;
}

if (isolated(import.meta.filename, [['--experimental-ffi'], []])) {
  const directory = mkdtempSync(join(tmpdir(), 'netlink-'));
  const pod = join(directory, 'pod');
  const netlink = new Netlink();
  const namespaces = new Namespaces();

  before(async () => namespaces.create({ paths: { net: pod } }));
  after(async () => {
    await releaseNamespace(pod);
    await netlink[Symbol.asyncDispose]();
    await namespaces[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });

  test('a bridge and a pod on it', async () => {
    const mac = '0a:58:0a:f4:00:05';
    const steps: Step[] = [
      {
        changes: [
          { do: 'addBridge', name: 'br0', mtu: 1400, mac: '0a:58:0a:f4:00:01' },
          { do: 'addAddress', link: 'br0', address: '10.244.0.1/24' },
          { do: 'addAddress', link: 'br0', address: 'fd00::1/64' },
          {
            do: 'addVeth',
            name: 'veth0',
            mtu: 1400,
            master: 'br0',
            peer: { name: 'eth0', mac, netnsPath: pod },
          },
          { do: 'setBridgePort', name: 'veth0', hairpin: true, learning: false, unicastFlood: false, locked: true },
          { do: 'addNeighbour', link: 'br0', address: '10.244.0.5', mac },
          { do: 'addForwarding', link: 'veth0', mac },
        ],
      },
      {
        netnsPath: pod,
        changes: [
          { do: 'setLink', name: 'lo', up: true },
          { do: 'setLink', name: 'eth0', up: true },
          { do: 'addAddress', link: 'eth0', address: '10.244.0.5/32' },
          { do: 'addAddress', link: 'eth0', address: 'fd00::5/128' },
          { do: 'addNeighbour', link: 'eth0', address: '10.244.0.1', mac: '0a:58:0a:f4:00:01' },
          { do: 'addRoute', link: 'eth0', destination: '0.0.0.0/0', gateway: '10.244.0.1', onLink: true },
          { do: 'addRoute', link: 'eth0', destination: '::/0', gateway: 'fd00::1', onLink: true },
        ],
      },
    ];
    await netlink.apply(steps);
    const links = await netlink.links();
    const bridge = links.find(link => link.name === 'br0');
    assert.deepEqual(
      { kind: bridge?.kind, mtu: bridge?.mtu, up: bridge?.up, mac: bridge?.mac },
      { kind: 'bridge', mtu: 1400, up: true, mac: '0a:58:0a:f4:00:01' },
    );
    const veth = links.find(link => link.name === 'veth0');
    assert.deepEqual([veth?.kind, veth?.master, veth?.up], ['veth', bridge?.index, true]);
    assert.equal((await netlink.links(pod)).find(link => link.name === 'eth0')?.mac, mac);
    assert.match(ip('-d', 'link', 'show', 'veth0'), /hairpin on.*learning off flood off.*locked on/s);
    assert.match(ip('neigh', 'show', 'dev', 'br0'), /10\.244\.0\.5 lladdr 0a:58:0a:f4:00:05 PERMANENT/);
    assert.match(ipIn(pod, 'route'), /default via 10\.244\.0\.1 dev eth0.*onlink/);
    assert.match(ipIn(pod, '-6', 'route'), /default via fd00::1 dev eth0/);
    for (const gateway of ['10.244.0.1', 'fd00::1']) {
      const server = createServer(socket => socket.end(String(socket.remoteAddress))).listen(0, gateway);
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      assert.equal(await textFrom(pod, gateway, port), gateway === 'fd00::1' ? 'fd00::5' : '10.244.0.5');
      server.close();
    }
  });

  test('a tunnel with its ends, and routes that are known by their maker', async t => {
    const [tunnel, mac, machine] = ['vx0', '0e:58:00:00:00:02', '192.0.2.7'];
    const make: Step = {
      changes: [
        {
          do: 'addVxlan',
          name: tunnel,
          mtu: 1350,
          mac: '0e:58:00:00:00:01',
          vni: 77,
          port: 14_077,
          local: '10.244.0.1',
        },
      ],
    };
    try {
      await netlink.apply([make]);
    } catch (error) {
      if (/EOPNOTSUPP|Unknown device type|not supported/.test(String(error))) return t.skip('the kernel has no VXLAN');
      throw error;
    }
    assert.match(
      ip('-d', 'link', 'show', tunnel),
      /mtu 1350.*vxlan id 77 local 10\.244\.0\.1.*dstport 14077 nolearning/s,
    );
    const route = { link: tunnel, destination: '10.99.1.0/24', gateway: '10.99.1.0', protocol: 87 } as const;
    const steps: Step[] = [
      {
        changes: [
          { do: 'addTunnelEnd', link: tunnel, mac, machine },
          { do: 'addNeighbour', link: tunnel, address: '10.99.1.0', mac },
          { do: 'addRoute', ...route, onLink: true, source: '10.244.0.1' },
        ],
      },
    ];
    await netlink.apply(steps);
    // Once more changes nothing.
    await netlink.apply(steps);
    const fdb = () => execFileSync('bridge', ['fdb', 'show', 'dev', tunnel], { encoding: 'utf8' });
    assert.match(fdb(), /0e:58:00:00:00:02 dst 192\.0\.2\.7 self permanent/);
    assert.match(
      ip('route', 'show', 'proto', '87'),
      /10\.99\.1\.0\/24 via 10\.99\.1\.0 dev vx0 src 10\.244\.0\.1 onlink/,
    );
    await netlink.apply([
      {
        changes: [
          { do: 'deleteRoute', ...route },
          { do: 'deleteTunnelEnd', link: tunnel, mac, machine },
        ],
      },
    ]);
    assert.equal(ip('route', 'show', 'proto', '87'), '');
    assert.doesNotMatch(fdb(), /192\.0\.2\.7/);
    await netlink.apply([{ changes: [{ do: 'deleteLink', name: tunnel }] }]);
  });

  test('a failure says what and why, unless it is tolerated', async () => {
    const again: Step = { changes: [{ do: 'addAddress', link: 'br0', address: '10.244.0.1/24' }] };
    await assert.rejects(netlink.apply([again]), { code: 'EEXIST' });
    await netlink.apply([{ ...again, tolerate: ['EEXIST'] }]);
    const missing: Step = { changes: [{ do: 'deleteLink', name: 'nothing0' }] };
    await assert.rejects(netlink.apply([missing]), { code: 'ENODEV' });
    await netlink.apply([{ ...missing, tolerate: ['ENODEV'] }]);
  });

  test('what was added can be taken away', async () => {
    await netlink.apply([
      {
        netnsPath: pod,
        changes: [
          { do: 'deleteRoute', link: 'eth0', destination: '0.0.0.0/0', gateway: '10.244.0.1' },
          { do: 'deleteNeighbour', link: 'eth0', address: '10.244.0.1', mac: '0a:58:0a:f4:00:01' },
          { do: 'deleteAddress', link: 'eth0', address: '10.244.0.5/32' },
        ],
      },
      { changes: [{ do: 'deleteLink', name: 'veth0' }] },
    ]);
    assert.equal(
      (await netlink.links()).some(link => link.name === 'veth0'),
      false,
    );
    assert.equal(
      (await netlink.links(pod)).some(link => link.name === 'eth0'),
      false,
    );
  });
}
