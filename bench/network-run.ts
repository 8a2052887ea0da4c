import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Service } from '#api/core/v1/service.ts';
import { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { systemClock } from '#base/clock.ts';
import { Namespaces, releaseNamespace } from '#base/kernel/namespace.ts';
import { Netlink } from '#base/kernel/netlink.ts';
import { silentLog } from '#base/log.ts';
import { openInformers } from '#client/informers.ts';
import { objectFeed } from '#client/testing/object-feed.ts';
import { bridgeNetwork, removeBridgeNetwork } from '#network/cni/bridge.ts';
import { removeServiceProxy, startServiceProxy } from '#network/proxy/proxy.ts';
import { Peer } from '#network/testing/peer.ts';

// Two pods of a node of their own, in the network namespace in which this is started; says what it has measured as JSON.

const rounds = 5;
const services = 40;
const secondsEach = 2;
const directory = mkdtempSync(join(tmpdir(), 'windlass-bench-network-'));
const clusterId = 'bench1';
const namespaces = new Namespaces();
const feed = objectFeed();
const informers = openInformers(feed.client, { clock: systemClock });

{
  await using netlink = new Netlink();
  await netlink.apply([{ changes: [{ do: 'setLink', name: 'lo', up: true }] }]);
}
const network = await bridgeNetwork({ clusterId, podCidrs: ['10.244.9.0/24'], stateDir: join(directory, 'state') });
const proxy = await startServiceProxy({
  informers,
  nodeName: 'here',
  clusterId,
  clusterCidrs: ['10.244.0.0/16'],
  serviceCidrs: ['10.96.0.0/12'],
  clock: systemClock,
  log: silentLog,
});
await proxy.ready;
const [client, server] = await Promise.all(['client', 'server'].map(pod));
if (!client || !server) throw new Error('cannot measure: the pods are not there');

const sink = spawn('nsenter', [`--net=${server.netnsPath}`, process.execPath, '-e', sinkProgram()], {
  stdio: ['ignore', 'pipe', 'inherit'],
});
await new Promise(resolve => sink.stdout.once('data', resolve));
put(0);
await settled();
const [direct, through]: [number[], number[]] = [[], []];
for (let round = 0; round < rounds; round++) {
  direct.push(await send(server.ip, 8080));
  through.push(await send('10.96.1.0', 80));
}
const firstMs: number[] = [];
{
  await using caller = new Peer('client', client.netnsPath);
  for (let number = 1; number <= services; number++) {
    const startMs = performance.now();
    put(number);
    // Refused until the kernel has the rules; a socket that is open says nothing.
    while (!(await caller.call('tcp', `10.96.1.${number}`, 81, { timeoutMs: 10 })).startsWith('server'));
    firstMs.push(performance.now() - startMs);
  }
}
process.stdout.write(JSON.stringify({ direct, through, firstMs }));

sink.kill();
await server.peer[Symbol.asyncDispose]();
await proxy[Symbol.asyncDispose]();
await network[Symbol.asyncDispose]();
informers[Symbol.dispose]();
await removeServiceProxy(clusterId);
await removeBridgeNetwork(clusterId);
for (const { netnsPath } of [client, server]) await releaseNamespace(netnsPath);
await client.peer[Symbol.asyncDispose]();
await namespaces[Symbol.asyncDispose]();
rmSync(directory, { recursive: true, force: true });

async function pod(name: string) {
  const netnsPath = join(directory, name);
  await namespaces.create({ paths: { net: netnsPath } });
  const { ips } = await network.setup({ id: name, netnsPath, config: {} });
  const peer = new Peer(name, netnsPath);
  await peer.listen('tcp', 8081);
  return { netnsPath, ip: ips[0] ?? '', peer };
}

/** A Service with one ready endpoint, as its controllers make it. */
function put(number: number): void {
  const name = `s${number}`;
  const ports = [
    { name: 'sink', port: 80, protocol: 'TCP' },
    { name: 'answer', port: 81, protocol: 'TCP' },
  ];
  feed.put(Service, {
    metadata: { namespace: 'default', name },
    spec: { type: 'ClusterIP', sessionAffinity: 'None', clusterIP: `10.96.1.${number}`, ports },
    status: { loadBalancer: {} },
  });
  feed.put(EndpointSlice, {
    metadata: { namespace: 'default', name, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: ports.map((port, index) => ({ name: port.name, port: 8080 + index, protocol: 'TCP' })),
    endpoints: [{ addresses: [server?.ip ?? ''], nodeName: 'here', conditions: { ready: true } }],
  });
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve));
  await proxy.settled();
}

/** Bytes a second that a pod gets through. */
async function send(host: string, port: number): Promise<number> {
  const program = `
    const socket = require('net').connect(${port}, '${host}');
    const part = Buffer.alloc(1 << 18);
    const write = () => { while (socket.write(part)); };
    socket.on('drain', write).on('connect', () => {
      const start = performance.now();
      write();
      setTimeout(() => {
        process.stdout.write(String((socket.bytesWritten - socket.writableLength) / (performance.now() - start) * 1000));
        socket.destroy();
      }, ${secondsEach * 1000});
    });`;
  const sender = spawn('nsenter', [`--net=${client?.netnsPath}`, process.execPath, '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  sender.stdout.on('data', (part: Buffer) => (said += part.toString()));
  await new Promise(resolve => sender.on('close', resolve));
  return Number(said);
}

function sinkProgram(): string {
  return `require('net').createServer(socket => socket.on('error', () => {}).resume()).listen(8080, '0.0.0.0', () => process.stdout.write('ready'))`;
}
