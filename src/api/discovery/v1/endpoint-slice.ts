import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { boolean, int32, list, map, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { ObjectReference } from '../../core/v1/object-reference.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const EndpointConditions = object('io.k8s.api.discovery.v1.EndpointConditions', {
  ready: boolean(1, { pointer: true }),
  serving: boolean(2, { pointer: true }),
  terminating: boolean(3, { pointer: true }),
});
export type EndpointConditions = TypeOf<typeof EndpointConditions>;

export const ForNode = object('io.k8s.api.discovery.v1.ForNode', {
  name: string(1, { required: true, always: true }),
});
export type ForNode = TypeOf<typeof ForNode>;

export const ForZone = object('io.k8s.api.discovery.v1.ForZone', {
  name: string(1, { required: true, always: true }),
});
export type ForZone = TypeOf<typeof ForZone>;

export const EndpointHints = object('io.k8s.api.discovery.v1.EndpointHints', {
  forNodes: list(2, ForNode, { listType: 'atomic' }),
  forZones: list(1, ForZone, { listType: 'atomic' }),
});
export type EndpointHints = TypeOf<typeof EndpointHints>;

export const Endpoint = object('io.k8s.api.discovery.v1.Endpoint', {
  addresses: list(1, types.string, { required: true, always: true, listType: 'set' }),
  conditions: struct(2, EndpointConditions, { always: true }),
  deprecatedTopology: map(5, types.string),
  hints: struct(8, EndpointHints),
  hostname: string(3, { pointer: true }),
  nodeName: string(6, { pointer: true }),
  targetRef: struct(4, ObjectReference),
  zone: string(7, { pointer: true }),
});
export type Endpoint = TypeOf<typeof Endpoint>;

export const EndpointPort = object(
  'io.k8s.api.discovery.v1.EndpointPort',
  {
    appProtocol: string(4, { pointer: true }),
    name: string(1, { pointer: true }),
    port: int32(3, { pointer: true }),
    protocol: string(2, { pointer: true }),
  },
  { mapType: 'atomic' },
);
export type EndpointPort = TypeOf<typeof EndpointPort>;

export const EndpointSlice = defineKind({
  group: 'discovery.k8s.io',
  version: 'v1',
  kind: 'EndpointSlice',
  plural: 'endpointslices',
  namespaced: true,
  type: 'io.k8s.api.discovery.v1.EndpointSlice',
  fields: {
    addressType: string(4, { required: true, always: true }),
    endpoints: list(2, Endpoint, { always: true, listType: 'atomic' }),
    metadata: struct(1, ObjectMeta, { required: true }),
    ports: list(3, EndpointPort, { always: true, listType: 'atomic' }),
  },
});
export type EndpointSlice = ObjectOf<typeof EndpointSlice>;
