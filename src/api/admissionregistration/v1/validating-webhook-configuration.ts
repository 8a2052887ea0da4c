import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, list, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { MatchCondition } from './match-condition.ts';
import { RuleWithOperations } from './rule-with-operations.ts';
import { WebhookClientConfig } from './webhook-client-config.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';
import { ageColumn, integer, nameColumn } from '../../machinery/columns.ts';
import { beforeWebhookValidation, validateWebhooks } from './webhook-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ValidatingWebhook = object('io.k8s.api.admissionregistration.v1.ValidatingWebhook', {
  admissionReviewVersions: list(8, types.string, { required: true, always: true, listType: 'atomic' }),
  clientConfig: struct(2, WebhookClientConfig, { required: true, always: true }),
  failurePolicy: string(4, {
    pointer: true,
    enum: ['Fail', 'Ignore'],
    default: 'Fail',
    doc: 'What happens to requests when the webhook does not answer.',
  }),
  matchConditions: list(11, MatchCondition, {
    listType: 'map',
    mapKeys: ['name'],
    patchStrategy: 'merge',
    patchMergeKey: 'name',
  }),
  matchPolicy: string(9, { pointer: true, enum: ['Equivalent', 'Exact'], default: 'Equivalent' }),
  name: string(1, { required: true, always: true }),
  namespaceSelector: struct(5, LabelSelector, { default: {}, doc: 'Namespaces whose objects it sees.' }),
  objectSelector: struct(10, LabelSelector, { default: {} }),
  rules: list(3, RuleWithOperations, { listType: 'atomic', doc: 'Requests it sees.' }),
  sideEffects: string(6, {
    required: true,
    pointer: true,
    enum: ['None', 'NoneOnDryRun', 'Some', 'Unknown'],
  }),
  timeoutSeconds: int32(7, { pointer: true, default: 10, doc: 'How long an answer may take.' }),
});
export type ValidatingWebhook = TypeOf<typeof ValidatingWebhook>;

export const ValidatingWebhookConfiguration = defineKind({
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  kind: 'ValidatingWebhookConfiguration',
  plural: 'validatingwebhookconfigurations',
  namespaced: false,
  doc: 'Servers of yours that may refuse requests.',
  categories: ['api-extensions'],
  type: 'io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    webhooks: list(2, ValidatingWebhook, {
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
export type ValidatingWebhookConfiguration = ObjectOf<typeof ValidatingWebhookConfiguration>;
