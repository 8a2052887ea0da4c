import assert from 'node:assert/strict';
import { Endpoints } from '#api/core/v1/endpoints.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { Service } from '#api/core/v1/service.ts';
import { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { apiOperations } from '../api-operations.ts';
import { conformance, type Trial } from '../conformance.ts';
import { answeredBy, fetchFrom, makeService, server } from '../network.ts';
import { readyPod } from '../pods.ts';
import { until, untilGone } from '../waiting.ts';

conformance(it => {
  it('[sig-network] Endpoints should test the lifecycle of an Endpoint [Conformance]', t =>
    apiOperations(t, {
      kind: Endpoints,
      object: { subsets: [{ addresses: [{ ip: '10.0.0.24' }], ports: [{ name: 'http', port: 80, protocol: 'TCP' }] }] },
    }));

  it('[sig-network] EndpointSlice should support creating EndpointSlice API operations [Conformance]', t =>
    apiOperations(t, {
      kind: EndpointSlice,
      object: { addressType: 'IPv4', endpoints: [{ addresses: ['1.2.3.4', '5.6.7.8'] }] } as never,
    }));

  for (const [name, kind] of [
    [
      '[sig-network] EndpointsController should create Endpoints for Pods matching a Service [Conformance]',
      'endpoints',
    ],
    [
      '[sig-network] EndpointSlice should create Endpoints and EndpointSlices for Pods matching a Service [Conformance]',
      'slices',
    ],
  ] as const)
    it(name, async t => {
      const labels = { [kind]: t.namespace };
      const ports = [{ name: 'example-name', containerPort: 3000 }];
      const first = await readyPod(t, { name: 'pod1', labels: { ...labels, app: 'one' }, container: { ports } });
      const second = await readyPod(t, { name: 'pod2', labels, container: { ports } });
      await makeService(t, 'both', {
        selector: labels,
        ports: [{ name: 'named', port: 8080, targetPort: 'example-name' }],
      });
      await makeService(t, 'one', {
        selector: { app: 'one' },
        ports: [{ name: 'numbered', port: 80, targetPort: 3000 }],
      });
      const addresses = [first, second].map(({ status }) => status?.podIP ?? '');
      for (const [service, expected, port] of [
        ['both', addresses, 'named'],
        ['one', addresses.slice(0, 1), 'numbered'],
      ] as const) {
        const wanted = JSON.stringify([[...expected].toSorted(), [[port, 3000]]]);
        await t.eventually(
          `${service} has ${expected.join(', ')}`,
          async () =>
            JSON.stringify(kind === 'slices' ? await ofSlices(t, service) : await ofEndpoints(t, service)) === wanted,
        );
      }
      await t.client.delete(Service, 'both', { namespace: t.namespace });
      await untilGone(t, Endpoints, 'both');
      await t.eventually('its slices are gone', async () => (await slicesOf(t, 'both')).length === 0);
    });

  it('[sig-network] EndpointsController should create and delete Endpoints for a Service with a selector that matches no pods [Conformance]', async t => {
    await makeService(t, 'empty', { selector: { does: 'not-match' }, ports: [{ port: 80 }] });
    const { subsets } = await until(t, Endpoints, 'empty', 'it is there', () => true);
    assert.deepEqual(subsets ?? [], []);
    await t.client.delete(Service, 'empty', { namespace: t.namespace });
    await untilGone(t, Endpoints, 'empty');
  });

  it('[sig-network] EndpointSlice should create and delete EndpointSlices for a Service with a selector that matches no pods [Conformance]', async t => {
    await makeService(t, 'empty', { selector: { does: 'not-match' }, ports: [{ port: 80 }] });
    const [slice] = await t.eventually('there is a slice', async () => {
      const slices = await slicesOf(t, 'empty');
      return slices.length > 0 && slices;
    });
    assert.deepEqual(slice?.endpoints ?? [], []);
    await t.client.delete(Service, 'empty', { namespace: t.namespace });
    await t.eventually('it is gone', async () => (await slicesOf(t, 'empty')).length === 0);
  });

  it('[sig-network] EndpointSlice should support a Service with multiple ports specified in multiple EndpointSlices [Conformance]', async t => {
    const pod = await server(t, { name: 'both', ports: [9090, 9091] });
    await custom(t, [
      { addresses: [pod.status?.podIP ?? ''], port: 9090 },
      { addresses: [pod.status?.podIP ?? ''], port: 9091 },
    ]);
    const client = await readyPod(t);
    await answeredBy(t, ['both'], () => fetchFrom(t, client.metadata.name, 'http://custom:80/'));
  });

  it('[sig-network] EndpointSlice should support a Service with multiple endpoint IPs specified in multiple EndpointSlices [Conformance]', async t => {
    const first = await server(t, { name: 'first', ports: [9090] });
    const second = await server(t, { name: 'second', ports: [9091] });
    await custom(t, [
      { addresses: [first.status?.podIP ?? ''], port: 9090 },
      { addresses: [second.status?.podIP ?? ''], port: 9091 },
    ]);
    const client = await readyPod(t);
    await answeredBy(t, ['first', 'second'], () => fetchFrom(t, client.metadata.name, 'http://custom:80/'));
  });

  it('[sig-network] EndpointSliceMirroring should mirror a custom Endpoints resource through create update and delete [Conformance]', async t => {
    const { client, namespace } = t;
    await makeService(t, 'mirrored', { ports: [{ name: 'example', port: 80 }] });
    const subset = (ip: string) => [{ addresses: [{ ip }], ports: [{ port: 80, name: 'example', protocol: 'TCP' }] }];
    const made = await client.create<Endpoints>(
      Endpoints,
      { metadata: { name: 'mirrored' }, subsets: subset('10.1.2.3') },
      { namespace },
    );
    const mirrored = (expected: string) =>
      t.eventually(`the mirror shows ${expected}`, async () => {
        const slices = await slicesOf(t, 'mirrored');
        return slices.length === 1 && String(slices[0]?.endpoints?.flatMap(each => each.addresses)) === expected;
      });
    await mirrored('10.1.2.3');
    const [slice] = await slicesOf(t, 'mirrored');
    assert.equal(
      slice?.metadata.labels?.['endpointslice.kubernetes.io/managed-by'],
      'endpointslicemirroring-controller.k8s.io',
    );
    await client.update(Endpoints, { ...made, subsets: subset('10.2.3.4') } as Endpoints, { namespace });
    await mirrored('10.2.3.4');
    await client.delete(Endpoints, 'mirrored', { namespace });
    await t.eventually('the mirror is gone', async () => (await slicesOf(t, 'mirrored')).length === 0);
  });

  it('[sig-network] Services should serve a basic endpoint from pods [Conformance]', t =>
    follows(t, [{ port: 80, targetPort: 8080 }]));
  it('[sig-network] Services should serve multiport endpoints from pods [Conformance]', t =>
    follows(t, [
      { name: 'one', port: 80, targetPort: 8080 },
      { name: 'two', port: 81, targetPort: 8081 },
    ]));

  it('[sig-network] Service endpoints latency should not be very high [Conformance]', async t => {
    const labels = { name: 'latency' };
    await readyPod(t, { labels });
    const count = 100;
    const tookMs = await Promise.all(
      Array.from({ length: count }, async (_, index) => {
        const startMs = performance.now();
        await makeService(t, `latency-${index}`, { selector: labels, ports: [{ port: 80 }] });
        await until(
          t,
          Endpoints,
          `latency-${index}`,
          'it has its pod',
          ({ subsets }) => (subsets?.[0]?.addresses?.length ?? 0) === 1,
        );
        return performance.now() - startMs;
      }),
    );
    const sorted = tookMs.toSorted((a, b) => a - b);
    assert.ok(
      (sorted[count / 2] ?? 0) < 20_000 && (sorted[0.9 * count] ?? 0) < 50_000,
      `${sorted[count / 2]} and ${sorted[0.9 * count]} ms`,
    );
  });
});

async function slicesOf({ client, namespace }: Trial, service: string): Promise<readonly EndpointSlice[]> {
  const { items } = await client.list(EndpointSlice, {
    namespace,
    labelSelector: `kubernetes.io/service-name=${service}`,
  });
  return items.filter(({ metadata }) => !metadata.deletionTimestamp);
}

async function ofSlices(t: Trial, service: string) {
  const slices = await slicesOf(t, service);
  const addresses = slices.flatMap(({ endpoints = [] }) => endpoints.flatMap(each => each.addresses)).toSorted();
  return [addresses, slices[0]?.ports?.map(({ name, port }) => [name, port])];
}

async function ofEndpoints({ client, namespace }: Trial, service: string) {
  const { subsets } = await client.get(Endpoints, service, { namespace });
  const [subset] = subsets ?? [];
  return [subset?.addresses?.map(({ ip }) => ip).toSorted(), subset?.ports?.map(({ name, port }) => [name, port])];
}

/** A Service without selector, with slices made by hand. */
async function custom(
  t: Trial,
  slices: readonly { readonly addresses: readonly string[]; readonly port: number }[],
): Promise<void> {
  await makeService(t, 'custom', { ports: [{ name: 'example', port: 80, protocol: 'TCP' }] });
  for (const [index, { addresses, port }] of slices.entries())
    await t.client.create<EndpointSlice>(
      EndpointSlice,
      {
        metadata: {
          name: `custom-${index}`,
          labels: {
            'kubernetes.io/service-name': 'custom',
            'endpointslice.kubernetes.io/managed-by': 'e2e-test.k8s.io',
          },
        },
        addressType: 'IPv4',
        ports: [{ name: 'example', port, protocol: 'TCP' }],
        endpoints: [{ addresses }],
      } as never,
      { namespace: t.namespace },
    );
}

/** Endpoints come and go with the pods. */
async function follows(
  t: Trial,
  ports: readonly { readonly name?: string; readonly port: number; readonly targetPort: number }[],
): Promise<void> {
  const labels = { follows: 'yes' };
  await makeService(t, 'followed', { selector: labels, ports: [...ports] });
  const client = await readyPod(t);
  const served = async (expected: readonly string[]) => {
    await until(
      t,
      Endpoints,
      'followed',
      `it has ${expected.length} pods`,
      ({ subsets = [] }) => (subsets[0]?.addresses?.length ?? 0) === expected.length,
    );
    if (expected.length > 0)
      for (const { port } of ports)
        await answeredBy(t, expected, () => fetchFrom(t, client.metadata.name, `http://followed:${port}/`));
  };
  const make = (name: string) => server(t, { name, labels, ports: [8080, 8081] });
  await served([]);
  await make('pod1');
  await served(['pod1']);
  await make('pod2');
  await served(['pod1', 'pod2']);
  await t.client.delete(Pod, 'pod1', { namespace: t.namespace });
  await served(['pod2']);
  await t.client.delete(Pod, 'pod2', { namespace: t.namespace });
  await served([]);
}
