import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, list, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { MatchCondition } from './match-condition.ts';
import { RuleWithOperations } from './rule-with-operations.ts';
import { WebhookClientConfig } from './webhook-client-config.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';
import { ageColumn, integer, nameColumn } from '../../machinery/columns.ts';
import { beforeWebhookValidation, validateWebhooks } from './webhook-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const MutatingWebhook = object('io.k8s.api.admissionregistration.v1.MutatingWebhook', {
  admissionReviewVersions: list(8, types.string, { required: true, always: true, listType: 'atomic' }),
  clientConfig: struct(2, WebhookClientConfig, { required: true, always: true }),
  failurePolicy: string(4, {
    pointer: true,
    enum: ['Fail', 'Ignore'],
    default: 'Fail',
    doc: 'What happens to requests when the webhook does not answer.',
  }),
  matchConditions: list(12, MatchCondition, {
    listType: 'map',
    mapKeys: ['name'],
    patchStrategy: 'merge',
    patchMergeKey: 'name',
  }),
  matchPolicy: string(9, { pointer: true, enum: ['Equivalent', 'Exact'], default: 'Equivalent' }),
  name: string(1, { required: true, always: true }),
  namespaceSelector: struct(5, LabelSelector, { default: {}, doc: 'Namespaces whose objects it sees.' }),
  objectSelector: struct(11, LabelSelector, { default: {} }),
  reinvocationPolicy: string(10, { pointer: true, enum: ['IfNeeded', 'Never'], default: 'Never' }),
  rules: list(3, RuleWithOperations, { listType: 'atomic', doc: 'Requests it sees.' }),
  sideEffects: string(6, {
    required: true,
    pointer: true,
    enum: ['None', 'NoneOnDryRun', 'Some', 'Unknown'],
  }),
  timeoutSeconds: int32(7, { pointer: true, default: 10, doc: 'How long an answer may take.' }),
});
export type MutatingWebhook = TypeOf<typeof MutatingWebhook>;

export const MutatingWebhookConfiguration = defineKind({
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  kind: 'MutatingWebhookConfiguration',
  plural: 'mutatingwebhookconfigurations',
  namespaced: false,
  doc: 'Servers of yours that may change objects on their way in.',
  categories: ['api-extensions'],
  type: 'io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    webhooks: list(2, MutatingWebhook, {
      listType: 'map',
      mapKeys: ['name'],
      patchStrategy: 'merge',
      patchMergeKey: 'name',
    }),
  },
  metadataChecks: { update: ['new'], standardFinalizers: false },
  hasGeneration: true,
  requiresResourceVersion: true,
  columns: [
    nameColumn,
    integer('Webhooks', 'How many webhooks it holds.', ({ webhooks }) => (webhooks ?? []).length),
    ageColumn,
  ],
  beforeValidation: beforeWebhookValidation,
  validate({ webhooks }, report) {
    validateWebhooks(webhooks, report.at('webhooks'));
  },
});
export type MutatingWebhookConfiguration = ObjectOf<typeof MutatingWebhookConfiguration>;
