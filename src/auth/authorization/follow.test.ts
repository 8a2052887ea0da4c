import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Channel } from '#base/queue.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { ClusterRole } from '#api/rbac/v1/cluster-role.ts';
import { ClusterRoleBinding } from '#api/rbac/v1/cluster-role-binding.ts';
import type { Client, WatchEvent } from '#client/client.ts';
import { openInformers } from '#client/informers.ts';
import { followRoles } from './follow.ts';
import { rbacAuthorizer } from './rbac.ts';

test('the index follows the API: a decision changes with a binding', async () => {
  const channels = new Map<string, Channel<WatchEvent<ApiObject>>>();
  const client = {
    async *watch(kind: Kind, { signal }: { signal?: AbortSignal }) {
      const channel = new Channel<WatchEvent<ApiObject>>();
      channels.set(kind.kind, channel);
      signal?.addEventListener('abort', () => channel.close(), { once: true });
      channel.push({ type: 'BOOKMARK', resourceVersion: '1', initialEventsEnd: true });
      yield* channel;
    },
  } as unknown as Client;
  using informers = openInformers(client);
  const { index, synced } = followRoles(informers);
  const { authorize } = rbacAuthorizer(index);
  await synced;
  let version = 1;
  const send = async (kind: Kind, type: 'ADDED' | 'MODIFIED' | 'DELETED', object: ApiObject) => {
    const resourceVersion = String(++version);
    channels.get(kind.kind)?.push({ type, object: { ...object, metadata: { ...object.metadata, resourceVersion } } });
    await informers.of(kind).reached(resourceVersion);
  };
  const may = async () =>
    (
      await authorize({
        user: { name: 'ann', groups: [] },
        verb: 'get',
        resourceRequest: true,
        path: '',
        group: '',
        version: 'v1',
        resource: 'pods',
        subresource: '',
        namespace: 'ns',
        name: '',
      })
    ).decision;
  const role = { metadata: { name: 'r', uid: '1' }, rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }] };
  const apiGroup = 'rbac.authorization.k8s.io';
  const binding = {
    metadata: { name: 'b', uid: '2' },
    roleRef: { apiGroup, kind: 'ClusterRole', name: 'r' },
    subjects: [{ kind: 'User', apiGroup, name: 'ann' }],
  };
  await send(ClusterRole as Kind, 'ADDED', role);
  assert.equal(await may(), 'noOpinion');
  await send(ClusterRoleBinding as Kind, 'ADDED', binding as ApiObject);
  assert.equal(await may(), 'allow');
  await send(ClusterRole as Kind, 'MODIFIED', { ...role, rules: [] } as ApiObject);
  assert.equal(await may(), 'noOpinion');
  await send(ClusterRole as Kind, 'MODIFIED', role);
  assert.equal(await may(), 'allow');
  await send(ClusterRoleBinding as Kind, 'DELETED', binding as ApiObject);
  assert.equal(await may(), 'noOpinion');
});
