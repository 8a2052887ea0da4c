import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Event } from '#api/core/v1/event.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ResourceClaim } from '#api/resource/v1/resource-claim.ts';
import { systemClock } from '#base/clock.ts';
import { connectPlugin } from '#kubelet/plugins/connection.ts';
import { missingForOci } from '#runtime/oci/runtime.ts';
import { eventually } from '../scenarios/eventually.ts';
import { startRealNode, type RealNode } from './cluster.ts';
import { startPlugin, type PluginProcess } from './plugin.ts';

const missing = await missingForOci();
const namespace = 'default';
const forever = 'trap exit TERM; while :; do sleep 1000 & wait; done';

/** Real plugins in processes of their own, real containers that get their devices. */
describe('devices', { skip: missing.length > 0 && missing.join(', ') }, () => {
  let node: RealNode;

  before(async () => {
    node = await startRealNode();
  });
  after(() => node?.[Symbol.asyncDispose]());

  const at = (...path: readonly string[]) => join(node.directory, 'node', ...path);
  const create = (name: string, spec: object) =>
    node.client.create(
      Pod,
      {
        metadata: { name, namespace },
        spec: { terminationGracePeriodSeconds: 1, restartPolicy: 'Never', ...spec } as object,
      },
      { namespace },
    );
  const shell = (script: string, more: object = {}) => ({
    name: 'main',
    image: 'busybox',
    imagePullPolicy: 'IfNotPresent',
    command: ['sh', '-c', script],
    ...more,
  });
  const asking = (resource: string, count: number) => ({ resources: { limits: { [resource]: String(count) } } });
  const get = (name: string) => node.client.get(Pod, name, { namespace });
  const phase = (name: string, wanted: string) =>
    eventually(`${name} is ${wanted}`, async () => (await get(name)).status?.phase === wanted && get(name));
  const log = async (name: string) => (await node.kubectl(['logs', name])).stdout;
  const remove = async (name: string) => {
    await node.client.delete(Pod, name, { namespace });
    await eventually(`${name} is gone`, () =>
      get(name).then(
        () => false,
        () => true,
      ),
    );
  };
  const allocatable = (resource: string) =>
    node.client
      .get(Node, 'node-1')
      .then(({ status }) => [status?.capacity?.[resource], status?.allocatable?.[resource]]);
  const told = (resource: string, capacity: string, healthy: string) =>
    eventually(
      `the node has ${healthy} of ${capacity} ${resource}`,
      async () => assert.deepEqual(await allocatable(resource), [capacity, healthy]) === undefined,
    );
  const podResources = async () => {
    using connection = await connectPlugin(at('pod-resources', 'kubelet.sock'), systemClock);
    return {
      list: await connection.call('/v1.PodResourcesLister/List', {}, 5000),
      allocatable: await connection.call('/v1.PodResourcesLister/GetAllocatableResources', {}, 5000),
    };
  };
  const devicePlugin = (name: string, more: Partial<Parameters<typeof startPlugin>[0]> = {}) =>
    startPlugin({
      kind: 'device',
      name,
      socket: at('device-plugins', `${name.replace('/', '-')}.sock`),
      kubelet: at('device-plugins', 'kubelet.sock'),
      devices: ['a', 'b', 'c'].map(ID => ({ ID, health: 'Healthy' })),
      ...more,
    });
  const namesOf = (plugin: PluginProcess) => plugin.calls.map(({ call }) => call);

  test('a device plugin: registered, told by the node, devices in containers, health, checkpoint', async () => {
    const resource = 'example.com/widget';
    const place = at('from-plugin');
    await mkdir(place, { recursive: true });
    await writeFile(join(place, 'driver'), 'the driver\n');
    const settings = {
      preStart: true,
      preferred: ['c', 'b'],
      answer: {
        mounts: [{ container_path: '/driver', host_path: place, read_only: true }],
        devices: [
          { container_path: '/dev/widget', host_path: '/dev/zero', permissions: 'r' },
          // One that containers do not have anyway.
          { container_path: '/dev/lever', host_path: '/dev/loop-control', permissions: 'r' },
        ],
        annotations: { 'example.com/noted': 'yes' },
      },
    };
    await using plugin = await devicePlugin(resource, settings);
    assert.deepEqual(plugin.calls.find(({ call }) => call === 'Registered')?.request, '');
    await told(resource, '3', '3');
    await create('widgets', {
      containers: [
        shell(
          `cat /driver/driver; head -c 3 /dev/widget | od -An -tx1; : < /dev/lever && echo can read; (: > /dev/lever) || echo cannot write; ${forever}`,
          asking(resource, 2),
        ),
      ],
    });
    await phase('widgets', 'Running');
    await eventually('it has said all', async () => (await log('widgets')).includes('cannot write'));
    assert.match(await log('widgets'), /^the driver\n 00 00 00\n/);
    const called = namesOf(plugin);
    assert.ok(called.indexOf('GetPreferredAllocation') < called.indexOf('Allocate'));
    assert.ok(called.indexOf('Allocate') < called.indexOf('PreStartContainer'));
    const { list, allocatable: all } = await podResources();
    const [container] = list.pod_resources.find(({ name }) => name === 'widgets')?.containers ?? [];
    assert.deepEqual(container?.devices, [{ resource_name: resource, device_ids: ['c', 'b'], topology: undefined }]);
    assert.deepEqual(all.devices.find(each => each.resource_name === resource)?.device_ids, ['a', 'b', 'c']);

    // One that falls ill is not given out; the node says so.
    await plugin.tell({
      devices: [{ ID: 'a', health: 'Unhealthy' }, ...['b', 'c'].map(ID => ({ ID, health: 'Healthy' }))],
    });
    await told(resource, '3', '2');
    // Bound past the scheduler, which would have known better.
    await create('too-many', { nodeName: 'node-1', containers: [shell('true', asking(resource, 1))] });
    const refused = await phase('too-many', 'Failed');
    assert.match(
      refused.status?.message ?? '',
      /Node didn't have enough resource: example\.com\/widget|requested number of devices unavailable/,
    );

    // A kubelet that starts anew knows whose they are, and the container goes on.
    const { containerStatuses } = (await get('widgets')).status ?? {};
    await node.restartAgent();
    const again = await eventually('monitors are answered', async () =>
      (await podResources()).list.pod_resources.find(({ name }) => name === 'widgets'),
    );
    assert.deepEqual(again.containers[0]?.devices, container?.devices);
    assert.equal(
      (await get('widgets')).status?.containerStatuses?.[0]?.containerID,
      containerStatuses?.[0]?.containerID,
    );
    const checkpoint = readFileSync(at('device-plugins', 'kubelet_internal_checkpoint'), 'utf8');
    assert.match(checkpoint, /"ResourceName":"example\.com\/widget","DeviceIDs":\{"-1":\["c","b"\]\}/);
    await remove('widgets');
    await remove('too-many');
    assert.doesNotMatch(
      readFileSync(at('device-plugins', 'kubelet_internal_checkpoint'), 'utf8'),
      /widget","DeviceIDs/,
    );
  });

  test('a device plugin that is gone has no healthy devices; one that fails to allocate fails the pod', async () => {
    const resource = 'example.com/gadget';
    {
      await using plugin = await devicePlugin(resource);
      await told(resource, '3', '3');
      await plugin.tell({ fail: { method: 'Allocate', message: 'out of order' } });
      await create('unlucky', { containers: [shell('true', asking(resource, 1))] });
      const { status } = await phase('unlucky', 'Failed');
      assert.equal(status?.reason, 'UnexpectedAdmissionError');
      assert.match(
        status?.message ?? '',
        /^Pod was rejected: Allocate failed due to rpc error: .*out of order, which is unexpected$/,
      );
      await plugin.tell({ fail: { method: 'Allocate', message: '' } });
      await create('lucky', { containers: [shell('echo $DEVICES', asking(resource, 3))] });
      await phase('lucky', 'Succeeded');
      assert.equal(await log('lucky'), 'a,b,c\n');
      // What a pod that is over had, the next one gets.
      await create('next', { containers: [shell('echo $DEVICES', asking(resource, 3))] });
      await phase('next', 'Succeeded');
    }
    await told(resource, '3', '0');
    for (const name of ['unlucky', 'lucky', 'next']) await remove(name);
  });

  test('what is no device plugin of this version is told why', async () => {
    using connection = await connectPlugin(at('device-plugins', 'kubelet.sock'), systemClock);
    const register = (request: object) =>
      connection.call('/v1beta1.Registration/Register', { endpoint: 'none.sock', ...request }, 5000);
    await assert.rejects(
      register({ version: 'v1alpha', resource_name: 'example.com/x' }),
      /requested API version "v1alpha" is not supported by kubelet\. Supported version is "v1beta1"/,
    );
    await assert.rejects(register({ version: 'v1beta1', resource_name: 'cpu' }), /the ResourceName "cpu" is invalid/);
  });

  const claim = async (name: string, driver: string, requests: readonly string[]) => {
    await node.client.create(
      ResourceClaim,
      {
        metadata: { name, namespace },
        spec: {
          devices: { requests: requests.map(each => ({ name: each, exactly: { deviceClassName: 'any' } })) },
        } as object,
        status: {},
      },
      { namespace },
    );
    return async (pod: Pod) => {
      const { name: podName, uid } = pod.metadata;
      const status = {
        allocation: {
          devices: {
            results: requests.map((request, index) => ({ request, driver, pool: 'pool', device: `device-${index}` })),
          },
        },
        reservedFor: [{ resource: 'pods', name: podName, uid }],
      };
      await node.client.patch(
        ResourceClaim,
        name,
        { type: 'merge', patch: { status } },
        { namespace, subresource: 'status' },
      );
    };
  };

  for (const [version, service] of [
    ['v1', 'v1.DRAPlugin'],
    ['v1beta1', 'v1beta1.DRAPlugin'],
  ] as const)
    test(`a DRA driver of ${version}: prepared, CDI devices in the container, given back`, async () => {
      const driver = `${version}.driver.example.com`;
      const hooked = at(`hooked-${version}`);
      await mkdir(join(node.directory, 'cdi'), { recursive: true });
      await writeFile(join(node.directory, 'hook.sh'), `#!/bin/sh\ncat > ${hooked}\n`, { mode: 0o755 });
      await writeFile(
        join(node.directory, 'cdi', `${version}.json`),
        JSON.stringify({
          cdiVersion: '0.6.0',
          kind: `${driver}/thing`,
          containerEdits: { env: ['COMMON=all'] },
          devices: [
            {
              name: 'one',
              containerEdits: {
                env: ['THING=one'],
                deviceNodes: [{ path: '/dev/thing', hostPath: '/dev/zero', permissions: 'r' }],
                mounts: [{ hostPath: join(node.directory, 'hook.sh'), containerPath: '/thing', options: ['ro'] }],
                hooks: [{ hookName: 'createRuntime', path: join(node.directory, 'hook.sh') }],
                additionalGids: [4711],
              },
            },
            { name: 'two', containerEdits: { env: ['OTHER=two'] } },
          ],
        }),
      );
      await using plugin = await startPlugin({
        kind: 'dra',
        name: driver,
        socket: at('plugins_registry', `${driver}-reg.sock`),
        versions: [service, 'v1beta1.DRAResourceHealth'],
        cdi: [`${driver}/thing=one`, `${driver}/thing=two`],
      });
      const registered = await eventually('it is told that it is registered', () =>
        plugin.calls.find(({ call }) => call === 'NotifyRegistrationStatus'),
      );
      assert.deepEqual(registered.request, { plugin_registered: true, error: '' });

      const name = `claimed-${version}`;
      const allocate = await claim(name, driver, ['request-0', 'request-1']);
      const pod = await create(name, {
        nodeName: 'node-1',
        resourceClaims: [{ name: 'things', resourceClaimName: name }],
        containers: [
          shell(`echo $COMMON $THING $OTHER; head -c 2 /dev/thing | od -An -tx1; head -1 /thing; id -G; ${forever}`, {
            resources: { claims: [{ name: 'things' }] },
          }),
          shell('echo $COMMON $THING $OTHER', {
            name: 'half',
            resources: { claims: [{ name: 'things', request: 'request-1' }] },
          }),
        ],
      });
      // Nothing starts before the claim has its devices, and the Event says why.
      await eventually('an event tells of it', async () =>
        (await node.client.list(Event, { namespace })).items.some(
          ({ reason, message }) => reason === 'FailedPrepareDynamicResources' && message?.includes('not allocated'),
        ),
      );
      await allocate(pod);
      await eventually('it runs', async () =>
        (await get(name)).status?.containerStatuses?.some(each => each.state?.running),
      );
      const said = await eventually('it has said all', async () => {
        const { stdout } = await node.kubectl(['logs', name, '-c', 'main']);
        return stdout.split('\n').length > 4 && stdout;
      });
      assert.match(said, /^all one two\n 00 00\n#!\/bin\/sh\n.*\b4711\b/);
      await eventually(
        'the other has said all',
        async () => (await node.kubectl(['logs', name, '-c', 'half'])).stdout === 'all two\n',
      );
      assert.match(readFileSync(hooked, 'utf8'), /"status"/);
      const { list } = await podResources();
      const found = list.pod_resources.find(each => each.name === name)?.containers[1]?.dynamic_resources;
      assert.deepEqual(
        found?.[0]?.claim_resources.map(each => each.cdi_devices[0]?.name),
        [`${driver}/thing=two`],
      );

      // An agent that starts anew neither prepares again nor forgets.
      await node.restartAgent();
      await eventually(
        'it is registered again',
        () => namesOf(plugin).filter(call => call === 'NotifyRegistrationStatus').length === 2,
      );
      assert.equal(namesOf(plugin).filter(call => call === 'NodePrepareResources').length, 1);
      await plugin.tell({ fail: { method: 'NodeUnprepareResources', message: 'not now' } });
      await node.client.delete(Pod, name, { namespace });
      await eventually('it was asked', () => namesOf(plugin).includes('NodeUnprepareResources'));
      assert.ok((await get(name)).metadata.deletionTimestamp !== undefined);
      await plugin.tell({ fail: { method: 'NodeUnprepareResources', message: '' } });
      await eventually('it is gone', () =>
        get(name).then(
          () => false,
          () => true,
        ),
      );
      assert.doesNotMatch(readFileSync(at('dra_manager_state'), 'utf8'), new RegExp(name));
      await node.client.delete(ResourceClaim, name, { namespace });
    });

  test('a container that names an unknown CDI device says so', async () => {
    await using plugin = await devicePlugin('example.com/cdi', {
      answer: { cdi_devices: [{ name: 'example.com/none=nothing' }] },
    });
    await told('example.com/cdi', '3', '3');
    await create('unknown-cdi', { containers: [shell('true', asking('example.com/cdi', 1))] });
    const waiting = await eventually(
      'it waits',
      async () => (await get('unknown-cdi')).status?.containerStatuses?.[0]?.state?.waiting?.message,
    );
    assert.match(waiting, /unresolvable CDI devices example\.com\/none=nothing/);
    await remove('unknown-cdi');
    assert.ok(namesOf(plugin).includes('Allocate'));
  });

  test('plugins of other types and versions are refused by name', async () => {
    await using stranger = await startPlugin({
      kind: 'dra',
      name: 'old.example.com',
      socket: at('plugins_registry', 'old.sock'),
      versions: ['v0.DRAPlugin'],
    });
    const { request } = await eventually('it is told', () =>
      stranger.calls.find(({ call }) => call === 'NotifyRegistrationStatus'),
    );
    assert.match(
      JSON.stringify(request),
      /"plugin_registered":false,"error":"invalid versions of plugin old\.example\.com/,
    );
    assert.ok(existsSync(at('plugins_registry', 'old.sock')));
  });
});
