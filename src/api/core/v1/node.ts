import { defineKind, type ObjectOf, type WithSpec } from '../../machinery/kind.ts';
import {
  boolean,
  int32,
  int64,
  list,
  map,
  object,
  string,
  struct,
  time,
  types,
  type TypeOf,
} from '../../machinery/schema.ts';
import { checkCidr, checkPositive, checkQualifiedName, isDualStack } from '../../machinery/checks.ts';
import { ageColumn, nameColumn, text, wide } from '../../machinery/columns.ts';
import { goForm } from '../../machinery/go-form.ts';
import { byteLength, isLabelValue } from '../../machinery/names.ts';
import type { Report } from '../../machinery/validation.ts';
import { checkResourceQuantity } from './pod-resources.ts';
import { checkTaintEffect } from './scheduling-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const AttachedVolume = object('io.k8s.api.core.v1.AttachedVolume', {
  devicePath: string(2, { required: true, always: true }),
  name: string(1, { required: true, always: true }),
});
export type AttachedVolume = TypeOf<typeof AttachedVolume>;

export const ConfigMapNodeConfigSource = object('io.k8s.api.core.v1.ConfigMapNodeConfigSource', {
  kubeletConfigKey: string(5, { required: true, always: true }),
  name: string(2, { required: true, always: true }),
  namespace: string(1, { required: true, always: true }),
  resourceVersion: string(4),
  uid: string(3),
});
export type ConfigMapNodeConfigSource = TypeOf<typeof ConfigMapNodeConfigSource>;

export const ContainerImage = object('io.k8s.api.core.v1.ContainerImage', {
  names: list(1, types.string, { always: true, listType: 'atomic' }),
  sizeBytes: int64(2),
});
export type ContainerImage = TypeOf<typeof ContainerImage>;

export const DaemonEndpoint = object('io.k8s.api.core.v1.DaemonEndpoint', {
  Port: int32(1, { required: true, always: true }),
});
export type DaemonEndpoint = TypeOf<typeof DaemonEndpoint>;

export const NodeConfigSource = object('io.k8s.api.core.v1.NodeConfigSource', {
  configMap: struct(2, ConfigMapNodeConfigSource),
});
export type NodeConfigSource = TypeOf<typeof NodeConfigSource>;

export const Taint = object('io.k8s.api.core.v1.Taint', {
  effect: string(3, { required: true, always: true, enum: ['NoExecute', 'NoSchedule', 'PreferNoSchedule'] }),
  key: string(1, { required: true, always: true }),
  timeAdded: time(4),
  value: string(2),
});
export type Taint = TypeOf<typeof Taint>;

export const NodeSpec = object('io.k8s.api.core.v1.NodeSpec', {
  configSource: struct(6, NodeConfigSource),
  externalID: string(2),
  podCIDR: string(1),
  podCIDRs: list(7, types.string, { listType: 'set', patchStrategy: 'merge' }),
  providerID: string(3),
  taints: list(5, Taint, { listType: 'atomic', doc: 'What keeps pods away that do not tolerate it.' }),
  unschedulable: boolean(4, { doc: 'Whether it takes no new pods.' }),
});
export type NodeSpec = TypeOf<typeof NodeSpec>;

export const NodeAddress = object('io.k8s.api.core.v1.NodeAddress', {
  address: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type NodeAddress = TypeOf<typeof NodeAddress>;

export const NodeCondition = object('io.k8s.api.core.v1.NodeCondition', {
  lastHeartbeatTime: time(3, { always: true }),
  lastTransitionTime: time(4, { always: true }),
  message: string(6),
  reason: string(5),
  status: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type NodeCondition = TypeOf<typeof NodeCondition>;

export const NodeConfigStatus = object('io.k8s.api.core.v1.NodeConfigStatus', {
  active: struct(2, NodeConfigSource),
  assigned: struct(1, NodeConfigSource),
  error: string(4),
  lastKnownGood: struct(3, NodeConfigSource),
});
export type NodeConfigStatus = TypeOf<typeof NodeConfigStatus>;

export const NodeDaemonEndpoints = object('io.k8s.api.core.v1.NodeDaemonEndpoints', {
  kubeletEndpoint: struct(1, DaemonEndpoint, { always: true }),
});
export type NodeDaemonEndpoints = TypeOf<typeof NodeDaemonEndpoints>;

export const NodeFeatures = object('io.k8s.api.core.v1.NodeFeatures', {
  supplementalGroupsPolicy: boolean(1, { pointer: true }),
});
export type NodeFeatures = TypeOf<typeof NodeFeatures>;

export const NodeSwapStatus = object('io.k8s.api.core.v1.NodeSwapStatus', {
  capacity: int64(1, { pointer: true }),
});
export type NodeSwapStatus = TypeOf<typeof NodeSwapStatus>;

export const NodeSystemInfo = object('io.k8s.api.core.v1.NodeSystemInfo', {
  architecture: string(10, { required: true, always: true }),
  bootID: string(3, { required: true, always: true }),
  containerRuntimeVersion: string(6, { required: true, always: true }),
  kernelVersion: string(4, { required: true, always: true }),
  kubeProxyVersion: string(8, { required: true, always: true }),
  kubeletVersion: string(7, { required: true, always: true }),
  machineID: string(1, { required: true, always: true }),
  operatingSystem: string(9, { required: true, always: true }),
  osImage: string(5, { required: true, always: true }),
  swap: struct(11, NodeSwapStatus),
  systemUUID: string(2, { required: true, always: true }),
});
export type NodeSystemInfo = TypeOf<typeof NodeSystemInfo>;

export const NodeRuntimeHandlerFeatures = object('io.k8s.api.core.v1.NodeRuntimeHandlerFeatures', {
  recursiveReadOnlyMounts: boolean(1, { pointer: true }),
  userNamespaces: boolean(2, { pointer: true }),
});
export type NodeRuntimeHandlerFeatures = TypeOf<typeof NodeRuntimeHandlerFeatures>;

export const NodeRuntimeHandler = object('io.k8s.api.core.v1.NodeRuntimeHandler', {
  features: struct(2, NodeRuntimeHandlerFeatures),
  name: string(1, { always: true }),
});
export type NodeRuntimeHandler = TypeOf<typeof NodeRuntimeHandler>;

export const NodeStatus = object('io.k8s.api.core.v1.NodeStatus', {
  addresses: list(5, NodeAddress, {
    listType: 'map',
    mapKeys: ['type'],
    patchStrategy: 'merge',
    patchMergeKey: 'type',
  }),
  allocatable: map(2, types.resourceQuantity),
  capacity: map(1, types.resourceQuantity),
  conditions: list(4, NodeCondition, {
    listType: 'map',
    mapKeys: ['type'],
    patchStrategy: 'merge',
    patchMergeKey: 'type',
  }),
  config: struct(11, NodeConfigStatus),
  daemonEndpoints: struct(6, NodeDaemonEndpoints, { always: true }),
  declaredFeatures: list(14, types.string, { listType: 'atomic' }),
  features: struct(13, NodeFeatures),
  images: list(8, ContainerImage, { listType: 'atomic' }),
  nodeInfo: struct(7, NodeSystemInfo, { always: true }),
  phase: string(3, { enum: ['Pending', 'Running', 'Terminated'] }),
  runtimeHandlers: list(12, NodeRuntimeHandler, { listType: 'atomic' }),
  volumesAttached: list(10, AttachedVolume, { listType: 'atomic' }),
  volumesInUse: list(9, types.string, { listType: 'atomic' }),
});
export type NodeStatus = TypeOf<typeof NodeStatus>;

export const Node = defineKind({
  group: '',
  version: 'v1',
  kind: 'Node',
  plural: 'nodes',
  namespaced: false,
  doc: 'A machine that runs pods.',
  shortNames: ['no'],
  subresources: {
    proxy: {
      verbs: ['create', 'delete', 'get', 'patch', 'update'],
      kind: { group: '', version: 'v1', kind: 'NodeProxyOptions' },
    },
    status: { verbs: ['get', 'patch', 'update'] },
  },
  type: 'io.k8s.api.core.v1.Node',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, NodeSpec, { always: true }),
    status: struct(3, NodeStatus, { always: true }),
  },
  columns: [
    nameColumn,
    text('Status', 'Whether it is ready and takes pods.', ({ spec, status }) => stateOf(spec, status)),
    text('Roles', 'What it is for, by its labels.', ({ metadata }) => rolesOf(metadata)),
    ageColumn,
    text('Version', 'Version of its agent.', ({ status }) => status.nodeInfo?.kubeletVersion ?? ''),
    wide(text('Internal-IP', 'Address inside of the cluster.', ({ status }) => addressOf(status, 'InternalIP'))),
    wide(text('External-IP', 'Address for the outside.', ({ status }) => addressOf(status, 'ExternalIP'))),
    wide(text('OS-Image', 'Its operating system.', ({ status }) => status.nodeInfo?.osImage || '<unknown>')),
    wide(text('Kernel-Version', 'Its kernel.', ({ status }) => status.nodeInfo?.kernelVersion || '<unknown>')),
    wide(
      text(
        'Container-Runtime',
        'What runs its containers.',
        ({ status }) => status.nodeInfo?.containerRuntimeVersion || '<unknown>',
      ),
    ),
  ],
  fieldSelectors: { 'spec.unschedulable': ({ spec }) => String(spec.unschedulable ?? false) },
  hasGeneration: false,
  default({ spec, status }) {
    const { podCIDR = '', podCIDRs = [] } = spec;
    // The single one counts when they differ.
    if (podCIDR !== '' && podCIDRs[0] !== podCIDR) spec.podCIDRs = [podCIDR];
    else if (podCIDR === '' && podCIDRs[0]) spec.podCIDR = podCIDRs[0];
    if (status.capacity && !status.allocatable) status.allocatable = { ...status.capacity };
  },
  prepareForCreate({ spec }) {
    delete spec.configSource;
  },
  prepareForUpdate({ spec }, old) {
    if (!old.spec.configSource) delete spec.configSource;
  },
  prepareForStatusUpdate({ status }, old) {
    if (!old.status.config) delete status.config;
  },
  validate({ spec, status }, report) {
    // Upstream reports taints and swap under metadata.
    validateTaints(spec.taints ?? [], report.at('metadata', 'taints'));
    validateResources(status, report.at('status'));
    const swap = status.nodeInfo.swap?.capacity;
    if (swap !== undefined) checkPositive(swap, report.at('metadata', 'nodeSwapStatus', 'capacity'));
    validateFeatures(status.declaredFeatures ?? [], report.at('status', 'declaredFeatures'));
    validateCidrs(spec.podCIDRs ?? [], report.at('spec', 'podCIDRs'));
  },
  validateUpdate(node, old, report) {
    validateChange(node, old, report);
  },
  validateStatusUpdate(node, old, report) {
    validateChange(node, old, report);
  },
  warnings: ({ spec }) =>
    spec.externalID ? ['spec.externalID: this field is deprecated, and is unused by Kubernetes'] : [],
});
export type Node = ObjectOf<typeof Node>;

function validateTaints(taints: readonly Taint[], report: Report): void {
  const seen = new Set<string>();
  for (const [index, taint] of taints.entries()) {
    const { key = '', value = '', effect } = taint;
    const at = report.index(index);
    checkQualifiedName(key, at.at('key'));
    const messages = isLabelValue(value);
    if (messages.length > 0) at.at('value').invalid(value, messages.join(';'));
    checkTaintEffect(effect, at.at('effect'));
    const pair = `${effect} ${key}`;
    if (seen.has(pair)) at.duplicate(goForm(Taint, taint), 'taints must be unique by key and effect pair');
    seen.add(pair);
  }
}

type NodeLike = WithSpec<NodeSpec, NodeStatus>;

/** Of any update, that of the status too; upstream looks at much of it twice. */
function validateChange({ spec, status }: NodeLike, old: NodeLike, report: Report): void {
  validateResources(status, report.at('status'));
  validateFeatures(status.declaredFeatures ?? [], report.at('status', 'declaredFeatures'));
  const addresses = new Set<string>();
  for (const [index, address] of (status.addresses ?? []).entries()) {
    const pair = `${address.type} ${address.address}`;
    if (addresses.has(pair)) report.at('status', 'addresses').index(index).duplicate(goForm(NodeAddress, address));
    addresses.add(pair);
  }
  const at = report.at('spec');
  const [cidrs, olds] = [spec.podCIDRs ?? [], old.spec.podCIDRs ?? []];
  const changes = cidrs.length === olds.length ? olds.filter((cidr, index) => cidr !== cidrs[index]).length : 1;
  if (olds.length > 0)
    for (let change = 0; change < changes; change++)
      at.at('podCIDRs').forbidden('node updates may not change podCIDR except from "" to valid');
  if (old.spec.providerID && spec.providerID !== old.spec.providerID)
    at.at('providerID').forbidden('node updates may not change providerID except from "" to valid');
  validateTaints(spec.taints ?? [], report.at('metadata', 'taints'));
  if ((spec.externalID ?? '') !== (old.spec.externalID ?? '')) at.at('externalID').forbidden('may not be updated');
}

function validateResources(status: NodeStatus, report: Report): void {
  for (const list of ['capacity', 'allocatable'] as const)
    for (const [resource, amount] of Object.entries(status[list] ?? {}))
      checkResourceQuantity(resource, amount, report.at(list, resource));
}

function validateCidrs(cidrs: readonly string[], report: Report): void {
  for (const [index, cidr] of cidrs.entries()) checkCidr(cidr, report.index(index));
  if (cidrs.length > 1 && (cidrs.length > 2 || !isDualStack(cidrs)))
    report.invalid(cidrs, 'may specify no more than one CIDR for each IP family');
}

const featureNameBytesMax = 253;

/** What the node's agent can do (KEP-5328): `GuestSwap`, `Resize/podLevel`, sorted. */
function validateFeatures(features: readonly string[], report: Report): void {
  for (const [index, feature] of features.entries()) {
    const [at, subject] = [report.index(index), `invalid feature name ${JSON.stringify(feature)}`];
    if (byteLength(feature) > featureNameBytesMax)
      at.invalid(feature, `${subject}: must be no more than ${featureNameBytesMax} characters`);
    else if (!/^[A-Z][a-zA-Z0-9]*(\/[a-zA-Z][a-zA-Z0-9]*)*$/.test(feature))
      at.invalid(
        feature,
        `${subject}: must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes`,
      );
    const next = features[index + 1];
    if (next === feature) report.index(index + 1).duplicate(next);
    else if (next !== undefined && feature > next)
      report.index(index + 1).invalid(next, 'list must be sorted alphabetically');
  }
}

function stateOf(spec: NodeSpec, status: NodeStatus): string {
  const ready = (status.conditions ?? []).find(condition => condition.type === 'Ready');
  const state = ready ? (ready.status === 'True' ? 'Ready' : 'NotReady') : 'Unknown';
  return spec.unschedulable ? `${state},SchedulingDisabled` : state;
}

function rolesOf({ labels = {} }: ObjectMeta): string {
  const prefix = 'node-role.kubernetes.io/';
  const roles = Object.keys(labels).flatMap(label => (label.startsWith(prefix) ? [label.slice(prefix.length)] : []));
  if (labels['kubernetes.io/role']) roles.push(labels['kubernetes.io/role']);
  return [...new Set(roles.filter(Boolean))].sort().join(',') || '<none>';
}

function addressOf(status: NodeStatus, type: string): string {
  return (status.addresses ?? []).find(address => address.type === type)?.address ?? '<none>';
}
