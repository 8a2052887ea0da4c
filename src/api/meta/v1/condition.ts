import { checkOneOf, checkQualifiedName } from '../../machinery/checks.ts';
import { byteLength } from '../../machinery/names.ts';
import { int64, object, string, time, type TypeOf } from '../../machinery/schema.ts';
import type { Report } from '../../machinery/validation.ts';

export const Condition = object('io.k8s.apimachinery.pkg.apis.meta.v1.Condition', {
  lastTransitionTime: time(4, { required: true, always: true }),
  message: string(6, { required: true, always: true }),
  observedGeneration: int64(3),
  reason: string(5, { required: true, always: true }),
  status: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type Condition = TypeOf<typeof Condition>;

/** `report` stands at the list. */
export function validateConditions(conditions: readonly Condition[] | null | undefined, report: Report): void {
  const types = new Set<string>();
  for (const [index, { type, status, observedGeneration, lastTransitionTime, reason, message }] of (
    conditions ?? []
  ).entries()) {
    const at = report.index(index);
    if (types.has(type)) at.at('type').duplicate(type);
    types.add(type);
    checkQualifiedName(type ?? '', at.at('type'));
    checkOneOf(status ?? '', ['False', 'True', 'Unknown'], at.at('status'));
    if (observedGeneration !== undefined && observedGeneration < 0)
      at.at('observedGeneration').invalid(observedGeneration, 'must be greater than or equal to zero');
    if (!lastTransitionTime) at.at('lastTransitionTime').required();
    if (!reason) at.at('reason').required();
    else {
      if (!reasonPattern.test(reason)) at.at('reason').invalid(reason, reasonMessage);
      if (byteLength(reason) > reasonBytesMax) at.at('reason').tooLong(reasonBytesMax);
    }
    if (byteLength(message ?? '') > messageBytesMax) at.at('message').tooLong(messageBytesMax);
  }
}

const reasonBytesMax = 1024;
const messageBytesMax = 32 * 1024;
const reasonPattern = /^[A-Za-z](?:[A-Za-z0-9_,:]*[A-Za-z0-9_])?$/;
const reasonMessage =
  "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";
