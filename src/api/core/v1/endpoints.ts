import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, list, object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { ObjectReference } from './object-reference.ts';
import {
  checkDnsLabel,
  checkDnsSubdomain,
  checkIp,
  checkPortNumber,
  checkQualifiedName,
  checkReachableIp,
  checkRequiredOneOf,
} from '../../machinery/checks.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import type { Report } from '../../machinery/validation.ts';
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
    protocol: string(3, { enum: ['SCTP', 'TCP', 'UDP'], default: 'TCP' }),
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
  doc: 'Addresses behind a Service; EndpointSlice is its successor.',
  shortNames: ['ep'],
  type: 'io.k8s.api.core.v1.Endpoints',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    subsets: list(2, EndpointSubset, { listType: 'atomic' }),
  },
  columns: [
    nameColumn,
    text('Endpoints', 'Ready addresses with their ports.', ({ subsets }) => endpointsOf(subsets ?? [])),
    ageColumn,
  ],
  createOnUpdate: true,
  validate({ subsets }, report) {
    validateSubsets(subsets ?? [], report.at('subsets'));
  },
  deprecation: 'v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice',
});
export type Endpoints = ObjectOf<typeof Endpoints>;

function endpointsOf(subsets: readonly EndpointSubset[]): string {
  const shown: string[] = [];
  for (const { addresses = [], ports = [] } of subsets) {
    if (ports.length === 0) shown.push(...addresses.map(({ ip }) => ip));
    for (const { port } of ports)
      for (const { ip } of addresses) shown.push(ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`);
  }
  if (shown.length === 0) return '<none>';
  const more = shown.length > 3 ? ` + ${shown.length - 3} more...` : '';
  return shown.slice(0, 3).join(',') + more;
}

function validateSubsets(subsets: readonly EndpointSubset[], report: Report): void {
  for (const [index, { addresses = [], notReadyAddresses = [], ports = [] }] of subsets.entries()) {
    const at = report.index(index);
    if (addresses.length + notReadyAddresses.length === 0)
      at.required('must specify `addresses` or `notReadyAddresses`');
    for (const [position, address] of addresses.entries()) validateAddress(address, at.at('addresses').index(position));
    for (const [position, address] of notReadyAddresses.entries())
      validateAddress(address, at.at('notReadyAddresses').index(position));
    for (const [position, port] of ports.entries())
      validatePort(port, ports.length > 1, at.at('ports').index(position));
  }
}

function validateAddress({ ip, hostname, nodeName }: EndpointAddress, report: Report): void {
  checkIp(ip ?? '', report.at('ip'));
  if (hostname) checkDnsLabel(hostname, report.at('hostname'));
  if (nodeName !== undefined) checkDnsSubdomain(nodeName, report.at('nodeName'));
  checkReachableIp(ip ?? '', report.at('ip'));
}

function validatePort(port: EndpointPort, needsName: boolean, report: Report): void {
  if (port.name) checkDnsLabel(port.name, report.at('name'));
  else if (needsName) report.at('name').required();
  checkPortNumber(port.port, report.at('port'));
  checkRequiredOneOf(port.protocol, ['SCTP', 'TCP', 'UDP'], report.at('protocol'));
  if (port.appProtocol !== undefined) checkQualifiedName(port.appProtocol, report.at('appProtocol'));
}
