import type { Draft } from '#api/machinery/kind.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { PriorityClass } from '#api/scheduling/v1/priority-class.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts';
import { concerns, draftOf, forbidden, objectOf, oldOf } from '../request.ts';
import { find, type Sources, withFound } from '../sources.ts';

/** A pod's priority comes from its priority class, and there is at most one default class. */
export function priority(sources: Sources): AdmissionPlugin {
  const classes = sources.informers.of(PriorityClass);
  const defaultClass = () => {
    let lowest: PriorityClass | undefined;
    for (const each of classes.objects.values())
      if (each.globalDefault && (!lowest || (each.value ?? 0) < (lowest.value ?? 0))) lowest = each;
    return lowest;
  };
  return {
    name: 'Priority',
    handles: request =>
      concerns(request, Pod, 'CREATE', 'UPDATE') || concerns(request, PriorityClass, 'CREATE', 'UPDATE'),
    admit(request) {
      if (!concerns(request, Pod, 'CREATE', 'UPDATE')) return undefined;
      const pod = draftOf(Pod, request);
      if (!pod.spec) return undefined;
      if (request.operation === 'UPDATE') return keepPriority(pod, oldOf(Pod, request));
      const name = pod.spec.priorityClassName ?? '';
      return withFound(name === '' ? defaultClass() : find(sources, classes, name), chosen => {
        if (name !== '' && !chosen) throw forbidden(request, `no PriorityClass with name ${name} was found`);
        setPriority(request, pod, chosen);
      });
    },
    validate(request) {
      if (!concerns(request, PriorityClass, 'CREATE', 'UPDATE')) return;
      if (!objectOf(PriorityClass, request).globalDefault) return;
      const name = objectOf(PriorityClass, request).metadata.name;
      for (const { metadata, globalDefault } of classes.objects.values())
        if (globalDefault && metadata.name !== name)
          throw forbidden(
            request,
            `PriorityClass ${metadata.name} is already marked as default. Only one default can exist`,
          );
    },
  };
}

function keepPriority(pod: Draft<Pod>, old: Pod | undefined): void {
  if (!pod.spec || !old?.spec) return;
  pod.spec.priority ??= old.spec.priority;
  pod.spec.preemptionPolicy ??= old.spec.preemptionPolicy;
}

function setPriority(request: AdmissionRequest, pod: Draft<Pod>, chosen: PriorityClass | undefined): void {
  const { spec } = pod;
  if (!spec) return;
  const value = chosen?.value ?? 0;
  const policy = chosen?.preemptionPolicy ?? 'PreemptLowerPriority';
  const computed = 'priority admission controller computed';
  if (spec.priority !== undefined && spec.priority !== value)
    throw forbidden(
      request,
      `the integer value of priority (${spec.priority}) must not be provided in pod spec; ${computed} ${value} from the given PriorityClass name`,
    );
  if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== policy)
    throw forbidden(
      request,
      `the string value of PreemptionPolicy (${spec.preemptionPolicy}) must not be provided in pod spec; ${computed} ${policy} from the given PriorityClass name`,
    );
  if (chosen?.metadata.name) spec.priorityClassName = chosen.metadata.name;
  spec.priority = value;
  spec.preemptionPolicy = policy;
}
