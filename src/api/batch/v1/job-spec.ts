import { boolean, int32, int64, list, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { PodTemplateSpec } from '../../core/v1/pod-template-spec.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';

export const PodFailurePolicyOnExitCodesRequirement = object(
  'io.k8s.api.batch.v1.PodFailurePolicyOnExitCodesRequirement',
  {
    containerName: string(1, { pointer: true }),
    operator: string(2, { required: true, always: true, enum: ['In', 'NotIn'] }),
    values: list(3, types.int32, { required: true, always: true, listType: 'set' }),
  },
);
export type PodFailurePolicyOnExitCodesRequirement = TypeOf<typeof PodFailurePolicyOnExitCodesRequirement>;

export const PodFailurePolicyOnPodConditionsPattern = object(
  'io.k8s.api.batch.v1.PodFailurePolicyOnPodConditionsPattern',
  {
    status: string(2, { always: true, default: 'True' }),
    type: string(1, { required: true, always: true }),
  },
);
export type PodFailurePolicyOnPodConditionsPattern = TypeOf<typeof PodFailurePolicyOnPodConditionsPattern>;

export const PodFailurePolicyRule = object('io.k8s.api.batch.v1.PodFailurePolicyRule', {
  action: string(1, { required: true, always: true, enum: ['Count', 'FailIndex', 'FailJob', 'Ignore'] }),
  onExitCodes: struct(2, PodFailurePolicyOnExitCodesRequirement),
  onPodConditions: list(3, PodFailurePolicyOnPodConditionsPattern, { listType: 'atomic' }),
});
export type PodFailurePolicyRule = TypeOf<typeof PodFailurePolicyRule>;

export const PodFailurePolicy = object('io.k8s.api.batch.v1.PodFailurePolicy', {
  rules: list(1, PodFailurePolicyRule, { required: true, always: true, listType: 'atomic' }),
});
export type PodFailurePolicy = TypeOf<typeof PodFailurePolicy>;

export const SuccessPolicyRule = object('io.k8s.api.batch.v1.SuccessPolicyRule', {
  succeededCount: int32(2, { pointer: true }),
  succeededIndexes: string(1, { pointer: true }),
});
export type SuccessPolicyRule = TypeOf<typeof SuccessPolicyRule>;

export const SuccessPolicy = object('io.k8s.api.batch.v1.SuccessPolicy', {
  rules: list(1, SuccessPolicyRule, { required: true, always: true, listType: 'atomic' }),
});
export type SuccessPolicy = TypeOf<typeof SuccessPolicy>;

export const JobSpec = object('io.k8s.api.batch.v1.JobSpec', {
  activeDeadlineSeconds: int64(3, { pointer: true, doc: 'Seconds the job may run before it is failed.' }),
  backoffLimit: int32(7, { pointer: true, doc: 'Failed pods after which the job is failed.' }),
  backoffLimitPerIndex: int32(12, { pointer: true }),
  completionMode: string(9, { pointer: true, enum: ['Indexed', 'NonIndexed'] }),
  completions: int32(2, { pointer: true, doc: 'Pods that must succeed.' }),
  managedBy: string(15, { pointer: true }),
  manualSelector: boolean(5, { pointer: true }),
  maxFailedIndexes: int32(13, { pointer: true }),
  parallelism: int32(1, { pointer: true, doc: 'Pods that may run at the same time.' }),
  podFailurePolicy: struct(11, PodFailurePolicy),
  podReplacementPolicy: string(14, { pointer: true, enum: ['Failed', 'TerminatingOrFailed'] }),
  selector: struct(4, LabelSelector),
  successPolicy: struct(16, SuccessPolicy),
  suspend: boolean(10, { pointer: true, doc: 'Holds back its pods.' }),
  template: struct(6, PodTemplateSpec, { required: true, always: true, doc: 'What its pods look like.' }),
  ttlSecondsAfterFinished: int32(8, { pointer: true, doc: 'Seconds after its end when it is removed.' }),
});
export type JobSpec = TypeOf<typeof JobSpec>;
