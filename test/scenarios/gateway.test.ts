import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { identifyProcess, isAlive } from '#base/kernel/process.ts';
import { missing, proxyPackages } from '../../src/cluster/packages.ts';
import {
  exact,
  gateway,
  gatewayApi,
  http,
  infra,
  prefix,
  route,
  rule,
  secret,
  startGatewayCluster,
  type GatewayCluster,
} from '../gateway/cluster.ts';
import { baseObjects, gatewayTests } from '../gateway/conformance.ts';
import { ask, certificateFor, type Agents } from '../gateway/requests.ts';
import { realContainers } from './cluster.ts';
import { eventually } from './eventually.ts';
import { container, deployment } from './objects.ts';

const run = promisify(execFile);
const skip = realContainers ?? (missing(proxyPackages).length > 0 ? 'haproxy is missing' : undefined);

/** One of each sort; `npm run conformance:gateway` runs all. */
const quick = [
  'HTTPRouteMatchingAcrossRoutes',
  'HTTPRouteHTTPSListenerDetectMisdirectedRequests',
  'GRPCExactMethodMatching',
  'TLSRouteMixedTerminationSameNamespace',
];

describe('Ingresses and Gateways', { skip }, () => {
  let own: GatewayCluster;
  before(async () => {
    own = await startGatewayCluster();
    await own.apply(...(await baseObjects(own)));
  });
  after(async () => {
    await own?.[Symbol.asyncDispose]();
  });

  for (const { name, objects, check } of gatewayTests.filter(each => quick.includes(each.name)))
    test(name, async () => {
      const list = await objects();
      await own.apply(...list);
      await check(own);
      await own.remove(...list);
    });

  test('an Ingress: hosts, wildcards, path types, the default backend, certificates by name, its address', async () => {
    const to = (name: string) => ({ service: { name: `infra-backend-${name}`, port: { number: 8080 } } });
    const path = (text: string, pathType: string, name: string) => ({ path: text, pathType, backend: to(name) });
    await own.apply(
      secret('shop', await own.certificate('shop.example')),
      secret('others', await own.certificate('*.others.example')),
      {
        apiVersion: 'networking.k8s.io/v1',
        kind: 'Ingress',
        metadata: { name: 'shop', namespace: infra },
        spec: {
          defaultBackend: to('v3'),
          tls: [
            { hosts: ['shop.example'], secretName: 'shop' },
            { hosts: ['*.others.example'], secretName: 'others' },
          ],
          rules: [
            {
              host: 'shop.example',
              http: {
                paths: [
                  path('/', 'Prefix', 'v1'),
                  path('/cart', 'Exact', 'v2'),
                  path('/cart/items/', 'Prefix', 'v2'),
                  path('/impl', 'ImplementationSpecific', 'v2'),
                ],
              },
            },
            { host: '*.others.example', http: { paths: [path('/', 'Prefix', 'v2')] } },
          ],
        },
      },
    );
    let createdMs = 0;
    // The admission plugin has found the only class that is the default.
    const address = await eventually('the Ingress has an address', async () => {
      const { metadata, spec, status } = await own.cluster.get<{
        readonly metadata: { readonly creationTimestamp: string };
        readonly spec: { readonly ingressClassName: string };
        readonly status: { readonly loadBalancer: { readonly ingress?: readonly { readonly ip: string }[] } };
      }>('ingress', 'shop', `--namespace=${infra}`);
      createdMs = Date.parse(metadata.creationTimestamp);
      assert.equal(spec.ingressClassName, 'windlass');
      return status.loadBalancer.ingress?.[0]?.ip;
    });
    await own.expect(address, [
      ['shop.example/', 'infra-backend-v1'],
      ['SHOP.example:80/x', 'infra-backend-v1'],
      ['shop.example/cart', 'infra-backend-v2'],
      ['shop.example/cart/', 'infra-backend-v1'],
      ['shop.example/cart/items', 'infra-backend-v2'],
      ['shop.example/cart/items/1', 'infra-backend-v2'],
      ['shop.example/cart/itemsx', 'infra-backend-v1'],
      ['shop.example/impl/x', 'infra-backend-v2'],
      ['a.others.example/', 'infra-backend-v2'],
      // A wildcard stands for one label.
      ['a.b.others.example/', 'infra-backend-v3'],
      ['elsewhere.example/', 'infra-backend-v3'],
      [{ serverName: 'shop.example', host: 'shop.example' }, 'infra-backend-v1'],
    ]);
    assert.equal(await certificateFor(address, 'a.others.example'), '*.others.example');
    await assert.rejects(certificateFor(address, 'elsewhere.example'));
    // Of two of one second the one with the lesser name would be the first.
    await eventually('another second', () => Date.now() >= createdMs + 1_000);
    // Who comes later gets neither the path nor the certificate of who was first.
    await own.apply(secret('thief', await own.certificate('shop.example', 'thief'), 'default'), {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'Ingress',
      metadata: { name: 'thief', namespace: 'default' },
      spec: {
        tls: [{ hosts: ['shop.example', 'thief.example'], secretName: 'thief' }],
        rules: [
          { host: 'shop.example', http: { paths: [path('/cart', 'Exact', 'v3'), path('/free', 'Prefix', 'v3')] } },
        ],
      },
    });
    // Its own backend is not there.
    await own.expect(address, [['shop.example/free', 503]]);
    await own.expect(address, [['shop.example/cart', 'infra-backend-v2']]);
    const shown = await run(
      'openssl',
      ['s_client', '-connect', `${address}:443`, '-servername', 'shop.example', '-showcerts'],
      { timeout: 5_000 },
    ).catch((error: { readonly stdout: string }) => error);
    assert.doesNotMatch(shown.stdout, /thief/);
    const { stdout } = await run('curl', [
      '-s',
      '--max-time',
      '5',
      '-o',
      '/dev/null',
      '-w',
      '%{http_code} %{http_version}',
      '--http2',
      '-k',
      '--resolve',
      `shop.example:443:${address}`,
      'https://shop.example/',
    ]);
    assert.equal(stdout, '200 2');
  });

  test('hostile words: what the server lets through reaches the proxy as text, and nobody else is harmed', async () => {
    const address = await own.addressOf('same-namespace');
    const words = '"; }) os.execute("touch /tmp/windlass-injected") --[[ # %[env(PATH)] \\ \' ${HOME} ]] ä';
    await own.apply(
      route('harmless', 'same-namespace', [rule('v1', [exact('/harmless')])]),
      route('hostile', 'same-namespace', [
        rule('v1', [{ ...prefix('/hostile'), headers: [{ name: "X-!#$%&'*+.^_`|~", value: words }] }]),
        rule('v1', [prefix('/sets')], {
          filters: [
            {
              type: 'RequestHeaderModifier',
              requestHeaderModifier: { set: [{ name: "X-!#$%&'*+.^_`|~", value: words.slice(0, -2) }] },
            },
          ],
        }),
        rule('v1', [{ path: { type: 'RegularExpression', value: '/(a+)+b' } }]),
      ]),
      route('broken', 'same-namespace', [
        rule('v1', [prefix('/splits')], {
          filters: [
            {
              type: 'ResponseHeaderModifier',
              responseHeaderModifier: { set: [{ name: 'x-split', value: 'a\r\nset-cookie: stolen=1' }] },
            },
          ],
        }),
      ]),
      route('frames', 'same-namespace', [
        rule('v1', [prefix('/frames')], {
          filters: [
            {
              type: 'RequestHeaderModifier',
              requestHeaderModifier: { set: [{ name: 'Transfer-Encoding', value: 'chunked' }] },
            },
          ],
        }),
      ]),
    );
    await own.conditions('httproute', 'hostile', ['Accepted=True']);
    for (const name of ['broken', 'frames'])
      await own.conditions('httproute', name, ['Accepted=False/UnsupportedValue']);
    await own.expect(address, [
      ['/harmless', 'infra-backend-v1'],
      ['/hostile', 404],
      ['/sets', 'infra-backend-v1'],
      ['/splits', 404],
      ['/aaab', 'infra-backend-v1'],
    ]);
    assert.equal((await ask(address, { path: '/sets' })).echo?.headers["x-!#$%&'*+.^_`|~"], words.slice(0, -2));
    const startMs = performance.now();
    assert.equal((await ask(address, { path: `/${'a'.repeat(8_000)}` })).status, 404);
    assert.ok(performance.now() - startMs < 1_000);
    // What a client says of itself is not believed, and dots do not lead around a rule.
    const echo = (
      await ask(address, { path: '/x/../harmless', headers: { 'x-forwarded-for': '1.2.3.4', 'x-real-ip': '1.2.3.4' } })
    ).echo;
    assert.deepEqual([echo?.path, echo?.headers['x-real-ip']], ['/harmless', undefined]);
    assert.doesNotMatch(String(echo?.headers['x-forwarded-for']), /1\.2\.3\.4/);
    await own.remove(
      route('hostile', '', []),
      route('broken', '', []),
      route('frames', '', []),
      route('harmless', '', []),
    );
  });

  test('no request fails through a rolling update, changes of routes, new certificates and a control plane that is killed', async () => {
    const image = (version: string) => container(`${own.cluster.registry}/web:${version}`, { readyPath: '/healthz' });
    const web = (version: string) => {
      const made = deployment('web', 3, image(version)) as { readonly metadata: object };
      return { ...made, metadata: { ...made.metadata, namespace: infra } };
    };
    const https = {
      name: 'https',
      port: 443,
      protocol: 'HTTPS',
      hostname: 'steady.example',
      tls: { certificateRefs: [{ name: 'steady' }] },
    };
    const steady = (more: readonly object[] = []) =>
      route('steady', 'steady', [...more, { backendRefs: [{ name: 'web', port: 80 }] }], {
        hostnames: ['steady.example'],
      });
    await own.apply(
      web('v1'),
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'web', namespace: infra },
        spec: { selector: { app: 'web' }, ports: [{ port: 80 }] },
      },
      secret('steady', await own.certificate('steady.example')),
      gateway('steady', [http(), https]),
      steady(),
    );
    await own.cluster.kubectl('rollout', 'status', 'deployment/web', `--namespace=${infra}`);
    const address = await own.addressOf('steady');
    const plain = { host: 'steady.example', path: '/healthz' };
    const secure = { ...plain, serverName: 'steady.example' };
    await own.expect(address, [
      [plain, 200],
      [secure, 200],
    ]);

    const agents: Agents = { http: new Agent({ keepAlive: true }), https: new TlsAgent({ keepAlive: true }) };
    let going = true;
    const counts = { done: 0, failed: [] as string[] };
    const keepAsking = async (wish: Parameters<typeof ask>[1], through?: Agents) => {
      while (going) {
        const got = await ask(address, wish, through).catch((error: unknown) => ({ status: String(error) }));
        counts.done++;
        if (got.status !== 200) counts.failed.push(String(got.status));
        // Two hundred a second are enough, and leave the machine to what is tested.
        await pause(15);
      }
    };
    const askers = [keepAsking(plain), keepAsking(plain, agents), keepAsking(secure), keepAsking(secure, agents)];
    const loads = () =>
      own.cluster
        .kubectl('get', '--raw', '/metrics')
        .then(text => Number(/^windlass_gateway_proxy_loads_total (\d+)/m.exec(text)?.[1] ?? 0));

    const before = await loads();
    await own.apply(web('v2'));
    await own.cluster.kubectl('rollout', 'status', 'deployment/web', `--namespace=${infra}`);
    assert.equal(await loads(), before, 'servers come and go without a new worker');

    for (let index = 0; index < 3; index++) {
      await own.apply(steady([rule('v1', [prefix(`/change-${index}`)])]));
      await own.expect(address, [[`steady.example/change-${index}`, 'infra-backend-v1']]);
    }
    const serialOf = async () =>
      (
        await run('sh', [
          '-c',
          `openssl s_client -connect ${address}:443 -servername steady.example </dev/null 2>/dev/null | openssl x509 -noout -serial`,
        ])
      ).stdout;
    const serial = await serialOf();
    await own.apply(secret('steady', await own.certificate('steady.example')));
    await eventually('the new certificate is shown', async () => (await serialOf()) !== serial);

    process.kill(own.cluster.pid('control-plane'), 'SIGKILL');
    const asked = counts.done;
    await eventually('requests go on', () => counts.done > asked + 20);
    await eventually('a change comes through again', async () => {
      await own.apply(steady([rule('v2', [prefix('/after')])]));
      return true;
    });
    await own.expect(address, [['steady.example/after', 'infra-backend-v2']]);
    going = false;
    await Promise.all(askers);
    for (const agent of [agents.http, agents.https]) agent.destroy();
    assert.deepEqual(counts.failed, [], `of ${counts.done} requests`);
    assert.ok(counts.done > 200, String(counts.done));
  });

  test('the proxy that is killed comes back, and what it measures can be read', async () => {
    const address = await own.addressOf('steady');
    const metrics = await run('curl', ['-s', '--max-time', '5', `http://${await machineOf(own)}:61000/metrics`]);
    assert.match(metrics.stdout, /haproxy_frontend_http_requests_total/);
    process.kill(Number(await pidOfProxy(own)), 'SIGKILL');
    await own.expect(address, [[{ host: 'steady.example', path: '/healthz' }, 200]]);
  });

  test('`up --no-gateway --no-ingress` ends the proxy', async () => {
    const proxy = await eventually('the proxy runs', async () => identifyProcess(Number(await pidOfProxy(own))));
    await own.cluster.windlass('down');
    // A zombie that its new parent has not yet looked after does not run.
    assert.ok(!isAlive(proxy));
    await own.cluster.windlass('up', '--detach', '--no-gateway', '--no-ingress');
    writeFileSync(
      join(own.cluster.dataDir, 'ingress.json'),
      JSON.stringify({ apiVersion: gatewayApi, kind: 'HTTPRoute', metadata: { name: 'x' }, spec: {} }),
    );
    assert.match(
      await own.cluster.kubectl('apply', '--filename', join(own.cluster.dataDir, 'ingress.json')),
      /created/,
    );
    assert.equal(await pidOfProxy(own), '');
  });
});

async function machineOf(own: GatewayCluster): Promise<string> {
  const podCidr = await own.cluster.kubectl('get', 'nodes', '--output=jsonpath={.items[0].spec.podCIDR}');
  return podCidr.replace(/\d+\/\d+$/, '1');
}

async function pidOfProxy(own: GatewayCluster): Promise<string> {
  const { stdout } = await run('sh', ['-c', `cat ${own.cluster.dataDir}/run/gateway/haproxy.pid 2>/dev/null || true`]);
  return stdout.trim();
}
