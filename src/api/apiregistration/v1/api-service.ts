import { defineKind, type ObjectOf, statusMetadata } from '../../machinery/kind.ts';
import { boolean, bytes, int32, list, object, string, struct, time, type TypeOf } from '../../machinery/schema.ts';
import { isDNS1035Label, isDNS1123Subdomain, isPathSegmentName, isPortNumber } from '../../machinery/names.ts';
import { checkMessages } from '../../machinery/checks.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import type { Report } from '../../machinery/validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ServiceReference = object('io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.ServiceReference', {
  name: string(2),
  namespace: string(1),
  port: int32(3, { pointer: true, default: 443 }),
});
export type ServiceReference = TypeOf<typeof ServiceReference>;

export const APIServiceSpec = object('io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceSpec', {
  caBundle: bytes(5),
  group: string(2),
  groupPriorityMinimum: int32(7, { required: true, always: true }),
  insecureSkipTLSVerify: boolean(4),
  service: struct(1, ServiceReference),
  version: string(3),
  versionPriority: int32(8, { required: true, always: true }),
});
export type APIServiceSpec = TypeOf<typeof APIServiceSpec>;

export const APIServiceCondition = object('io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceCondition', {
  lastTransitionTime: time(3, { always: true }),
  message: string(5),
  reason: string(4),
  status: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type APIServiceCondition = TypeOf<typeof APIServiceCondition>;

export const APIServiceStatus = object('io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceStatus', {
  conditions: list(1, APIServiceCondition, {
    listType: 'map',
    mapKeys: ['type'],
    patchStrategy: 'merge',
    patchMergeKey: 'type',
  }),
});
export type APIServiceStatus = TypeOf<typeof APIServiceStatus>;

export const APIService = defineKind({
  group: 'apiregistration.k8s.io',
  version: 'v1',
  kind: 'APIService',
  plural: 'apiservices',
  namespaced: false,
  doc: 'Has another server answer for one version of an API group.',
  categories: ['api-extensions'],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, APIServiceSpec, { always: true }),
    status: struct(3, APIServiceStatus, { always: true }),
  },
  metadataChecks: { standardFinalizers: false },
  statusKeeps: statusMetadata,
  hasGeneration: false,
  requiresResourceVersion: true,
  columns: [
    nameColumn,
    text('Service', 'The service that answers, or Local.', ({ spec: { service } }) =>
      service === undefined ? 'Local' : `${service.namespace ?? ''}/${service.name ?? ''}`,
    ),
    text('Available', 'Whether it answers, and why not.', ({ status }) => availability(status)),
    ageColumn,
  ],
  validateName: isPathSegmentName,
  prepareForCreate({ metadata, spec, status }) {
    if (spec.service !== undefined) return;
    const condition = { type: 'Available', status: 'True', reason: 'Local' };
    const message = 'Local APIServices are always available';
    status.conditions = [{ ...condition, message, lastTransitionTime: metadata.creationTimestamp }];
  },
  validate(service, report) {
    validateApiService(service, report);
  },
  validateStatusUpdate({ status }, _old, report) {
    for (const [position, { status: state }] of (status.conditions ?? []).entries()) {
      if (conditionStates.includes(state)) continue;
      report.at('status', 'conditions').index(position).at('status').notSupported(state, conditionStates);
    }
  },
});
export type APIService = ObjectOf<typeof APIService>;

function availability({ conditions }: APIServiceStatus): string {
  const available = (conditions ?? []).find(({ type }) => type === 'Available');
  if (available === undefined) return 'Unknown';
  const { status, reason = '' } = available;
  return status === 'True' || reason === '' ? status : `${status} (${reason})`;
}

interface ApiServiceLike {
  readonly metadata: ObjectMeta;
  readonly spec: APIServiceSpec;
}

const conditionStates = ['True', 'False', 'Unknown'];
const groupPriorityMax = 20_000;
const versionPriorityMax = 1000;

function validateApiService({ metadata, spec }: ApiServiceLike, report: Report): void {
  const { group = '', version = '' } = spec;
  const nameWanted = `${version}.${group}`;
  if (metadata.name !== nameWanted) {
    report.at('metadata', 'name').invalid(metadata.name, `must be \`spec.version+"."+spec.group\`: "${nameWanted}"`);
  }
  const at = report.at('spec');
  if (group !== '') checkMessages(isDNS1123Subdomain(group), group, at.at('group'));
  else if (version !== 'v1') {
    at.at('group').required('only v1 may have an empty group and it better be legacy kube');
  }
  checkMessages(isDNS1035Label(version), version, at.at('version'));
  validatePriorities(spec, at);
  const { service } = spec;
  if (service === undefined) {
    if (spec.caBundle !== undefined && spec.caBundle !== '') {
      at.at('caBundle').invalid(
        `${Buffer.from(spec.caBundle, 'base64').length} bytes`,
        'local APIServices may not have a caBundle',
      );
    }
    if (spec.insecureSkipTLSVerify === true) {
      at.at('insecureSkipTLSVerify').invalid(true, 'local APIServices may not have insecureSkipTLSVerify');
    }
    return;
  }
  if ((service.namespace ?? '') === '') at.at('service', 'namespace').required();
  if ((service.name ?? '') === '') at.at('service', 'name').required();
  const problems = isPortNumber(service.port);
  if (problems.length > 0) {
    at.at('service', 'port').invalid(service.port, `port is not valid: ${problems.join(', ')}`);
  }
  if (spec.insecureSkipTLSVerify === true && spec.caBundle !== undefined && spec.caBundle !== '') {
    at.at('insecureSkipTLSVerify').invalid(true, 'may not be true if caBundle is present');
  }
}

function validatePriorities({ groupPriorityMinimum, versionPriority }: APIServiceSpec, report: Report): void {
  if (groupPriorityMinimum <= 0 || groupPriorityMinimum > groupPriorityMax) {
    const range = `must be positive and less than ${groupPriorityMax}`;
    report.at('groupPriorityMinimum').invalid(groupPriorityMinimum, range);
  }
  if (versionPriority <= 0 || versionPriority > versionPriorityMax) {
    report.at('versionPriority').invalid(versionPriority, `must be positive and less than ${versionPriorityMax}`);
  }
}
