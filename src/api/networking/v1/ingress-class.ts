import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import {
  checkDnsLabel,
  checkDnsSubdomain,
  checkDomainPath,
  checkImmutable,
  checkMessages,
  checkOneOf,
} from '../../machinery/checks.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { byteLength, isPathSegmentName } from '../../machinery/names.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const IngressClassParametersReference = object('io.k8s.api.networking.v1.IngressClassParametersReference', {
  apiGroup: string(1, { pointer: true }),
  kind: string(2, { required: true, always: true }),
  name: string(3, { required: true, always: true }),
  namespace: string(5, { pointer: true }),
  scope: string(4, { pointer: true, always: true, default: 'Cluster' }),
});
export type IngressClassParametersReference = TypeOf<typeof IngressClassParametersReference>;

export const IngressClassSpec = object('io.k8s.api.networking.v1.IngressClassSpec', {
  controller: string(1),
  parameters: struct(2, IngressClassParametersReference),
});
export type IngressClassSpec = TypeOf<typeof IngressClassSpec>;

export const IngressClass = defineKind({
  group: 'networking.k8s.io',
  version: 'v1',
  kind: 'IngressClass',
  plural: 'ingressclasses',
  namespaced: false,
  doc: 'Names who takes care of Ingresses.',
  type: 'io.k8s.api.networking.v1.IngressClass',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, IngressClassSpec, { always: true }),
  },
  columns: [
    nameColumn,
    text('Controller', 'Who takes care of its Ingresses.', ({ spec }) => spec.controller ?? ''),
    text('Parameters', 'Object with more settings.', ({ spec }) => {
      const { parameters } = spec;
      if (!parameters) return '<none>';
      return `${parameters.kind}${parameters.apiGroup ? `.${parameters.apiGroup}` : ''}/${parameters.name}`;
    }),
    ageColumn,
  ],
  validate({ spec }, report) {
    const { controller = '', parameters } = spec;
    const at = report.at('spec', 'controller');
    if (byteLength(controller) > 250) at.tooLong(250);
    checkDomainPath(controller, at);
    if (!parameters) return;
    const reference = report.at('spec', 'parameters');
    if (parameters.apiGroup !== undefined) checkDnsSubdomain(parameters.apiGroup, reference.at('apiGroup'));
    for (const name of ['kind', 'name'] as const) {
      const value = parameters[name];
      if (!value) reference.at(name).required();
      else checkMessages(isPathSegmentName(value), value, reference.at(name));
    }
    if (parameters.scope === undefined) reference.at('scope').required();
    else checkOneOf(parameters.scope, ['Cluster', 'Namespace'], reference.at('scope'));
    if (parameters.scope === 'Namespace') {
      if (parameters.namespace === undefined)
        reference.at('namespace').required("`parameters.scope` is set to 'Namespace'");
      else checkDnsLabel(parameters.namespace, reference.at('namespace'));
    } else if (parameters.scope === 'Cluster' && parameters.namespace !== undefined)
      reference.at('namespace').forbidden("`parameters.scope` is set to 'Cluster'");
  },
  changeRules: 'first',
  validateUpdate({ spec }, old, report) {
    checkImmutable(spec.controller ?? '', old.spec.controller, report.at('spec', 'controller'));
  },
});
export type IngressClass = ObjectOf<typeof IngressClass>;
