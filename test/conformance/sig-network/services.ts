import assert from 'node:assert/strict';
import { Service } from '#api/core/v1/service.ts';
import { apiOperations } from '../api-operations.ts';
import { conformance, type Trial } from '../conformance.ts';
import {
  answeredBy,
  asker,
  changeService,
  datagramFrom,
  fetchFrom,
  makeService,
  addressOfNode,
  nodeAddresses,
  server,
  unreachable,
} from '../network.ts';

const should = '[sig-network] Services should';
const labels = { app: 'served' };

conformance(it => {
  it(`${should} be able to create a functioning NodePort service [Conformance]`, async t => {
    const names = await backends(t);
    const made = await makeService(t, 'nodeport', {
      type: 'NodePort',
      selector: labels,
      ports: [{ port: 80, targetPort: 8080 }],
    });
    await everywhere(t, made, names);
  });

  it(`${should} be able to change the type from ExternalName to ClusterIP [Conformance]`, async t => {
    const names = await backends(t);
    await makeService(t, 'changed', { type: 'ExternalName', externalName: 'foo.example.com' });
    const { spec } = await changeService(t, 'changed', {
      type: 'ClusterIP',
      externalName: null,
      selector: labels,
      ports: [{ port: 80, targetPort: 8080, protocol: 'TCP' }],
    });
    const client = await asker(t);
    for (const host of ['changed', spec?.clusterIP ?? ''])
      await answeredBy(t, names, () => fetchFrom(t, client.metadata.name, `http://${host}/`));
  });

  it(`${should} be able to change the type from ExternalName to NodePort [Conformance]`, async t => {
    const names = await backends(t);
    await makeService(t, 'changed', { type: 'ExternalName', externalName: 'foo.example.com' });
    const made = await changeService(t, 'changed', {
      type: 'NodePort',
      externalName: null,
      selector: labels,
      ports: [{ port: 80, targetPort: 8080, protocol: 'TCP' }],
    });
    await everywhere(t, made, names);
  });

  for (const type of ['ClusterIP', 'NodePort'] as const)
    it(`${should} be able to change the type from ${type} to ExternalName [Conformance]`, async t => {
      const [name = ''] = await backends(t, 1);
      const target = await makeService(t, 'target', { selector: labels, ports: [{ port: 80, targetPort: 8080 }] });
      assert.ok(target.spec?.clusterIP);
      const made = await makeService(t, 'changed', { type, selector: labels, ports: [{ port: 80, targetPort: 8080 }] });
      const externalName = `target.${t.namespace}.svc.cluster.local`;
      const { spec } = await changeService(t, 'changed', {
        type: 'ExternalName',
        externalName,
        clusterIP: null,
        clusterIPs: null,
        ports: null,
      });
      assert.deepEqual([spec?.type, spec?.clusterIP ?? ''], ['ExternalName', '']);
      const client = await asker(t);
      await answeredBy(t, [name], () => fetchFrom(t, client.metadata.name, 'http://changed/'));
      // What it had is free again.
      const again = await makeService(t, 'again', { clusterIP: made.spec?.clusterIP, ports: [{ port: 80 }] });
      assert.equal(again.spec?.clusterIP, made.spec?.clusterIP);
    });

  for (const type of ['ClusterIP', 'NodePort'] as const) {
    const what = type === 'ClusterIP' ? 'service with type clusterIP' : 'NodePort service';
    it(`${should} have session affinity work for ${what} [LinuxOnly] [Conformance]`, async t => {
      const { ask } = await affine(t, type, 'ClientIP');
      assert.equal((await asked(ask)).size, 1);
    });
    it(`${should} be able to switch session affinity for ${what} [LinuxOnly] [Conformance]`, async t => {
      const { names, ask } = await affine(t, type, 'None');
      await answeredBy(t, names, ask);
      await changeService(t, 'affine', { sessionAffinity: 'ClientIP' });
      await t.eventually('one pod answers', async () => (await asked(ask)).size === 1);
      await changeService(t, 'affine', { sessionAffinity: 'None', sessionAffinityConfig: null });
      await answeredBy(t, names, ask);
    });
  }

  it(`${should} serve endpoints on same port and different protocols [Conformance]`, async t => {
    const [name = ''] = await backends(t, 1);
    const port = (protocol: string) => ({ name: protocol.toLowerCase(), port: 80, targetPort: 8080, protocol });
    await makeService(t, 'both', { selector: labels, ports: [port('TCP'), port('UDP')] });
    const client = await asker(t);
    const tcp = () => fetchFrom(t, client.metadata.name, 'http://both/');
    const udp = () => datagramFrom(t, client.metadata.name, 'both', 80);
    await answeredBy(t, [name], tcp);
    await answeredBy(t, [name], udp);
    await t.client.patch(
      Service,
      'both',
      { type: 'json', operations: [{ op: 'replace', path: '/spec/ports', value: [port('UDP')] }] },
      { namespace: t.namespace },
    );
    await unreachable(t, 'TCP', tcp);
    await answeredBy(t, [name], udp);
    await t.client.patch(
      Service,
      'both',
      { type: 'json', operations: [{ op: 'replace', path: '/spec/ports', value: [port('TCP')] }] },
      { namespace: t.namespace },
    );
    await answeredBy(t, [name], tcp);
    await unreachable(t, 'UDP', udp);
  });

  it(`${should} complete a service status lifecycle [Conformance]`, async t => {
    const { client, namespace } = t;
    await makeService(t, 'status', {
      type: 'LoadBalancer',
      loadBalancerClass: 'example.com/internal',
      ports: [{ port: 80 }],
    } as never);
    const where = { namespace, subresource: 'status' };
    const loadBalancer = { ingress: [{ ip: '203.0.113.1' }] };
    const patched = await client.patch(
      Service,
      'status',
      { type: 'merge', patch: { status: { loadBalancer } } },
      where,
    );
    assert.equal(patched.status?.loadBalancer?.ingress?.[0]?.ip, '203.0.113.1');
    const condition = {
      type: 'StatusUpdate',
      status: 'True',
      reason: 'E2E',
      message: 'Set from e2e test',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    };
    const updated = await client.update(
      Service,
      { ...patched, status: { ...patched.status, conditions: [condition] } } as Service,
      where,
    );
    assert.equal(updated.status?.conditions?.[0]?.reason, 'E2E');
    await client.patch(
      Service,
      'status',
      { type: 'strategic', patch: { metadata: { labels: { 'test-service': 'patched' } } } },
      { namespace },
    );
    await client.delete(Service, 'status', { namespace });
  });

  it(`${should} delete a collection of services [Conformance]`, t =>
    apiOperations(t, { kind: Service, object: { spec: { ports: [{ port: 80 }] } } }));

  it('[sig-network] HostPort validates that there is no conflict between pods with same hostPort but different hostIP and protocol [LinuxOnly] [Conformance]', async t => {
    const hostPort = 54_323;
    const first = await server(t, {
      name: 'pod1',
      more: { container: { ports: [{ containerPort: 8080, hostPort, protocol: 'TCP', hostIP: '127.0.0.1' }] } },
    });
    const on = first.spec?.nodeName ?? '';
    const address = await addressOfNode(t, on);
    const on1 = { nodeSelector: { 'kubernetes.io/hostname': on } };
    await server(t, {
      name: 'pod2',
      more: { ...on1, container: { ports: [{ containerPort: 8080, hostPort, protocol: 'TCP', hostIP: address }] } },
    });
    await server(t, {
      name: 'pod3',
      more: { ...on1, container: { ports: [{ containerPort: 8080, hostPort, protocol: 'UDP', hostIP: address }] } },
    });
    const client = await asker(t, { nodeName: on, hostNetwork: true });
    await answeredBy(t, ['pod1'], () => fetchFrom(t, client.metadata.name, `http://127.0.0.1:${hostPort}/`));
    await answeredBy(t, ['pod2'], () => fetchFrom(t, client.metadata.name, `http://${address}:${hostPort}/`));
    await answeredBy(t, ['pod3'], () => datagramFrom(t, client.metadata.name, address, hostPort));
  });
});

async function backends(t: Trial, count = 2): Promise<readonly string[]> {
  const pods = await Promise.all(
    Array.from({ length: count }, (_, index) => server(t, { name: `backend-${index}`, labels })),
  );
  return pods.map(({ metadata }) => metadata.name);
}

/** By name and address from a pod, and at every node's port. */
async function everywhere(t: Trial, { metadata, spec }: Service, names: readonly string[]): Promise<void> {
  const client = await asker(t);
  const nodePort = spec?.ports?.[0]?.nodePort ?? 0;
  assert.ok(nodePort >= 30_000);
  const hosts = [metadata.name, spec?.clusterIP, ...(await nodeAddresses(t)).map(address => `${address}:${nodePort}`)];
  for (const host of hosts) await answeredBy(t, names, () => fetchFrom(t, client.metadata.name, `http://${host}/`));
}

async function affine(t: Trial, type: 'ClusterIP' | 'NodePort', sessionAffinity: 'ClientIP' | 'None') {
  const names = await backends(t, 3);
  const { spec } = await makeService(t, 'affine', {
    type,
    sessionAffinity,
    selector: labels,
    ports: [{ port: 80, targetPort: 8080 }],
  });
  const client = await asker(t);
  const host =
    type === 'ClusterIP' ? (spec?.clusterIP ?? '') : `${(await nodeAddresses(t))[0]}:${spec?.ports?.[0]?.nodePort}`;
  const ask = () => fetchFrom(t, client.metadata.name, `http://${host}/`);
  await t.eventually('it answers', async () => (await ask()) !== '');
  return { names, ask };
}

async function asked(ask: () => Promise<string>): Promise<ReadonlySet<string>> {
  const heard = new Set<string>();
  for (let attempt = 0; attempt < 15; attempt++) heard.add(await ask());
  return heard;
}
