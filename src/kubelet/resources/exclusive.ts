import type { Pod } from '#api/core/v1/pod.ts';
import type { Container } from '#api/core/v1/pod-spec.ts';
import { qosClass } from '#api/core/v1/pod-resources.ts';
import { isSidecar } from '../pods/names.ts';
import type { Hints, NodeSet } from './alignment.ts';

/** Something of the machine that a container has for itself: CPUs, memory of certain nodes, devices. */
export interface ExclusiveResource {
  /** Where it could come from, by its name, for these containers together; nothing when they ask for none of it. */
  hints(pod: Pod, containers: readonly Container[]): ReadonlyMap<string, Hints>;
  /** Takes it for a container, from these nodes where that is possible. What a container has already stays as it is. */
  take(pod: Pod, container: Container, nodes: NodeSet | undefined): void | Promise<void>;
  /** The pod is over: everything of it is free again. */
  release(podUid: string): void;
}

/** A pod cannot have what it was bound for; said in its status. */
export class AllocationError extends Error {
  override readonly name = 'AllocationError';
  readonly reason: string;

  constructor(message: string, reason = 'UnexpectedAdmissionError') {
    super(message);
    this.reason = reason;
  }
}

/** Those that run before the others and end: what they have, the others get. */
export function isPassing(pod: Pod, { name }: Container): boolean {
  const init = pod.spec?.initContainers?.find(each => each.name === name);
  return init !== undefined && !isSidecar(init);
}

/** Only pods that say exactly what they take, for each container, get whole CPUs and memory of certain nodes. */
export function isPinned({ spec }: Pod): boolean {
  return spec !== undefined && spec.resources === undefined && qosClass(spec) === 'Guaranteed';
}

/** The most that is taken at once, when each container takes so much. */
export function together(pod: Pod, containers: readonly Container[], amount: (container: Container) => number): number {
  const passing = containers.filter(each => isPassing(pod, each)).map(amount);
  const staying = containers.filter(each => !isPassing(pod, each)).map(amount);
  return Math.max(
    0,
    ...passing,
    staying.reduce((sum, each) => sum + each, 0),
  );
}
