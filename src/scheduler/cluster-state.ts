import type { Node } from '#api/core/v1/node.ts';
import { NodeDomains } from './node-domains.ts';
import { NodeInfo } from './node-info.ts';
import type { ClusterView } from './plugin.ts';
import { domainOf, PodCounts } from './pod-counts.ts';
import type { PodInfo } from './pod-info.ts';
import { DeviceState } from './devices/device-state.ts';
import { StorageState } from './storage-state.ts';
import { noWorkloads, type Workloads } from './workloads.ts';
import { AntiAffinityIndex } from './anti-affinity-index.ts';

/**
 * The scheduler's picture of the cluster: nodes with their pods, kept up to date by events, and ahead of them by the
 * pods it has just placed (assumed) whose binding is on its way.
 */
export class ClusterState implements ClusterView {
  /** Compact, in no particular order; `topology` changes whenever it does. */
  readonly nodes: NodeInfo[] = [];
  topology = 0;
  /** Pods by selection and topology domain. */
  readonly counts = new PodCounts(() => this.nodes);
  /** What the pods that run refuse to have beside them, and what they like. */
  readonly podAffinities = new AntiAffinityIndex();
  readonly storage = new StorageState();
  readonly devices = new DeviceState(() => this.topology++);
  /** What pods belong to, for default spreading. */
  workloads: Workloads = noWorkloads;
  /** Labels of namespaces, for terms that select namespaces. */
  readonly namespaceLabels = new Map<string, Readonly<Record<string, string>>>();
  readonly #domains = new Map<string, NodeDomains>();
  /** The topology for which the domains were collected. */
  #domainsOf = -1;
  readonly #byName = new Map<string, NodeInfo>();
  /** Pods whose node is not known (yet): events of pods and nodes come in any order. */
  readonly #waiting = new Map<string, Map<string, PodInfo>>();
  readonly #nodeOfPod = new Map<string, string>();
  readonly #imageCounts = new Map<string, number>();

  get nodeCount(): number {
    return this.nodes.length;
  }

  node(name: string): NodeInfo | undefined {
    return this.#byName.get(name);
  }

  nodesWithImage(name: string): number {
    return this.#imageCounts.get(name) ?? 0;
  }

  /** All domains of a topology that the nodes have. */
  domains(topologyKey: string): NodeDomains {
    if (this.#domainsOf !== this.topology) {
      this.#domains.clear();
      this.#domainsOf = this.topology;
    }
    const known = this.#domains.get(topologyKey);
    if (known) return known;
    const found = new NodeDomains(this.nodes.map(node => domainOf(node, topologyKey)));
    this.#domains.set(topologyKey, found);
    return found;
  }

  setNode(node: Node): NodeInfo {
    const name = node.metadata.name ?? '';
    const known = this.#byName.get(name);
    if (known) {
      this.#countImages(known, -1);
      const relabelled = !sameLabels(known.node.metadata.labels, node.metadata.labels);
      if (relabelled) for (const pod of known.pods.values()) this.#podChanged(pod, known, -1);
      known.setNode(node);
      if (relabelled) {
        for (const pod of known.pods.values()) this.#podChanged(pod, known, 1);
        this.topology++;
      }
      this.#countImages(known, 1);
      return known;
    }
    const added = new NodeInfo(node, resource => this.devices.classOfResource(resource) !== undefined);
    this.#byName.set(name, added);
    this.nodes.push(added);
    this.topology++;
    this.#countImages(added, 1);
    for (const pod of this.#waiting.get(name)?.values() ?? []) this.#addTo(added, pod);
    this.#waiting.delete(name);
    return added;
  }

  removeNode(name: string): void {
    const gone = this.#byName.get(name);
    if (!gone) return;
    this.#byName.delete(name);
    this.nodes.splice(this.nodes.indexOf(gone), 1);
    this.topology++;
    this.#countImages(gone, -1);
    if (gone.pods.size > 0) this.#waiting.set(name, new Map(gone.pods));
    for (const pod of gone.pods.values()) this.#podChanged(pod, gone, -1);
  }

  /** Puts a pod on a node, whether an event says so or the scheduler assumes it. */
  setPod(pod: PodInfo, nodeName: string): void {
    const before = this.#nodeOfPod.get(pod.key);
    if (before !== undefined && before !== nodeName) this.removePod(pod.key);
    this.#nodeOfPod.set(pod.key, nodeName);
    const node = this.#byName.get(nodeName);
    if (node) this.#addTo(node, pod);
    else this.#waitFor(nodeName).set(pod.key, pod);
  }

  /** The node that the pod was on. */
  removePod(key: string): NodeInfo | undefined {
    const nodeName = this.#nodeOfPod.get(key);
    if (nodeName === undefined) return undefined;
    this.#nodeOfPod.delete(key);
    this.#waiting.get(nodeName)?.delete(key);
    const node = this.#byName.get(nodeName);
    const pod = node?.pods.get(key);
    if (node && pod) {
      node.removePod(key);
      this.#podChanged(pod, node, -1);
    }
    return node;
  }

  /** A pod that is on a node. */
  podOn(key: string): PodInfo | undefined {
    return this.#byName.get(this.#nodeOfPod.get(key) ?? '')?.pods.get(key);
  }

  nodeOfPod(key: string): string | undefined {
    return this.#nodeOfPod.get(key);
  }

  #addTo(node: NodeInfo, pod: PodInfo): void {
    const before = node.pods.get(pod.key);
    // Most updates of a pod change its status only.
    const same =
      before !== undefined &&
      before.classKey === pod.classKey &&
      sameLabels(before.pod.metadata.labels, pod.pod.metadata.labels) &&
      before.pod.metadata.deletionTimestamp === pod.pod.metadata.deletionTimestamp;
    if (same) return node.replacePod(pod);
    if (before) this.#podChanged(before, node, -1);
    node.addPod(pod);
    this.#podChanged(pod, node, 1);
  }

  #podChanged(pod: PodInfo, node: NodeInfo, sign: 1 | -1): void {
    this.counts.podChanged(pod, node, sign);
    this.podAffinities.podChanged(pod, node, sign);
    this.storage.podChanged(pod, node.name, sign);
  }

  #waitFor(nodeName: string): Map<string, PodInfo> {
    const waiting = this.#waiting.get(nodeName) ?? new Map<string, PodInfo>();
    this.#waiting.set(nodeName, waiting);
    return waiting;
  }

  #countImages(node: NodeInfo, sign: 1 | -1): void {
    for (const name of node.images.keys()) {
      const count = (this.#imageCounts.get(name) ?? 0) + sign;
      if (count > 0) this.#imageCounts.set(name, count);
      else this.#imageCounts.delete(name);
    }
  }
}

function sameLabels(
  a: Readonly<Record<string, string>> | undefined,
  b: Readonly<Record<string, string>> | undefined,
): boolean {
  if (a === b) return true;
  const entries = Object.entries(a ?? {});
  if (entries.length !== Object.keys(b ?? {}).length) return false;
  return entries.every(([key, value]) => b !== undefined && Object.hasOwn(b, key) && b[key] === value);
}
