import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Node } from '#api/core/v1/node.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import type { Service } from '#api/core/v1/service.ts';
import type { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { seededRandom } from '#base/random.ts';
import type { Informer } from '#client/informer.ts';
import { defaultSettings } from '../controllers.ts';
import { endpointSliceController } from './endpoint-slice.ts';

function hintsWith(trafficDistribution: string | undefined, isReady = true): unknown {
  const service = {
    metadata: { namespace: 'default', name: 'web', uid: 'u' },
    spec: {
      type: 'ClusterIP',
      sessionAffinity: 'None',
      selector: { app: 'web' },
      clusterIP: '10.96.0.9',
      clusterIPs: ['10.96.0.9'],
      ipFamilies: ['IPv4'],
      ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }],
      ...(trafficDistribution !== undefined && { trafficDistribution }),
    },
    status: { loadBalancer: {} },
  } as unknown as Service;
  const pod = {
    metadata: { namespace: 'default', name: 'web-1', uid: 'p', labels: { app: 'web' } },
    spec: { nodeName: 'one', containers: [] },
    status: {
      phase: 'Running',
      podIP: '10.244.0.5',
      podIPs: [{ ip: '10.244.0.5' }],
      conditions: [{ type: 'Ready', status: isReady ? 'True' : 'False' }],
    },
  } as unknown as Pod;
  const node = { metadata: { name: 'one', labels: { 'topology.kubernetes.io/zone': 'east' } } } as unknown as Node;
  const [action] = endpointSliceController.decide(service, {
    pods: [pod],
    // Only looked up by name.
    nodes: new Map([['one', node]]) as unknown as Informer<Node>,
    slices: [],
    nowMs: 0,
    random: seededRandom(1),
    settings: defaultSettings,
  });
  assert.equal(action?.do, 'create');
  return (action.object as unknown as EndpointSlice).endpoints?.[0]?.hints;
}

test('hints of endpoints follow trafficDistribution; those that are not ready have none', () => {
  assert.equal(hintsWith(undefined), undefined);
  assert.deepEqual(hintsWith('PreferClose'), { forZones: [{ name: 'east' }] });
  assert.deepEqual(hintsWith('PreferSameZone'), { forZones: [{ name: 'east' }] });
  assert.deepEqual(hintsWith('PreferSameNode'), { forZones: [{ name: 'east' }], forNodes: [{ name: 'one' }] });
  assert.equal(hintsWith('PreferClose', false), undefined);
});
