import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Endpoint, EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { arrangeSlices, type EndpointGroup, type SliceFrame } from './slices.ts';

const frame: SliceFrame = {
  namespace: 'default',
  namePrefix: 'web-',
  labels: { 'kubernetes.io/service-name': 'web' },
  owner: { apiVersion: 'v1', kind: 'Service', name: 'web', uid: 'service' },
  addressType: 'IPv4',
};
const port = (number: number) => [{ name: 'http', port: number, protocol: 'TCP' }];

const endpoint = (number: number, ready = true): Endpoint => ({
  addresses: [`10.0.${number >> 8}.${number & 255}`],
  conditions: { ready, serving: ready, terminating: false },
  targetRef: { kind: 'Pod', uid: `uid-${number}` },
});
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => endpoint(from + index));

function slice(name: string, endpoints: readonly Endpoint[], portNumber = 80): EndpointSlice {
  return {
    metadata: { namespace: 'default', name, uid: name, labels: frame.labels, ownerReferences: [frame.owner] },
    addressType: 'IPv4',
    endpoints,
    ports: port(portNumber),
  };
}

const group = (endpoints: readonly Endpoint[], portNumber = 80): EndpointGroup => ({
  ports: port(portNumber),
  endpoints,
});

/** `create 100`, `update a 3`, `delete b`. */
function arranged(existing: readonly EndpointSlice[], groups: readonly EndpointGroup[]): string[] {
  return arrangeSlices(frame, existing, groups).map(action => {
    if (action.do !== 'create' && action.do !== 'update' && action.do !== 'delete') return action.do;
    const { metadata, endpoints = [] } = action.object as EndpointSlice;
    const what = action.do === 'create' ? '' : ` ${metadata.name}`;
    return `${action.do}${what}${action.do === 'delete' ? '' : ` ${endpoints.length}`}`;
  });
}

describe('slices', () => {
  const cases: readonly [
    what: string,
    existing: readonly EndpointSlice[],
    groups: readonly EndpointGroup[],
    wanted: readonly string[],
  ][] = [
    ['are made full, the rest in one more', [], [group(range(0, 250))], ['create 100', 'create 100', 'create 50']],
    ['are left alone when nothing changed', [slice('a', range(0, 5))], [group(range(0, 5))], []],
    ['take a new endpoint where there is room', [slice('a', range(0, 5))], [group(range(0, 6))], ['update a 6']],
    [
      'take new endpoints where something changes anyway',
      [slice('a', range(0, 50)), slice('b', range(50, 100))],
      [group([...range(1, 100), ...range(200, 210)])],
      ['update a 59'],
    ],
    [
      'do not move endpoints together when some leave',
      [slice('a', range(0, 50)), slice('b', range(50, 60))],
      [group(range(1, 60))],
      ['update a 49'],
    ],
    [
      'follow a change of readiness',
      [slice('a', range(0, 2))],
      [group([endpoint(0, false), endpoint(1)])],
      ['update a 2'],
    ],
    ['one stays, empty, when all endpoints are gone', [slice('a', range(0, 5))], [], ['update a 0']],
    ['an empty one is made for an owner without endpoints', [], [], ['create 0']],
    ['a full one overflows into a new one', [slice('a', range(0, 100))], [group(range(0, 101))], ['create 1']],
    [
      'of other ports are used again for the new ports',
      [slice('a', range(0, 5), 80)],
      [group(range(0, 5), 8080)],
      ['update a 5'],
    ],
    [
      'are apart for each set of ports',
      [],
      [group(range(0, 3), 80), group(range(3, 5), 8080)],
      ['create 3', 'create 2'],
    ],
    ['that are empty and not needed go', [slice('a', range(0, 5)), slice('b', [])], [group(range(0, 5))], ['delete b']],
  ];
  for (const [what, existing, groups, wanted] of cases)
    test(what, () => assert.deepEqual(arranged(existing, groups), wanted));
});
