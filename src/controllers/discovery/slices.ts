import { EndpointSlice, type Endpoint, type EndpointPort } from '#api/discovery/v1/endpoint-slice.ts';
import type { OwnerReference } from '#api/meta/v1/object-meta.ts';
import { create, remove, update, type Action } from '../actions.ts';
import { canonicalJson } from '../canonical-json.ts';
import { sameJson } from '../same.ts';

/** Endpoints that share their ports. */
export interface EndpointGroup {
  readonly ports: readonly EndpointPort[];
  readonly endpoints: readonly Endpoint[];
}

/** What all slices of one owner have. */
export interface SliceFrame {
  readonly namespace: string;
  readonly namePrefix: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly owner: OwnerReference;
  readonly addressType: string;
}

/** Upstream's default for `--max-endpoints-per-slice`. */
export const endpointsPerSliceMax = 100;

/**
 * The writes that bring slices in line with their endpoints, so that few slices change: an endpoint stays where it is; new
 * ones go to slices that change anyway, then to one that has room for all of them, then to new slices.
 */
export function arrangeSlices(
  frame: SliceFrame,
  existing: readonly EndpointSlice[],
  groups: readonly EndpointGroup[],
): readonly Action[] {
  const slices = existing.filter(slice => slice.metadata.deletionTimestamp === undefined);
  // An owner without endpoints keeps one empty slice, so that watchers see that it has none.
  const wanted = groups.length > 0 ? groups : [{ ports: [], endpoints: [] }];
  const bySamePorts = Map.groupBy(slices, slice => canonicalJson(slice.ports ?? []));
  const removed: EndpointSlice[] = [];
  const written: Slot[] = [];
  for (const group of wanted) {
    const key = canonicalJson(group.ports);
    const slots = arrange(group, bySamePorts.get(key) ?? []);
    bySamePorts.delete(key);
    const empty = slots.filter(slot => slot.slice && slot.endpoints.length === 0);
    // Of the slices without endpoints one stays, where nothing else does.
    const placeholder = wanted.length === 1 && slots.length === empty.length ? empty[0] : undefined;
    for (const slot of slots) {
      if (slot !== placeholder && slot.slice && slot.endpoints.length === 0) removed.push(slot.slice);
      else if (slot.changed || !slot.slice || !isFramed(slot.slice, frame)) written.push(slot);
    }
  }
  removed.push(...[...bySamePorts.values()].flat());
  // A slice that is not needed any more takes what would otherwise be a new slice.
  const creations = written.filter(slot => !slot.slice);
  const updates = written.filter(slot => slot.slice);
  while (creations.length > 0 && removed.length > 0) {
    const slot = creations.pop() as Slot;
    updates.push({ ...slot, slice: removed.pop() as EndpointSlice });
  }
  return [
    ...creations.map(slot => create(EndpointSlice, fresh(frame, slot))),
    ...updates.map(slot => update(EndpointSlice, changed(frame, slot))),
    ...removed.map(slice => remove(EndpointSlice, slice)),
  ];
}

interface Slot {
  readonly slice: EndpointSlice | undefined;
  readonly ports: readonly EndpointPort[];
  readonly endpoints: Endpoint[];
  changed: boolean;
}

function arrange({ ports, endpoints }: EndpointGroup, existing: readonly EndpointSlice[]): Slot[] {
  const left = new Map(endpoints.map(endpoint => [identityOf(endpoint), endpoint]));
  const slots = existing.map(slice => kept(slice, ports, left));
  const homeless = [...left.values()];
  if (homeless.length === 0 && (slots.length > 0 || endpoints.length > 0)) return slots;
  for (const slot of slots) {
    if (!slot.changed || slot.endpoints.length === 0) continue;
    slot.endpoints.push(...homeless.splice(0, Math.max(0, endpointsPerSliceMax - slot.endpoints.length)));
  }
  const rest = homeless.length % endpointsPerSliceMax;
  const roomy = rest > 0 && slots.find(slot => slot.endpoints.length + rest <= endpointsPerSliceMax);
  if (roomy) {
    roomy.endpoints.push(...homeless.splice(0, rest));
    roomy.changed = true;
  }
  while (homeless.length > 0)
    slots.push({ slice: undefined, ports, endpoints: homeless.splice(0, endpointsPerSliceMax), changed: true });
  if (slots.length === 0) slots.push({ slice: undefined, ports, endpoints: [], changed: true });
  return slots;
}

/** What of a slice stays. What is found here is taken out of `left`. */
function kept(slice: EndpointSlice, ports: readonly EndpointPort[], left: Map<string, Endpoint>): Slot {
  const endpoints: Endpoint[] = [];
  let changed = false;
  for (const old of slice.endpoints ?? []) {
    const identity = identityOf(old);
    const wanted = left.get(identity);
    left.delete(identity);
    if (!wanted || endpoints.length >= endpointsPerSliceMax) {
      if (wanted) left.set(identity, wanted);
      changed = true;
      continue;
    }
    changed ||= !sameJson(old, wanted);
    endpoints.push(wanted);
  }
  return { slice, ports, endpoints, changed };
}

/** Who an endpoint is; anything else of it may change in place. */
function identityOf({ addresses, targetRef, hostname = '', nodeName = '' }: Endpoint): string {
  return `${addresses[0]} ${targetRef?.uid ?? targetRef?.name ?? ''} ${hostname} ${nodeName}`;
}

function isFramed({ metadata }: EndpointSlice, { labels, annotations = {}, owner }: SliceFrame): boolean {
  const own = metadata.labels ?? {};
  const hasLabels =
    Object.keys(own).length === Object.keys(labels).length &&
    Object.keys(labels).every(key => own[key] === labels[key]);
  const hasAnnotations = Object.entries(annotations).every(([key, value]) => metadata.annotations?.[key] === value);
  return hasLabels && hasAnnotations && (metadata.ownerReferences ?? []).some(({ uid }) => uid === owner.uid);
}

function fresh(frame: SliceFrame, { ports, endpoints }: Slot): EndpointSlice {
  const { namespace, namePrefix, labels, annotations, owner, addressType } = frame;
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      namespace,
      generateName: namePrefix,
      labels,
      ...(annotations && { annotations }),
      ownerReferences: [owner],
    },
    addressType,
    endpoints,
    ports,
  };
}

function changed(frame: SliceFrame, { slice, ports, endpoints }: Slot): EndpointSlice {
  const old = slice as EndpointSlice;
  return {
    ...old,
    metadata: {
      ...old.metadata,
      labels: frame.labels,
      annotations: { ...old.metadata.annotations, ...frame.annotations },
      ownerReferences: [frame.owner],
    },
    endpoints,
    ports,
  };
}
