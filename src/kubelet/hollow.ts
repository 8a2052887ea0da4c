import { Lease } from '#api/coordination/v1/lease.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { isReason } from '#api/machinery/errors.ts';
import type { Client } from '#client/client.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import { openInformer } from '#client/informer.ts';
import { defaultBehaviour, ruleFor, type HollowRule } from './hollow/behaviour.ts';
import { defaultCapacity, hollowConditions, hollowNode } from './hollow/node.ts';
import { gateMoved, hollowStatus, type HollowState } from './hollow/status.ts';
import { Parallel } from './parallel.ts';
import { formatMicroTime, timeMs } from '#api/machinery/time.ts';

export interface HollowNodesOptions {
  readonly client: Client;
  readonly names: readonly string[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Default: 32 CPUs, 256 GiB, 110 pods. */
  readonly capacity?: Readonly<Record<string, string>>;
  /** More labels of a node, such as its zone. */
  readonly labels?: (name: string, index: number) => Readonly<Record<string, string>>;
  readonly behaviour?: readonly HollowRule[];
  readonly leaseRenewMs?: number;
  readonly statusHeartbeatMs?: number;
  /** The number of the first node, from which addresses follow; differs between processes that pretend beside each other. */
  readonly firstIndex?: number;
  /** Writes at once. */
  readonly writesMax?: number;
}

export interface HollowNodes extends AsyncDisposable {
  readonly names: readonly string[];
  /** Registers one more node. */
  add(name: string): Promise<void>;
  /** Stops pretending to be a node, as if its machine had been switched off. The Node object stays. */
  crash(name: string): void;
}

/** Names for `count` nodes: `hollow-0`, `hollow-1`, … */
export function hollowNames(count: number, prefix = 'hollow-'): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}

/**
 * Nodes that only pretend: they register, keep their leases, and say of their pods that they run. All of them share one
 * watch and one schedule, so that thousands fit in a process. Resolves once every node is registered and ready.
 */
export async function startHollowNodes(options: HollowNodesOptions): Promise<HollowNodes> {
  const nodes = new Nodes(options);
  try {
    await nodes.register(options.names);
  } catch (error) {
    await nodes.close();
    throw error;
  }
  // Only now: pods of a node that is not registered would not be taken.
  const pods = new Pods(options, nodes);
  return {
    get names() {
      return nodes.names;
    },
    add: name => nodes.register([name]).then(() => pods.adopt(name)),
    crash(name) {
      nodes.drop(name);
      pods.drop(name);
    },
    async [Symbol.asyncDispose]() {
      await pods.close();
      await nodes.close();
    },
  };
}

interface HollowNode {
  readonly name: string;
  readonly address: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly readySinceMs: number;
  uid: string;
  lease: Lease | undefined;
  renewing: boolean;
  statusMs: number;
}

const leaseSeconds = 40;
const leaseNamespace = 'kube-node-lease';
/** Leases that are renewed in one turn of the schedule. */
const renewalsAtOnce = 16;

class Nodes {
  readonly #options: HollowNodesOptions;
  readonly #nodes: HollowNode[] = [];
  readonly #byName = new Map<string, HollowNode>();
  readonly #writes: Parallel;
  /** Nodes that are registered do not wait for those that are to be. */
  readonly #beats = new Parallel(renewalsAtOnce);
  #cancel = () => {};
  #next = 0;
  /** A node that comes back is the same machine. */
  readonly #indexes = new Map<string, number>();
  #closed = false;

  constructor(options: HollowNodesOptions) {
    this.#options = options;
    this.#writes = new Parallel(options.writesMax ?? 32);
    this.#schedule();
  }

  get names(): readonly string[] {
    return this.#nodes.map(({ name }) => name);
  }

  get(name: string): HollowNode | undefined {
    return this.#byName.get(name);
  }

  async register(names: readonly string[]): Promise<void> {
    const failures: unknown[] = [];
    for (const name of names)
      this.#writes.run(async () => {
        try {
          await this.#registerOne(name);
        } catch (error) {
          failures.push(error);
        }
      });
    await this.#writes.idle();
    if (failures.length > 0) throw failures[0];
  }

  drop(name: string): void {
    this.#byName.delete(name);
    const at = this.#nodes.findIndex(node => node.name === name);
    if (at >= 0) this.#nodes.splice(at, 1);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel();
    await Promise.all([this.#writes.close(), this.#beats.close()]);
  }

  async #registerOne(name: string): Promise<void> {
    if (this.#byName.has(name)) return;
    const { clock, labels } = this.#options;
    const index = this.#indexes.get(name) ?? this.#indexes.size + (this.#options.firstIndex ?? 0);
    this.#indexes.set(name, index);
    const nowMs = clock.now();
    const node: HollowNode = {
      name,
      address: addressAt(172, 16, index + 1),
      labels: labels?.(name, index) ?? {},
      readySinceMs: nowMs,
      uid: '',
      lease: undefined,
      renewing: false,
      statusMs: nowMs,
    };
    await this.#create(node);
    await this.#renew(node);
    this.#nodes.push(node);
    this.#byName.set(name, node);
  }

  async #create(node: HollowNode): Promise<void> {
    const { client, clock, capacity = defaultCapacity } = this.#options;
    const object = hollowNode({ ...node, capacity }, clock.now());
    try {
      const created = await client.create(Node, object);
      node.uid = created.metadata.uid ?? '';
      if (created.status?.conditions?.length) return;
    } catch (error) {
      if (!isReason(error, 'AlreadyExists')) throw error;
      node.uid = (await client.get(Node, node.name)).metadata.uid ?? '';
    }
    const patch = { status: object.status };
    await client.patch(Node, node.name, { type: 'strategic', patch }, { subresource: 'status' });
  }

  /** One timer for all: each turn takes the next few nodes, and a round takes the renewal interval. */
  #schedule(): void {
    const { clock, leaseRenewMs = 10_000 } = this.#options;
    const turns = Math.max(1, Math.ceil(this.#nodes.length / renewalsAtOnce));
    this.#cancel = clock.after(leaseRenewMs / turns, () => {
      if (this.#closed) return;
      for (let count = Math.min(renewalsAtOnce, this.#nodes.length); count > 0; count--) {
        this.#next = (this.#next + 1) % this.#nodes.length;
        const node = this.#nodes[this.#next];
        if (node && !node.renewing) this.#heartbeat(node);
      }
      this.#schedule();
    });
  }

  #heartbeat(node: HollowNode): void {
    node.renewing = true;
    this.#beats.run(async () => {
      try {
        await this.#renew(node);
        await this.#refreshStatus(node);
      } catch (error) {
        this.#options.log.warn('cannot keep a hollow node alive', { node: node.name, error });
      } finally {
        node.renewing = false;
      }
    });
  }

  async #renew(node: HollowNode): Promise<void> {
    const { client, clock } = this.#options;
    const renewTime = formatMicroTime(clock.now());
    const where = { namespace: leaseNamespace };
    if (node.lease) {
      try {
        const renewed = { ...node.lease, spec: { ...node.lease.spec, renewTime } };
        node.lease = await client.update(Lease, renewed, where);
        return;
      } catch (error) {
        if (!isReason(error, 'Conflict', 'NotFound')) throw error;
        node.lease = undefined;
      }
    }
    const spec = { holderIdentity: node.name, leaseDurationSeconds: leaseSeconds, renewTime };
    const owner = { apiVersion: 'v1', kind: 'Node', name: node.name, uid: node.uid };
    const metadata = { name: node.name, namespace: leaseNamespace, ownerReferences: [owner] };
    try {
      node.lease = await client.create(Lease, { metadata, spec }, where);
    } catch (error) {
      if (!isReason(error, 'AlreadyExists')) throw error;
      const patch = { metadata: { ownerReferences: [owner] }, spec };
      node.lease = await client.patch(Lease, node.name, { type: 'merge', patch }, where);
    }
  }

  async #refreshStatus(node: HollowNode): Promise<void> {
    const { client, clock, statusHeartbeatMs = 300_000 } = this.#options;
    const nowMs = clock.now();
    if (nowMs - node.statusMs < statusHeartbeatMs) return;
    node.statusMs = nowMs;
    const patch = { status: { conditions: hollowConditions(nowMs, node.readySinceMs) } };
    try {
      await client.patch(Node, node.name, { type: 'strategic', patch }, { subresource: 'status' });
    } catch (error) {
      if (!isReason(error, 'NotFound')) throw error;
      await this.#create(node);
    }
  }
}

type Stage = 'starting' | 'running' | 'ready' | 'ended' | 'stopping';

interface HollowPod {
  pod: Pod;
  /** Empty until the pod needs one. */
  podIp: string;
  readonly rule: HollowRule;
  stage: Stage;
  startedMs: number;
  ended: { readonly atMs: number; readonly exitCode: number } | undefined;
  cancel: () => void;
  /** A write is on its way; another one follows when something has changed meanwhile. */
  writing: boolean;
  dirty: boolean;
}

class Pods {
  readonly #options: HollowNodesOptions;
  readonly #nodes: Nodes;
  readonly #pods = new Map<string, HollowPod>();
  readonly #writes: Parallel;
  readonly #abort = new AbortController();
  #addresses = 0;
  /** Addresses that pods had when they were taken over. */
  readonly #former = new Set<string>();

  constructor(options: HollowNodesOptions, nodes: Nodes) {
    this.#options = options;
    this.#nodes = nodes;
    this.#writes = new Parallel(options.writesMax ?? 32);
    const { client, clock, random, log } = options;
    const selection = { fieldSelector: 'spec.nodeName!=' };
    const informer = openInformer(client, Pod, { ...selection, clock, random, log }, this.#abort.signal);
    informer.subscribe({
      added: pod => this.#seen(pod),
      updated: pod => this.#seen(pod),
      deleted: pod => this.#gone(pod),
    });
  }

  async close(): Promise<void> {
    this.#abort.abort(new Error('the hollow nodes were stopped'));
    for (const each of this.#pods.values()) each.cancel();
    await this.#writes.close();
  }

  /** What ran on the node ended with it; when it comes back, its pods are looked at anew. */
  drop(name: string): void {
    for (const [uid, { pod, cancel }] of this.#pods) {
      if (pod.spec?.nodeName !== name) continue;
      cancel();
      this.#pods.delete(uid);
    }
  }

  /** Takes over the pods that were bound to a node before it was one of ours. */
  async adopt(name: string): Promise<void> {
    const { items } = await this.#options.client.list(Pod, { fieldSelector: `spec.nodeName=${name}` });
    for (const pod of items) this.#seen(pod);
  }

  #seen(pod: Pod): void {
    const uid = pod.metadata.uid ?? '';
    const node = this.#nodes.get(pod.spec?.nodeName ?? '');
    if (!node) return;
    const known = this.#pods.get(uid);
    if (known) known.pod = pod;
    const each = known ?? this.#take(uid, pod);
    if (pod.metadata.deletionTimestamp !== undefined) this.#stop(each);
    else if (each.stage === 'ready' && (gateMoved(pod) || saidNotReady(pod))) this.#write(each);
  }

  #gone(pod: Pod): void {
    const uid = pod.metadata.uid ?? '';
    const each = this.#pods.get(uid);
    each?.cancel();
    this.#pods.delete(uid);
    this.#former.delete(each?.podIp ?? '');
  }

  #take(uid: string, pod: Pod): HollowPod {
    const { behaviour = defaultBehaviour, clock } = this.#options;
    const each: HollowPod = {
      pod,
      podIp: pod.status?.podIP ?? '',
      rule: ruleFor(behaviour, pod),
      stage: 'starting',
      startedMs: timeMs(pod.status?.startTime ?? '') || clock.now(),
      ended: undefined,
      cancel() {},
      writing: false,
      dirty: false,
    };
    this.#pods.set(uid, each);
    if (each.podIp !== '') this.#former.add(each.podIp);
    const { phase } = pod.status ?? {};
    if (phase === 'Succeeded' || phase === 'Failed') each.stage = 'ended';
    else if (phase === 'Running') this.#resume(each);
    else if (pod.metadata.deletionTimestamp === undefined)
      this.#after(each, each.rule.startMs, () => this.#start(each));
    return each;
  }

  /** A pod that a former process had started. */
  #resume(each: HollowPod): void {
    const isReady = each.pod.status?.conditions?.some(
      ({ type, status }) => type === 'ContainersReady' && status === 'True',
    );
    each.stage = isReady ? 'ready' : 'running';
    if (isReady) this.#endLater(each);
    else this.#after(each, each.rule.readyMs, () => this.#makeReady(each));
  }

  #start(each: HollowPod): void {
    each.stage = 'running';
    each.startedMs = this.#options.clock.now();
    if (each.rule.readyMs) {
      this.#write(each);
      this.#after(each, each.rule.readyMs, () => this.#makeReady(each));
    } else this.#makeReady(each);
  }

  #makeReady(each: HollowPod): void {
    each.stage = 'ready';
    this.#write(each);
    this.#endLater(each);
  }

  #endLater(each: HollowPod): void {
    const { runMs, exitCode = 0 } = each.rule;
    if (runMs === undefined || (each.pod.spec?.restartPolicy ?? 'Always') === 'Always') return;
    this.#after(each, runMs, () => {
      each.stage = 'ended';
      each.ended = { atMs: this.#options.clock.now(), exitCode };
      this.#write(each);
    });
  }

  #stop(each: HollowPod): void {
    if (each.stage === 'stopping') return;
    each.stage = 'stopping';
    each.cancel();
    const graceMs = (each.pod.metadata.deletionGracePeriodSeconds ?? 30) * 1000;
    this.#after(each, Math.min(each.rule.stopMs ?? 0, graceMs), () => this.#remove(each));
  }

  #after(each: HollowPod, delayMs: number | undefined, run: () => void): void {
    if (delayMs === undefined || delayMs <= 0) run();
    else each.cancel = this.#options.clock.after(delayMs, run);
  }

  #write(each: HollowPod): void {
    each.dirty = true;
    if (each.writing) return;
    each.writing = true;
    this.#writes.run(async () => {
      while (each.dirty && each.stage !== 'stopping') {
        each.dirty = false;
        await this.#attempt(each, () => this.#patch(each));
      }
      each.writing = false;
    });
  }

  async #patch(each: HollowPod): Promise<void> {
    const { client, clock } = this.#options;
    const { name = '', namespace = '', uid } = each.pod.metadata;
    const hostIp = this.#nodes.get(each.pod.spec?.nodeName ?? '')?.address;
    // The node has crashed meanwhile: nobody is there to write.
    if (hostIp === undefined) return;
    each.podIp ||= this.#freeAddress();
    const { podIp, startedMs, ended } = each;
    const state: HollowState = { podIp, hostIp, startedMs, ready: each.stage !== 'running', ...(ended && { ended }) };
    const status = hollowStatus(each.pod, state, clock.now());
    // The uid keeps the status from a later pod of the same name. Addresses are merged by value, and a former process may
    // have given the node another one.
    const patch = {
      metadata: { uid },
      status: {
        ...status,
        hostIPs: [{ $patch: 'replace' }, ...(status.hostIPs ?? [])],
        podIPs: [{ $patch: 'replace' }, ...(status.podIPs ?? [])],
      },
    };
    await client.patch(Pod, name, { type: 'strategic', patch }, { namespace, subresource: 'status' });
  }

  /** None that a pod has from a former process. */
  #freeAddress(): string {
    for (;;) {
      const address = addressAt(10, 128 + (this.#options.firstIndex ?? 0), ++this.#addresses);
      if (!this.#former.has(address)) return address;
    }
  }

  #remove(each: HollowPod): void {
    const { client } = this.#options;
    const { name = '', namespace = '', uid } = each.pod.metadata;
    const preconditions = { ...(uid !== undefined && { uid }) };
    this.#writes.run(() =>
      this.#attempt(each, async () => {
        if (!this.#nodes.get(each.pod.spec?.nodeName ?? '')) return;
        await client.delete(Pod, name, { namespace, gracePeriodSeconds: 0, preconditions });
      }),
    );
  }

  /** Tries until it works, or the pod is gone from here. */
  async #attempt(each: HollowPod, write: () => Promise<void>): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = this.#abort;
    const isCurrent = () => this.#pods.get(each.pod.metadata.uid ?? '') === each;
    for (let delayMs = 100; !signal.aborted && isCurrent(); delayMs = Math.min(10_000, delayMs * 2)) {
      try {
        return await write();
      } catch (error) {
        // A conflict may be about another pod of that name, and then this one's end is on its way; or about another writer.
        if (isReason(error, 'NotFound')) return;
        log.warn('cannot write about a hollow pod', { pod: each.pod.metadata.name, error });
        await clock.sleep(delayMs, signal).catch(() => undefined);
      }
    }
  }
}

/** Its containers are ready, and the pod is called otherwise: that was said of its node while that was away. */
function saidNotReady({ spec, status }: Pod): boolean {
  return (
    (spec?.readinessGates ?? []).length === 0 &&
    status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'False') === true
  );
}

/** Addresses counted up from a private range. */
function addressAt(first: number, second: number, index: number): string {
  return `${first}.${second + ((index >> 16) & 127)}.${(index >> 8) & 255}.${index & 255}`;
}
