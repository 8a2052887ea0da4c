import assert from 'node:assert/strict';
import { IPAddress } from '#api/networking/v1/ip-address.ts';
import { IngressClass } from '#api/networking/v1/ingress-class.ts';
import { Ingress } from '#api/networking/v1/ingress.ts';
import { ServiceCIDR } from '#api/networking/v1/service-cidr.ts';
import { apiOperations } from '../api-operations.ts';
import { conformance, type Trial } from '../conformance.ts';
import { makeService, server } from '../network.ts';
import { until } from '../waiting.ts';

conformance(it => {
  it('[sig-network] Ingress API should support creating Ingress API operations [Conformance]', t =>
    apiOperations(t, {
      kind: Ingress,
      object: {
        spec: {
          defaultBackend: { service: { name: 'default-backend', port: { number: 80 } } },
          rules: [
            {
              host: 'foo.bar.com',
              http: {
                paths: [
                  { path: '/', pathType: 'Prefix', backend: { service: { name: 'test', port: { number: 8080 } } } },
                ],
              },
            },
          ],
        },
      } as never,
      status: { loadBalancer: { ingress: [{ ip: '169.1.1.1' }] } },
    }));

  it('[sig-network] IngressClass API should support creating IngressClass API operations [Conformance]', t =>
    apiOperations(t, { kind: IngressClass, object: { spec: { controller: 'example.com/controller' } } }));

  it('[sig-network] ServiceCIDR and IPAddress API should support IPAddress API operations [Conformance]', async t => {
    let next = 10;
    await apiOperations(t, {
      kind: IPAddress,
      object: { spec: { parentRef: { resource: 'services', name: 'foo', namespace: t.namespace } } },
      nameOf: () => `192.168.253.${next++}`,
    });
  });

  it('[sig-network] ServiceCIDR and IPAddress API should support ServiceCIDR API operations [Conformance]', async t => {
    await until(
      t,
      ServiceCIDR,
      'kubernetes',
      'it is ready',
      ({ status }) =>
        status?.conditions?.some(({ type, status: holds }) => type === 'Ready' && holds === 'True') ?? false,
      { namespace: null },
    );
    await apiOperations(t, {
      kind: ServiceCIDR,
      object: { spec: { cidrs: ['10.196.196.0/24'] } },
      status: {
        conditions: [
          {
            type: 'CustomConditionType',
            status: 'True',
            reason: 'E2E',
            message: 'by a test',
            lastTransitionTime: '2026-01-01T00:00:00Z',
          },
        ],
      },
    });
  });

  const proxy = '[sig-network] Proxy version v1';

  it(`${proxy} should proxy through a service and a pod [Conformance]`, async t => {
    const { pod, base } = await proxied(t);
    for (const target of [
      `pods/${pod}:8080`,
      `pods/http:${pod}:8080`,
      'services/proxied:named',
      'services/http:proxied:named',
      'services/proxied:80',
    ]) {
      const answer = await t.request('GET', `${base}/${target}/proxy/url?a=b`);
      assert.deepEqual([answer.code, answer.text], [200, '/url?a=b'], target);
    }
  });

  for (const [name, path] of [
    ['Proxy', ''],
    ['ProxyWithPath', '/method'],
  ] as const)
    it(`${proxy} A set of valid responses are returned for both pod and service ${name} [Conformance]`, async t => {
      const { pod, base } = await proxied(t);
      for (const target of [`pods/${pod}:8080`, 'services/proxied:80']) {
        for (const method of ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT']) {
          const answer = await t.request(method, `${base}/${target}/proxy${path}`);
          // Without a path a client is sent where relative links work.
          if (path === '' && (method === 'GET' || method === 'HEAD')) {
            assert.deepEqual(
              [answer.code, String(answer.headers['location']).endsWith('/proxy/')],
              [301, true],
              `${method} ${target}`,
            );
            continue;
          }
          assert.equal(answer.code, 200, `${method} ${target}: ${answer.text}`);
          assert.equal(answer.headers['x-method'], method);
        }
      }
    });
});

async function proxied(t: Trial): Promise<{ readonly pod: string; readonly base: string }> {
  const labels = { app: 'proxied' };
  const { metadata } = await server(t, { labels });
  await makeService(t, 'proxied', { selector: labels, ports: [{ name: 'named', port: 80, targetPort: 8080 }] });
  const base = `/api/v1/namespaces/${t.namespace}`;
  await t.eventually(
    'the service is there',
    async () => (await t.request('GET', `${base}/services/proxied:80/proxy/`)).code === 200,
  );
  return { pod: metadata.name, base };
}
