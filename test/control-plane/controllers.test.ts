import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Deployment } from '#api/apps/v1/deployment.ts';
import { ReplicaSet } from '#api/apps/v1/replica-set.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Endpoints } from '#api/core/v1/endpoints.ts';
import { Event } from '#api/core/v1/event.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { Secret } from '#api/core/v1/secret.ts';
import { Service } from '#api/core/v1/service.ts';
import { ServiceAccount } from '#api/core/v1/service-account.ts';
import { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import type { ApiObject, Kind, Partly } from '#api/machinery/kind.ts';
import { startControlPlane, type ControlPlane } from './control-plane.ts';

const timeout = 20_000;

const web = (replicas: number, image = 'web:1'): Partly<Deployment> => ({
  metadata: { name: 'web', namespace: 'default' },
  spec: {
    replicas,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: { containers: [{ name: 'web', image, ports: [{ name: 'http', containerPort: 8080 }] }] },
    },
  },
});

const all = <Type extends ApiObject>(objects: ReadonlyMap<string, Type>) => [...objects.values()];

function rolledOut(plane: ControlPlane, replicas: number, generation = 1): Promise<Deployment> {
  return plane.until(Deployment, objects =>
    all(objects).find(
      ({ status }) =>
        status?.observedGeneration === generation &&
        status.updatedReplicas === replicas &&
        status.replicas === replicas &&
        status.availableReplicas === replicas &&
        status.conditions?.some(({ reason }) => reason === 'NewReplicaSetAvailable'),
    ),
  );
}

function gone(plane: ControlPlane, kind: Kind): Promise<boolean> {
  return plane.until(kind, objects => objects.size === 0);
}

describe('controllers against an API server', () => {
  test('a namespace gets a service account and the certificate authority', { timeout }, async () => {
    await using plane = await startControlPlane();
    await plane.client.create(Namespace, { metadata: { name: 'blue' } });
    await plane.until(ServiceAccount, accounts => accounts.get('blue/default'));
    const published = await plane.until(ConfigMap, maps => maps.get('blue/kube-root-ca.crt'));
    assert.deepEqual(published.data, { 'ca.crt': 'certificate' });
    await plane.client.delete(ServiceAccount, 'default', { namespace: 'blue' });
    await plane.until(ServiceAccount, accounts => {
      const account = accounts.get('blue/default');
      return account && account.metadata.uid !== undefined;
    });
  });

  test('a deployment rolls out, is updated, scaled and rolled back, and says so', { timeout }, async () => {
    await using plane = await startControlPlane();
    const { client } = plane;
    await client.create(Deployment, web(3));
    const first = await rolledOut(plane, 3);
    assert.equal(first.metadata.annotations?.['deployment.kubernetes.io/revision'], '1');
    const patch = (change: unknown) =>
      client.patch(Deployment, 'web', { type: 'strategic', patch: change }, { namespace: 'default' });
    await patch({ spec: { template: { spec: { containers: [{ name: 'web', image: 'web:2' }] } } } });
    await rolledOut(plane, 3, 2);
    await patch({ spec: { replicas: 5 } });
    await rolledOut(plane, 5, 3);
    await patch({ spec: { template: { spec: { containers: [{ name: 'web', image: 'web:1' }] } } } });
    await rolledOut(plane, 5, 4);
    const sets = await plane.until(ReplicaSet, objects => objects.size === 2 && all(objects));
    const revisions = sets.map(({ metadata, spec }) => [
      spec.template.spec?.containers[0]?.image,
      metadata.annotations?.['deployment.kubernetes.io/revision'],
      metadata.annotations?.['deployment.kubernetes.io/revision-history'],
      spec.replicas,
    ]);
    assert.deepEqual(
      revisions.toSorted((a, b) => String(a).localeCompare(String(b))),
      [
        ['web:1', '3', '1', 5],
        ['web:2', '2', undefined, 0],
      ],
    );
    const pods = all(plane.informers.of(Pod).objects).filter(pod => pod.metadata.deletionTimestamp === undefined);
    assert.equal(pods.length, 5);
    const events = await client.list(Event, { namespace: 'default' });
    const reasons = new Set(events.items.map(({ reason, source }) => `${source?.component} ${reason}`));
    for (const expected of ['deployment-controller ScalingReplicaSet', 'replicaset-controller SuccessfulCreate'])
      assert.ok(reasons.has(expected), expected);
  });

  test('a service is published with its ready pods, and follows them', { timeout }, async () => {
    await using plane = await startControlPlane();
    const { client } = plane;
    await client.create(Deployment, web(3));
    await client.create(Service, {
      metadata: { name: 'web', namespace: 'default', labels: { team: 'a' } },
      spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
    });
    const ready = (slice: EndpointSlice) => (slice.endpoints ?? []).filter(({ conditions }) => conditions.ready).length;
    const slice = await plane.until(EndpointSlice, slices => all(slices).find(each => ready(each) === 3));
    assert.deepEqual(slice.ports, [{ name: 'http', port: 8080, protocol: 'TCP' }]);
    assert.equal(slice.metadata.labels?.['kubernetes.io/service-name'], 'web');
    assert.equal(slice.metadata.labels?.team, 'a');
    const endpoints = await plane.until(Endpoints, objects => {
      const found = objects.get('default/web');
      return found?.subsets?.[0]?.addresses?.length === 3 && found;
    });
    assert.deepEqual(endpoints.subsets?.[0]?.ports, [{ name: 'http', port: 8080, protocol: 'TCP' }]);
    await client.patch(
      Deployment,
      'web',
      { type: 'merge', patch: { spec: { replicas: 1 } } },
      { namespace: 'default' },
    );
    await plane.until(EndpointSlice, slices => all(slices).find(each => each.endpoints?.length === 1));
    await client.delete(Service, 'web', { namespace: 'default' });
    await gone(plane, Endpoints as unknown as Kind);
    await gone(plane, EndpointSlice as unknown as Kind);
  });

  test('what is owned goes with its owner: in the background, in the foreground, or not at all', {
    timeout,
  }, async () => {
    await using plane = await startControlPlane();
    const { client } = plane;
    await client.create(Deployment, web(2));
    await rolledOut(plane, 2);
    await client.delete(Deployment, 'web', { namespace: 'default', propagationPolicy: 'Background' });
    await gone(plane, ReplicaSet as unknown as Kind);
    await gone(plane, Pod as unknown as Kind);

    await client.create(Deployment, web(2));
    await rolledOut(plane, 2);
    const order: string[] = [];
    for (const kind of [Deployment, ReplicaSet, Pod] as unknown as Kind[])
      plane.informers.of(kind).subscribe({ deleted: object => order.push(object.kind ?? '') });
    await client.delete(Deployment, 'web', { namespace: 'default', propagationPolicy: 'Foreground' });
    await gone(plane, Deployment as unknown as Kind);
    assert.deepEqual(order, ['Pod', 'Pod', 'ReplicaSet', 'Deployment']);

    await client.create(Deployment, web(2));
    await rolledOut(plane, 2);
    await client.delete(Deployment, 'web', { namespace: 'default', propagationPolicy: 'Orphan' });
    await gone(plane, Deployment as unknown as Kind);
    const sets = await plane.until(ReplicaSet, objects => objects.size === 1 && all(objects));
    assert.equal(sets[0]?.metadata.ownerReferences, undefined);
    assert.equal(plane.informers.of(Pod).objects.size, 2);
  });

  test('an object whose owner never was is removed, one with another owner left is not', { timeout }, async () => {
    await using plane = await startControlPlane();
    const { client } = plane;
    const owner = await client.create(ConfigMap, { metadata: { name: 'owner', namespace: 'default' } });
    const reference = (uid: string | undefined, name: string) => ({ apiVersion: 'v1', kind: 'ConfigMap', name, uid });
    await client.create(Secret, {
      metadata: { name: 'stray', namespace: 'default', ownerReferences: [reference('no-such-uid', 'ghost')] },
    });
    await client.create(Secret, {
      metadata: {
        name: 'shared',
        namespace: 'default',
        ownerReferences: [reference('no-such-uid', 'ghost'), reference(owner.metadata.uid, 'owner')],
      },
    });
    await plane.until(Secret, secrets => !secrets.has('default/stray'));
    const shared = await plane.until(Secret, secrets => {
      const found = secrets.get('default/shared');
      return found?.metadata.ownerReferences?.length === 1 && found;
    });
    assert.equal(shared.metadata.ownerReferences?.[0]?.name, 'owner');
  });

  test('a namespace that is deleted is emptied first, pods before the rest', { timeout }, async () => {
    await using plane = await startControlPlane();
    const { client } = plane;
    await client.create(Namespace, { metadata: { name: 'blue' } });
    await client.create(Deployment, { ...web(2), metadata: { name: 'web', namespace: 'blue' } });
    await client.create(Secret, { metadata: { name: 'held', namespace: 'blue', finalizers: ['example.com/hold'] } });
    await rolledOut(plane, 2);
    const podsAtDeletionOfSecret = plane.until(Secret, secrets => {
      const held = secrets.get('blue/held');
      return held?.metadata.deletionTimestamp !== undefined && { pods: plane.informers.of(Pod).objects.size };
    });
    await client.delete(Namespace, 'blue');
    assert.deepEqual(await podsAtDeletionOfSecret, { pods: 0 });
    const waiting = await plane.until(Namespace, namespaces => {
      const blue = namespaces.get('blue');
      return blue?.status?.conditions?.some(({ reason }) => reason === 'SomeFinalizersRemain') && blue;
    });
    assert.equal(waiting.status?.phase, 'Terminating');
    const messages = waiting.status?.conditions?.map(({ message }) => message);
    assert.ok(
      messages?.includes(
        'Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances',
      ),
      String(messages),
    );
    await client.patch(
      Secret,
      'held',
      { type: 'merge', patch: { metadata: { finalizers: [] } } },
      { namespace: 'blue' },
    );
    await plane.until(Namespace, namespaces => !namespaces.has('blue'));
  });
});
