import type { Clock } from '#base/clock.ts';
import type { PodInfo } from './pod-info.ts';

export interface QueuedPod {
  info: PodInfo;
  attempts: number;
  readonly firstAddedMs: number;
  /** When it came into the active queue; ties of priority go by it. */
  sequence: number;
  /** When an unschedulable pod was given up for now. */
  unschedulableSinceMs: number;
}

const backoffInitialMs = 1_000;
const backoffMaxMs = 10_000;
/** Unschedulable pods are tried again after this even if nothing seems to have changed (upstream's value). */
const unschedulableMsMax = 5 * 60_000;

/** How long a pod waits after its first failure; each further one doubles it, up to the maximum. */
export interface Backoff {
  readonly backoffInitialMs: number;
  readonly backoffMaxMs: number;
}

/**
 * Pods that wait for a node: `active` by priority, then age; `backoff` until their time comes; `unschedulable` until an
 * event makes another try worthwhile.
 */
export class SchedulingQueue {
  readonly #clock: Clock;
  readonly #limits: Backoff;
  readonly #active = new Heap();
  readonly #backoff = new Map<string, { pod: QueuedPod; cancel: () => void }>();
  readonly #unschedulable = new Map<string, QueuedPod>();
  /** Unschedulable pods by the plugins that refused them; those that left meanwhile are found out when asked for. */
  readonly #refusedBy = new Map<string, Set<QueuedPod>>();
  readonly #known = new Map<string, QueuedPod>();
  /** Not looked at before somebody opens the gate: with what keeps it closed. */
  readonly #gated = new Map<string, { readonly info: PodInfo; readonly by: string }>();
  #sequence = 0;
  #onReady: () => void = () => {};

  constructor(clock: Clock, backoff: Backoff = { backoffInitialMs, backoffMaxMs }) {
    this.#clock = clock;
    this.#limits = backoff;
  }

  /** Called whenever a pod becomes active. */
  set onReady(notify: () => void) {
    this.#onReady = notify;
  }

  get counts(): { active: number; backoff: number; unschedulable: number; gated: number } {
    const gated = this.#gated.size;
    return { active: this.#active.size, backoff: this.#backoff.size, unschedulable: this.#unschedulable.size, gated };
  }

  /** Keeps a pod out until it is added or removed. KEP-3521. */
  gate(info: PodInfo, by: string): void {
    if (this.#known.has(info.key)) this.remove(info.key);
    this.#gated.set(info.key, { info, by });
  }

  isGated(key: string): boolean {
    return this.#gated.has(key);
  }

  gatedBy(by: string): readonly PodInfo[] {
    return [...this.#gated.values()].filter(each => each.by === by).map(each => each.info);
  }

  add(info: PodInfo): void {
    this.#gated.delete(info.key);
    const known = this.#known.get(info.key);
    if (known) {
      known.info = info;
      if (this.#unschedulable.delete(info.key)) this.#activate(known);
      return;
    }
    const pod: QueuedPod = { info, attempts: 0, firstAddedMs: this.#clock.now(), sequence: 0, unschedulableSinceMs: 0 };
    this.#known.set(info.key, pod);
    this.#activate(pod);
  }

  /** New content for a pod that waits, without another try. */
  refresh(info: PodInfo): void {
    const known = this.#known.get(info.key);
    if (known) known.info = info;
  }

  remove(key: string): void {
    this.#gated.delete(key);
    this.#known.delete(key);
    this.#unschedulable.delete(key);
    this.#backoff.get(key)?.cancel();
    this.#backoff.delete(key);
  }

  has(key: string): boolean {
    return this.#known.has(key);
  }

  infoOf(key: string): PodInfo | undefined {
    return this.#known.get(key)?.info;
  }

  /** What a waiting pod asks for, to tell a change that matters from one that does not. */
  classOf(key: string): string | undefined {
    return this.#known.get(key)?.info.classKey;
  }

  /** Its node was found but the binding failed: another try after the pod's backoff. */
  requeue(key: string): void {
    const pod = this.#known.get(key);
    if (pod) this.backOff(pod);
  }

  /** The next pod to place. It stays known until `remove`, `backOff` or `park`. */
  pop(): QueuedPod | undefined {
    for (let pod = this.#active.pop(); pod; pod = this.#active.pop()) {
      // Removed pods are left in the heap; they are recognised here.
      if (this.#known.get(pod.info.key) !== pod) continue;
      pod.attempts++;
      // How long it waited before says nothing about this attempt.
      pod.unschedulableSinceMs = 0;
      return pod;
    }
    return undefined;
  }

  /** No node fits: waits for an event that can help against one of these plugins. */
  park(pod: QueuedPod, refusedBy: Iterable<string> = []): void {
    if (this.#known.get(pod.info.key) !== pod) return;
    pod.unschedulableSinceMs = this.#clock.now();
    this.#unschedulable.set(pod.info.key, pod);
    for (const plugin of refusedBy) {
      const refused = this.#refusedBy.get(plugin) ?? new Set();
      this.#refusedBy.set(plugin, refused.add(pod));
    }
  }

  /** Something failed: tries again after the pod's backoff. */
  backOff(pod: QueuedPod): void {
    if (this.#known.get(pod.info.key) !== pod) return;
    const delayMs = Math.min(this.#limits.backoffMaxMs, this.#limits.backoffInitialMs * 2 ** (pod.attempts - 1));
    const leftMs = Math.max(0, (pod.unschedulableSinceMs || this.#clock.now()) + delayMs - this.#clock.now());
    const cancel = this.#clock.after(leftMs, () => {
      this.#backoff.delete(pod.info.key);
      this.#activate(pod);
    });
    this.#backoff.set(pod.info.key, { pod, cancel });
  }

  /** Gives another try to the unschedulable pods for which an event may change something. */
  retry(worthwhile: (pod: PodInfo) => boolean): void {
    for (const [key, pod] of this.#unschedulable) {
      if (!worthwhile(pod.info)) continue;
      this.#unschedulable.delete(key);
      this.backOff(pod);
    }
  }

  /** The same among those that a plugin refused. */
  retryRefusedBy(plugin: string, worthwhile: (pod: PodInfo) => boolean): void {
    const refused = this.#refusedBy.get(plugin);
    for (const pod of refused ?? []) {
      const { key } = pod.info;
      const waits = this.#unschedulable.get(key) === pod;
      if (waits && !worthwhile(pod.info)) continue;
      refused?.delete(pod);
      if (!waits) continue;
      this.#unschedulable.delete(key);
      this.backOff(pod);
    }
  }

  /** Gives another try to those that have waited for very long. */
  flushOld(): void {
    const before = this.#clock.now() - unschedulableMsMax;
    for (const [key, pod] of this.#unschedulable) {
      if (pod.unschedulableSinceMs > before) continue;
      this.#unschedulable.delete(key);
      this.#activate(pod);
    }
  }

  #activate(pod: QueuedPod): void {
    pod.sequence = this.#sequence++;
    this.#active.push(pod);
    this.#onReady();
  }
}

/** A binary heap: highest priority first, then first come. */
class Heap {
  readonly #items: QueuedPod[] = [];

  get size(): number {
    return this.#items.length;
  }

  push(pod: QueuedPod): void {
    const items = this.#items;
    let index = items.push(pod) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(pod, items[parent] as QueuedPod)) break;
      items[index] = items[parent] as QueuedPod;
      index = parent;
    }
    items[index] = pod;
  }

  pop(): QueuedPod | undefined {
    const items = this.#items;
    const top = items[0];
    const last = items.pop();
    if (!top || !last || items.length === 0) return top;
    let index = 0;
    while (true) {
      let child = 2 * index + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && before(items[child + 1] as QueuedPod, items[child] as QueuedPod)) child++;
      if (!before(items[child] as QueuedPod, last)) break;
      items[index] = items[child] as QueuedPod;
      index = child;
    }
    items[index] = last;
    return top;
  }
}

function before(a: QueuedPod, b: QueuedPod): boolean {
  if (a.info.priority !== b.info.priority) return a.info.priority > b.info.priority;
  return a.sequence < b.sequence;
}
