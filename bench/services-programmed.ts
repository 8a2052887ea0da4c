// Programs SERVICES services with ENDPOINTS endpoints each into the kernel, in the network namespace that it is started in:
//   unshare --net node bench/services-programmed.ts SERVICES ENDPOINTS ROUNDS      prints what it took as JSON
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Service } from '#api/core/v1/service.ts';
import { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { openInformers } from '#client/informers.ts';
import { objectFeed } from '#client/testing/object-feed.ts';
import { startServiceProxy } from '#network/proxy/proxy.ts';

const [services = 0, endpoints = 0, rounds = 0] = process.argv.slice(2).map(Number);
const ports = [{ name: 'http', port: 80, protocol: 'TCP' }];
const feed = objectFeed();

function putSlice(service: number, last: number): void {
  const address = (index: number) =>
    `10.244.${(service * endpoints + index) & 255}.${((service * endpoints + index) >> 8) & 255}`;
  const addresses = Array.from({ length: endpoints }, (_, index) =>
    index === endpoints - 1 ? `10.245.${last >> 8}.${last & 255}` : address(index),
  );
  feed.put(EndpointSlice, {
    metadata: {
      namespace: 'default',
      name: `service-${service}-x`,
      labels: { 'kubernetes.io/service-name': `service-${service}` },
    },
    addressType: 'IPv4',
    ports,
    endpoints: addresses.map(each => ({ addresses: [each], conditions: { ready: true, serving: true } })),
  });
}

for (let index = 0; index < services; index++) {
  feed.put(Service, {
    metadata: { namespace: 'default', name: `service-${index}` },
    spec: {
      type: 'ClusterIP',
      sessionAffinity: 'None',
      clusterIP: `10.96.${index >> 8}.${index & 255}`,
      clusterIPs: [`10.96.${index >> 8}.${index & 255}`],
      ports,
    },
    status: { loadBalancer: {} },
  });
  putSlice(index, 1);
}

/** Of this process and of the `nft`s that it has waited for. */
function cpuMs(): number {
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]?.split(' ') ?? [];
  const children = (Number(fields[13]) + Number(fields[14])) * 10;
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000 + children;
}

const before = { at: performance.now(), cpu: cpuMs() };
await using proxy = await startServiceProxy({
  informers: openInformers(feed.client),
  nodeName: 'here',
  clusterId: 'bench0',
  clusterCidrs: ['10.244.0.0/15'],
  serviceCidrs: ['10.96.0.0/12'],
  clock: systemClock,
  log: silentLog,
});
await proxy.settled();
const allMs = performance.now() - before.at;
const allCpuMs = cpuMs() - before.cpu;
const changesMs: number[] = [];
const cpuBefore = cpuMs();
for (let round = 0; round < rounds; round++) {
  const started = performance.now();
  putSlice((round * 37) % services, round + 2);
  // The informer hears of it in a turn of its own.
  await new Promise(resolve => setImmediate(resolve));
  await proxy.settled();
  changesMs.push(performance.now() - started);
}
const cpuAfter = cpuMs();
const last = `10.245.${(rounds + 1) >> 8}.${(rounds + 1) & 255}`;
if (!execFileSync('nft', ['list', 'ruleset'], { maxBuffer: 1 << 28 }).includes(last))
  throw new Error(`the last change, ${last}, is not in the kernel`);
const changeCpuMs = (cpuAfter - cpuBefore) / rounds;
console.log(JSON.stringify({ allMs, allCpuMs, changesMs, changeCpuMs, residentBytes: process.memoryUsage.rss() }));
