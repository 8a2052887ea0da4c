import { object, string, type TypeOf } from '../../machinery/schema.ts';

export const MatchCondition = object('io.k8s.api.admissionregistration.v1.MatchCondition', {
  expression: string(2, { required: true, always: true }),
  name: string(1, { required: true, always: true }),
});
export type MatchCondition = TypeOf<typeof MatchCondition>;
