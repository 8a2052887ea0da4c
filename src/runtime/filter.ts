import type { Container, ContainerFilter, Labels, PodSandbox, PodSandboxFilter } from './runtime.ts';

/** As CRI: every field that is given must fit; ids may be shortened. */
export function fitsContainer(
  container: Pick<Container, 'id' | 'podSandboxId' | 'state' | 'labels'>,
  filter: ContainerFilter = {},
): boolean {
  return (
    container.id.startsWith(filter.id ?? '') &&
    container.podSandboxId.startsWith(filter.podSandboxId ?? '') &&
    (filter.state === undefined || container.state === filter.state) &&
    hasLabels(container.labels, filter.labelSelector)
  );
}

export function fitsSandbox(
  sandbox: Pick<PodSandbox, 'id' | 'state' | 'labels'>,
  filter: PodSandboxFilter = {},
): boolean {
  return (
    sandbox.id.startsWith(filter.id ?? '') &&
    (filter.state === undefined || sandbox.state === filter.state) &&
    hasLabels(sandbox.labels, filter.labelSelector)
  );
}

function hasLabels(labels: Labels, wanted: Labels = {}): boolean {
  return Object.entries(wanted).every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value);
}
