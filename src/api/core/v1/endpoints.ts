import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, list, object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { ObjectReference } from './object-reference.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const EndpointAddress = object(
  'io.k8s.api.core.v1.EndpointAddress',
  {
    hostname: string(3),
    ip: string(1, { required: true, always: true }),
    nodeName: string(4, { pointer: true }),
    targetRef: struct(2, ObjectReference),
  },
  { mapType: 'atomic' },
);
export type EndpointAddress = TypeOf<typeof EndpointAddress>;

export const EndpointPort = object(
  'io.k8s.api.core.v1.EndpointPort',
  {
    appProtocol: string(4, { pointer: true }),
    name: string(1),
    port: int32(2, { required: true, always: true }),
    protocol: string(3, { enum: ['SCTP', 'TCP', 'UDP'] }),
  },
  { mapType: 'atomic' },
);
export type EndpointPort = TypeOf<typeof EndpointPort>;

export const EndpointSubset = object('io.k8s.api.core.v1.EndpointSubset', {
  addresses: list(1, EndpointAddress, { listType: 'atomic' }),
  notReadyAddresses: list(2, EndpointAddress, { listType: 'atomic' }),
  ports: list(3, EndpointPort, { listType: 'atomic' }),
});
export type EndpointSubset = TypeOf<typeof EndpointSubset>;

export const Endpoints = defineKind({
  group: '',
  version: 'v1',
  kind: 'Endpoints',
  plural: 'endpoints',
  namespaced: true,
  shortNames: ['ep'],
  type: 'io.k8s.api.core.v1.Endpoints',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    subsets: list(2, EndpointSubset, { listType: 'atomic' }),
  },
});
export type Endpoints = ObjectOf<typeof Endpoints>;
