import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, intOrString, list, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';
import { cidrContains, parseCidr } from '#base/ip.ts';
import { checkCidr, checkMessages, checkOneOf, checkPortNumber } from '../../machinery/checks.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { isPortName } from '../../machinery/names.ts';
import { validateLabelSelector } from '../../machinery/object-meta-validation.ts';
import { formatLabelSelector } from '../../machinery/selector.ts';
import type { Report } from '../../machinery/validation.ts';
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
  egress: list(3, NetworkPolicyEgressRule, { listType: 'atomic', doc: 'Where they may send to.' }),
  ingress: list(2, NetworkPolicyIngressRule, { listType: 'atomic', doc: 'Whom they may hear from.' }),
  podSelector: struct(1, LabelSelector, { always: true, doc: 'Pods it is for; empty for all of the namespace.' }),
  policyTypes: list(4, types.string, { listType: 'atomic' }),
});
export type NetworkPolicySpec = TypeOf<typeof NetworkPolicySpec>;

export const NetworkPolicy = defineKind({
  group: 'networking.k8s.io',
  version: 'v1',
  kind: 'NetworkPolicy',
  plural: 'networkpolicies',
  namespaced: true,
  doc: 'Says which traffic pods may have.',
  shortNames: ['netpol'],
  type: 'io.k8s.api.networking.v1.NetworkPolicy',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, NetworkPolicySpec, { always: true }),
  },
  metadataChecks: { update: ['changed'] },
  columns: [
    nameColumn,
    text('Pod-Selector', 'Pods it is for.', ({ spec }) => formatLabelSelector(spec.podSelector)),
    ageColumn,
  ],
  default({ spec }) {
    for (const { ports } of [...(spec.ingress ?? []), ...(spec.egress ?? [])])
      for (const port of ports ?? []) port.protocol ??= 'TCP';
    if ((spec.policyTypes ?? []).length > 0) return;
    spec.policyTypes = (spec.egress ?? []).length > 0 ? ['Ingress', 'Egress'] : ['Ingress'];
  },
  validate({ spec }, report) {
    validatePolicy(spec, [], report.at('spec'));
  },
});
export type NetworkPolicy = ObjectOf<typeof NetworkPolicy>;

function validatePolicy(spec: NetworkPolicySpec, known: readonly string[], report: Report): void {
  validateLabelSelector(spec.podSelector, report.at('podSelector'));
  for (const [index, { ports = [], from = [] }] of (spec.ingress ?? []).entries())
    validateRule(ports, from, 'from', known, report.at('ingress').index(index));
  for (const [index, { ports = [], to = [] }] of (spec.egress ?? []).entries())
    validateRule(ports, to, 'to', known, report.at('egress').index(index));
  const policyTypes = spec.policyTypes ?? [];
  const at = report.at('policyTypes');
  if (policyTypes.length > 2) at.invalid(policyTypes, 'may not specify more than two policyTypes');
  else for (const [index, type] of policyTypes.entries()) checkOneOf(type, ['Ingress', 'Egress'], at.index(index));
}

function validateRule(
  ports: readonly NetworkPolicyPort[],
  peers: readonly NetworkPolicyPeer[],
  side: 'from' | 'to',
  known: readonly string[],
  report: Report,
): void {
  for (const [index, port] of ports.entries()) validatePort(port, report.at('ports').index(index));
  for (const [index, { podSelector, namespaceSelector, ipBlock }] of peers.entries()) {
    const at = report.at(side).index(index);
    validateLabelSelector(podSelector, at.at('podSelector'));
    validateLabelSelector(namespaceSelector, at.at('namespaceSelector'));
    if (ipBlock) validateBlock(ipBlock, known, at.at('ipBlock'));
    if (!podSelector && !namespaceSelector && !ipBlock) at.required('must specify a peer');
    if (ipBlock && (podSelector || namespaceSelector)) at.forbidden('may not specify both ipBlock and another peer');
  }
}

function validatePort({ protocol, port, endPort }: NetworkPolicyPort, report: Report): void {
  if (protocol !== undefined) checkOneOf(protocol, ['TCP', 'UDP', 'SCTP'], report.at('protocol'));
  const end = report.at('endPort');
  if (typeof port === 'number') {
    checkPortNumber(port, report.at('port'));
    if (endPort === undefined) return;
    if (endPort < port) end.invalid(port, 'must be greater than or equal to `port`');
    checkPortNumber(endPort, end);
  } else if (port === undefined) {
    if (endPort !== undefined) end.invalid(endPort, 'may not be specified when `port` is not specified');
  } else {
    if (endPort !== undefined) end.invalid(endPort, 'may not be specified when `port` is non-numeric');
    checkMessages(isPortName(port), port, report.at('port'));
  }
}

function validateBlock({ cidr, except = [] }: IPBlock, known: readonly string[], report: Report): void {
  if (!cidr) {
    report.at('cidr').required();
    return;
  }
  checkCidr(cidr, report.at('cidr'), known);
  const network = parseCidr(cidr);
  if (!network) return;
  for (const [index, text] of except.entries()) {
    const at = report.at('except').index(index);
    checkCidr(text, at, known);
    const hole = parseCidr(text);
    if (!hole) continue;
    if (!cidrContains(network, hole.address) || network.prefixLength >= hole.prefixLength)
      at.invalid(text, 'must be a strict subset of `cidr`');
  }
}
