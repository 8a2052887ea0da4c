import assert from 'node:assert/strict';
import { conformance, type Trial } from '../conformance.ts';
import { changeService, makeService } from '../network.ts';
import { execIn, nodeProgram, readyPod } from '../pods.ts';

const dns = '[sig-network] DNS should';

conformance(it => {
  it(`${dns} provide DNS for the cluster [Conformance]`, async t => {
    const ask = await resolver(t);
    for (const name of ['kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local'])
      assert.ok((await ask('look', name)).length > 0, name);
  });

  it(`${dns} provide /etc/hosts entries for the cluster [Conformance]`, async t => {
    await makeService(t, 'dns-querier-1', { clusterIP: 'None', selector: { of: 'dns' }, ports: [{ port: 80 }] });
    const { metadata, status } = await readyPod(t, {
      hostname: 'dns-querier-1',
      subdomain: 'dns-querier-1',
      labels: { of: 'dns' },
    });
    const hosts = await execIn(t, metadata.name, 'cat', '/etc/hosts');
    const name = `dns-querier-1.dns-querier-1.${t.namespace}.svc.cluster.local`;
    assert.ok(hosts.split('\n').includes(`${status?.podIP}\t${name}\tdns-querier-1`), hosts);
  });

  it(`${dns} provide DNS for services [Conformance]`, async t => {
    const labels = { 'dns-test': 'true' };
    const pod = await readyPod(t, { labels });
    const ports = [{ name: 'http', port: 80, protocol: 'TCP' }];
    await makeService(t, 'headless', { clusterIP: 'None', selector: labels, ports });
    const { spec } = await makeService(t, 'normal', { selector: labels, ports });
    const address = spec?.clusterIP ?? '';
    const ask = await resolver(t);
    const domain = `${t.namespace}.svc.cluster.local`;
    for (const transport of ['udp', 'tcp'] as const) {
      await t.eventually(
        'the headless service has its pod',
        async () => String(await ask('A', `headless.${domain}`, transport)) === pod.status?.podIP,
      );
      assert.deepEqual(await ask('A', `normal.${domain}`, transport), [address]);
      assert.deepEqual(await ask('SRV', `_http._tcp.normal.${domain}`, transport), [`80 normal.${domain}`]);
      const [headless] = await ask('SRV', `_http._tcp.headless.${domain}`, transport);
      assert.match(headless ?? '', new RegExp(`^80 .*\\.headless\\.${domain}$`));
      assert.deepEqual(await ask('PTR', address, transport), [`normal.${domain}`]);
    }
  });

  it(`${dns} resolve DNS of partial qualified names for services [LinuxOnly] [Conformance]`, async t => {
    const { spec } = await makeService(t, 'dns-test-service', {
      selector: { none: 'such' },
      ports: [{ name: 'http', port: 80 }],
    });
    const ask = await resolver(t);
    for (const suffix of ['', `.${t.namespace}`, `.${t.namespace}.svc`])
      await t.eventually(
        `dns-test-service${suffix} is found`,
        async () => String(await ask('look', `dns-test-service${suffix}`)) === spec?.clusterIP,
      );
  });

  it(`${dns} provide DNS for pods for Hostname [Conformance]`, t => ofPod(t, 'dns-querier-2', 'dns-test-service-2'));
  it(`${dns} provide DNS for pods for Subdomain [Conformance]`, t => ofPod(t, 'dns-querier-2', 'dns-test-service-3'));

  it(`${dns} provide DNS for ExternalName services [Conformance]`, async t => {
    await makeService(t, 'external', { type: 'ExternalName', externalName: 'foo.example.com' });
    const ask = await resolver(t);
    const name = `external.${t.namespace}.svc.cluster.local`;
    const says = (type: string, expected: string) =>
      t.eventually(`${name} is ${expected}`, async () => String(await ask(type, name)) === expected);
    await says('CNAME', 'foo.example.com');
    await changeService(t, 'external', { externalName: 'bar.example.com' });
    await says('CNAME', 'bar.example.com');
    const { spec } = await changeService(t, 'external', {
      type: 'ClusterIP',
      externalName: null,
      ports: [{ port: 80, name: 'http', protocol: 'TCP' }],
    });
    await says('A', spec?.clusterIP ?? '');
  });

  it(`${dns} support configurable pod DNS nameservers [Conformance]`, async t => {
    const dnsConfig = { nameservers: ['1.1.1.1'], searches: ['resolv.conf.local'] };
    const { metadata } = await readyPod(t, { dnsPolicy: 'None', dnsConfig });
    const resolv = await execIn(t, metadata.name, 'cat', '/etc/resolv.conf');
    assert.deepEqual(resolv.trim().split('\n').toSorted(), ['nameserver 1.1.1.1', 'search resolv.conf.local']);
  });
});

async function ofPod(t: Trial, hostname: string, service: string): Promise<void> {
  const labels = { 'dns-test-hostname-attribute': 'true' };
  await makeService(t, service, { clusterIP: 'None', selector: labels, ports: [{ name: 'http', port: 80 }] });
  const { status } = await readyPod(t, { hostname, subdomain: service, labels });
  const ask = await resolver(t);
  const name = `${hostname}.${service}.${t.namespace}.svc.cluster.local`;
  await t.eventually(`${name} is known`, async () => String(await ask('A', name)) === status?.podIP);
}

/** Asks from within a pod: `look` as programs do, with search domains; other types the server itself, over UDP or TCP. */
async function resolver(
  t: Trial,
): Promise<(type: string, name: string, transport?: 'udp' | 'tcp') => Promise<readonly string[]>> {
  const { container, volumes } = nodeProgram(
    'setInterval(() => {}, 1e6); process.on("SIGTERM", () => process.exit(0))',
  );
  const pod = await readyPod(t, { container, ...(volumes && { volumes }) });
  const program = `
    const { Resolver, promises } = require('node:dns');
    const [type, name, transport] = process.argv.slice(1);
    const print = values => console.log(JSON.stringify(values));
    const nothing = () => print([]);
    if (type === 'look') return promises.lookup(name, { all: true }).then(all => print(all.map(each => each.address)), nothing);
    if (transport === 'tcp') process.env.RES_OPTIONS = 'use-vc';
    const resolver = new promises.Resolver({ tries: 2, timeout: 3000 });
    const asked = type === 'PTR' ? resolver.reverse(name) : resolver.resolve(name, type);
    asked.then(all => print(all.map(each => each.port === undefined ? each : each.port + ' ' + each.name)), nothing);`;
  return async (type, name, transport = 'udp') => {
    const options = transport === 'tcp' ? ['env', 'RES_OPTIONS=use-vc'] : [];
    const said = await execIn(
      t,
      pod.metadata.name,
      ...options,
      '/node/node',
      '--eval',
      `(() => {${program}})()`,
      type,
      name,
      transport,
    );
    return JSON.parse(said) as string[];
  };
}
