import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { boolean, int32, list, map, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { ObjectReference } from '../../core/v1/object-reference.ts';
import {
  checkDnsLabel,
  checkDnsSubdomain,
  checkImmutable,
  checkLabelValue,
  checkIp,
  checkOneOf,
  checkQualifiedName,
  checkReachableIp,
  checkRequiredOneOf,
} from '../../machinery/checks.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import type { Report } from '../../machinery/validation.ts';
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
    name: string(1, { pointer: true, default: '' }),
    port: int32(3, { pointer: true }),
    protocol: string(2, { pointer: true, default: 'TCP' }),
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
  doc: 'Some of the addresses behind a Service.',
  type: 'io.k8s.api.discovery.v1.EndpointSlice',
  fields: {
    addressType: string(4, { required: true, always: true }),
    endpoints: list(2, Endpoint, { always: true, listType: 'atomic' }),
    metadata: struct(1, ObjectMeta, { required: true }),
    ports: list(3, EndpointPort, { always: true, listType: 'atomic' }),
  },
  metadataChecks: { update: ['new'] },
  columns: [
    nameColumn,
    text('AddressType', 'IPv4, IPv6 or FQDN.', (item: SliceView) => item.addressType),
    text('Ports', 'Ports of all of them.', (item: SliceView) => portsOf(item.ports ?? [])),
    text('Endpoints', 'Their addresses.', (item: SliceView) => addressesOf(item.endpoints ?? [])),
    ageColumn,
  ],
  hasGeneration: true,
  // A field of v1beta1; nothing that is stored has it.
  prepareForCreate: slice => dropTopology(slice),
  prepareForUpdate: slice => dropTopology(slice),
  validate(slice, report) {
    checkRequiredOneOf(slice.addressType, ['FQDN', 'IPv4', 'IPv6'], report.at('addressType'));
    validateEndpoints(slice.endpoints ?? [], slice.addressType, report.at('endpoints'));
    validatePorts(slice.ports ?? [], report.at('ports'));
  },
  validateUpdate({ addressType }, old, report) {
    checkImmutable(addressType, old.addressType, report.at('addressType'));
  },
});
export type EndpointSlice = ObjectOf<typeof EndpointSlice>;

function dropTopology({
  endpoints,
}: {
  readonly endpoints?: readonly { deprecatedTopology?: unknown }[] | null | undefined;
}): void {
  for (const endpoint of endpoints ?? []) delete endpoint.deprecatedTopology;
}

interface SliceView {
  readonly addressType: string;
  readonly ports?: readonly EndpointPort[] | null | undefined;
  readonly endpoints?: readonly Endpoint[] | null | undefined;
}

function shortList(items: readonly string[]): string {
  return items.slice(0, 3).join(',') + (items.length > 3 ? ` + ${items.length - 3} more...` : '');
}

function portsOf(ports: readonly EndpointPort[]): string {
  if (ports.length === 0) return '<unset>';
  return shortList(ports.map(({ name, port }) => (port === undefined ? name || '*' : String(port))));
}

function addressesOf(endpoints: readonly Endpoint[]): string {
  return shortList(endpoints.flatMap(({ addresses }) => addresses ?? [])) || '<unset>';
}

function validateEndpoints(endpoints: readonly Endpoint[], addressType: string, report: Report): void {
  if (endpoints.length > 1000) {
    report.tooMany(endpoints.length, 1000);
    return;
  }
  for (const [index, endpoint] of endpoints.entries()) {
    const at = report.index(index);
    const addresses = endpoint.addresses ?? [];
    if (addresses.length === 0) at.at('addresses').required('must contain at least 1 address');
    else if (addresses.length > 100) at.at('addresses').tooMany(addresses.length, 100);
    for (const [position, address] of addresses.entries())
      validateAddress(address, addressType, at.at('addresses').index(position));
    if (endpoint.nodeName !== undefined) checkDnsSubdomain(endpoint.nodeName, at.at('nodeName'));
    if (endpoint.hostname !== undefined) checkDnsLabel(endpoint.hostname, at.at('hostname'));
    for (const [name, max] of [
      ['forZones', 8],
      ['forNodes', 8],
    ] as const) {
      const hints = endpoint.hints?.[name] ?? [];
      if (hints.length > max) at.at('hints', name).tooMany(hints.length, max);
      for (const [position, hint] of hints.entries()) {
        const item = at.at('hints', name).index(position);
        if (hints.findIndex(other => other.name === hint.name) < position) item.at('name').duplicate(hint.name);
        if (name === 'forZones') checkLabelValue(hint.name ?? '', item.at('name'));
        else checkDnsSubdomain(hint.name ?? '', item.at('name'));
      }
    }
  }
}

function validateAddress(address: string, addressType: string, report: Report): void {
  if (addressType === 'FQDN') checkDnsSubdomain(address, report);
  else if (addressType === 'IPv4' || addressType === 'IPv6') {
    const before = report.errors.length;
    checkIp(address, report);
    if (report.errors.length > before) return;
    if (address.includes(':') !== (addressType === 'IPv6'))
      report.invalid(address, `must be an ${addressType} address`);
    else checkReachableIp(address, report);
  }
}

function validatePorts(ports: readonly EndpointPort[], report: Report): void {
  if (ports.length > 20_000) {
    report.tooMany(ports.length, 20_000);
    return;
  }
  const names = new Set<string>();
  for (const [index, port] of ports.entries()) {
    const at = report.index(index);
    if (port.name) checkDnsLabel(port.name, at.at('name'));
    if (names.has(port.name)) at.at('name').duplicate(port.name);
    names.add(port.name);
    checkOneOf(port.protocol, ['SCTP', 'TCP', 'UDP'], at.at('protocol'));
    if (port.appProtocol !== undefined) checkQualifiedName(port.appProtocol, at.at('appProtocol'));
  }
}
