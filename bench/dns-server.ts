// Serves a cluster of 2,000 services by DNS for dnsperf, until it is ended:
//   node bench/dns-server.ts QUERIES HOSTS      prints its port; writes the questions, and the same names as a hosts file
import { writeFileSync } from 'node:fs';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Service } from '#api/core/v1/service.ts';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { openInformers } from '#client/informers.ts';
import { objectFeed } from '#client/testing/object-feed.ts';
import { startDns } from '#dns/dns.ts';
import { Registry } from 'prom-client';

const feed = objectFeed();
const questions: string[] = [];
const hosts: string[] = [];
feed.put(Namespace, { metadata: { name: 'default' }, spec: {}, status: { phase: 'Active' } });
for (let index = 0; index < 2000; index++) {
  const name = `service-${index}`;
  const clusterIP = `10.96.${index >> 8}.${index & 255}`;
  const ports = [{ name: 'http', port: 80, protocol: 'TCP' }];
  feed.put(Service, {
    metadata: { namespace: 'default', name },
    spec: { type: 'ClusterIP', sessionAffinity: 'None', clusterIP, ports },
    status: { loadBalancer: {} },
  });
  questions.push(`${name}.default.svc.cluster.local A`);
  hosts.push(`${clusterIP} ${name}.default.svc.cluster.local`);
  // What a pod's search list makes of a name outside.
  if (index % 4 === 0) questions.push(`example-${index}.org.default.svc.cluster.local A`);
}
const [questionsFile = '/dev/null', hostsFile = '/dev/null'] = process.argv.slice(2);
writeFileSync(questionsFile, `${questions.join('\n')}\n`);
writeFileSync(hostsFile, `${hosts.join('\n')}\n`);
const dns = await startDns({
  informers: openInformers(feed.client),
  address: '127.0.0.1',
  port: 0,
  clusterDomain: 'cluster.local',
  upstreams: [],
  clock: systemClock,
  log: silentLog,
  registry: new Registry(),
});
await dns.ready;
console.log(dns.port);
