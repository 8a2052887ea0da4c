import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, intOrString, list, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const IPBlock = object('io.k8s.api.networking.v1.IPBlock', {
  cidr: string(1, { required: true, always: true }),
  except: list(2, types.string, { listType: 'atomic' }),
});
export type IPBlock = TypeOf<typeof IPBlock>;

export const NetworkPolicyPort = object('io.k8s.api.networking.v1.NetworkPolicyPort', {
  endPort: int32(3, { pointer: true }),
  port: intOrString(2, { pointer: true }),
  protocol: string(1, { pointer: true }),
});
export type NetworkPolicyPort = TypeOf<typeof NetworkPolicyPort>;

export const NetworkPolicyPeer = object('io.k8s.api.networking.v1.NetworkPolicyPeer', {
  ipBlock: struct(3, IPBlock),
  namespaceSelector: struct(2, LabelSelector),
  podSelector: struct(1, LabelSelector),
});
export type NetworkPolicyPeer = TypeOf<typeof NetworkPolicyPeer>;

export const NetworkPolicyEgressRule = object('io.k8s.api.networking.v1.NetworkPolicyEgressRule', {
  ports: list(1, NetworkPolicyPort, { listType: 'atomic' }),
  to: list(2, NetworkPolicyPeer, { listType: 'atomic' }),
});
export type NetworkPolicyEgressRule = TypeOf<typeof NetworkPolicyEgressRule>;

export const NetworkPolicyIngressRule = object('io.k8s.api.networking.v1.NetworkPolicyIngressRule', {
  from: list(2, NetworkPolicyPeer, { listType: 'atomic' }),
  ports: list(1, NetworkPolicyPort, { listType: 'atomic' }),
});
export type NetworkPolicyIngressRule = TypeOf<typeof NetworkPolicyIngressRule>;

export const NetworkPolicySpec = object('io.k8s.api.networking.v1.NetworkPolicySpec', {
  egress: list(3, NetworkPolicyEgressRule, { listType: 'atomic' }),
  ingress: list(2, NetworkPolicyIngressRule, { listType: 'atomic' }),
  podSelector: struct(1, LabelSelector, { always: true }),
  policyTypes: list(4, types.string, { listType: 'atomic' }),
});
export type NetworkPolicySpec = TypeOf<typeof NetworkPolicySpec>;

export const NetworkPolicy = defineKind({
  group: 'networking.k8s.io',
  version: 'v1',
  kind: 'NetworkPolicy',
  plural: 'networkpolicies',
  namespaced: true,
  shortNames: ['netpol'],
  type: 'io.k8s.api.networking.v1.NetworkPolicy',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, NetworkPolicySpec, { always: true }),
  },
});
export type NetworkPolicy = ObjectOf<typeof NetworkPolicy>;
