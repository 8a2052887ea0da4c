import type { Node } from '#api/core/v1/node.ts';
import { addTo, noResources, resourcesFrom, type HostPort, type PodInfo, type Resources } from './pod-info.ts';

/** A node with the pods that are, or are about to be, on it. Every change raises `generation`. */
export class NodeInfo {
  readonly name: string;
  node: Node;
  allocatable: Resources = noResources();
  podsMax = 0;
  readonly requested: Resources = noResources();
  assumedMilliCPU = 0;
  assumedMemoryBytes = 0;
  readonly pods = new Map<string, PodInfo>();
  /** Names of images on the node → bytes. */
  images: ReadonlyMap<string, number> = new Map();
  /** Looked up for every pod and topology: a Map is faster than an object whose keys vary. */
  labels: ReadonlyMap<string, string> = new Map();
  generation = 0;
  /** Extended resources that claims for devices serve where the node has none of them. */
  readonly servedByDevices: (resource: string) => boolean;

  /** `like`: the same node, whose amounts and labels need not be read again. */
  constructor(node: Node, servedByDevices: (resource: string) => boolean = () => false, like?: NodeInfo) {
    this.servedByDevices = servedByDevices;
    this.name = node.metadata.name ?? '';
    this.node = node;
    if (!like) this.setNode(node);
    else ({ allocatable: this.allocatable, podsMax: this.podsMax, labels: this.labels, images: this.images } = like);
  }

  setNode(node: Node): void {
    this.node = node;
    this.labels = new Map(Object.entries(node.metadata.labels ?? {}));
    const amounts = node.status.allocatable ?? node.status.capacity;
    this.allocatable = resourcesFrom(amounts);
    // Upstream counts pods through the same field; a node that says nothing takes none.
    this.podsMax = this.allocatable.scalar.get('pods') ?? 0;
    this.allocatable.scalar.delete('pods');
    this.images = new Map(
      (node.status.images ?? []).flatMap(image =>
        (image.names ?? []).map(name => [name, image.sizeBytes ?? 0] as const),
      ),
    );
    this.generation++;
  }

  /** The same node without pods, for asking what would be. */
  empty(): NodeInfo {
    return new NodeInfo(this.node, this.servedByDevices, this);
  }

  /** Another node with the same pods, for asking what would be. */
  with(node: Node): NodeInfo {
    const copy = new NodeInfo(node, this.servedByDevices);
    for (const pod of this.pods.values()) copy.addPod(pod);
    return copy;
  }

  addPod(pod: PodInfo): void {
    if (this.pods.has(pod.key)) this.removePod(pod.key);
    this.pods.set(pod.key, pod);
    this.#count(pod, 1);
  }

  /** The same pod with news that no filter looks at: what is remembered of this node stays true. */
  replacePod(pod: PodInfo): void {
    this.pods.set(pod.key, pod);
  }

  removePod(key: string): void {
    const pod = this.pods.get(key);
    if (!pod) return;
    this.pods.delete(key);
    this.#count(pod, -1);
  }

  /** Whether a host port is taken; the wildcard address collides with every other. */
  usesPort(wanted: HostPort): boolean {
    for (const pod of this.pods.values())
      for (const used of pod.hostPorts)
        if (used.port === wanted.port && used.protocol === wanted.protocol && sameAddress(used.ip, wanted.ip))
          return true;
    return false;
  }

  #count(pod: PodInfo, sign: 1 | -1): void {
    addTo(this.requested, pod.requests, sign);
    this.assumedMilliCPU += sign * pod.assumedMilliCPU;
    this.assumedMemoryBytes += sign * pod.assumedMemoryBytes;
    this.generation++;
  }
}

function sameAddress(a: string, b: string): boolean {
  return a === b || a === '0.0.0.0' || b === '0.0.0.0';
}
