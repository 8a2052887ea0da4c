import { Namespace } from '#api/core/v1/namespace.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { NetworkPolicy } from '#api/networking/v1/network-policy.ts';
import { exponentialBackoff } from '#base/backoff.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { keyOf } from '#client/informer.ts';
import type { Informers } from '#client/informers.ts';
import type { LeasedPod, PodGate } from '../cni/pod-network.ts';
import { policyTable } from '../names.ts';
import { deleteTable, type NftRun } from '../nftables/run.ts';
import { NftTable } from '../nftables/table.ts';
import { familyOf } from '../proxy/chains.ts';
import { compilePolicy, digest, type CompiledPolicy, type Direction, type NamedPort, type PodView } from './compile.ts';
import { PodSets, type PodSource } from './pod-sets.ts';

export interface NetworkPoliciesOptions {
  readonly clusterId: string;
  /** The cluster's nodes on this machine, whose pods the gate is told of. */
  readonly nodeNames: readonly string[];
  /** Their pods are known from the API, as somebody else connects them: some time after they have begun to speak. */
  readonly connectedByOthers?: boolean;
  readonly clock: Clock;
  readonly log: Log;
  /** Absent: the kernel's, by `nft`. */
  readonly run?: NftRun;
}

/**
 * Keeps NetworkPolicies for the pods of this machine, by nftables. Disposing of it leaves the rules in the kernel, for
 * the pods that run on; `removeNetworkPolicies` takes them away.
 */
export interface NetworkPolicies extends PodGate, AsyncDisposable {
  /** Pods wait at the gate until this has been called and the policies are there. */
  follow(informers: Informers): void;
  /** Resolves when the kernel has the rules for everything that is known so far. */
  settled(): Promise<void>;
}

export function openNetworkPolicies(options: NetworkPoliciesOptions): NetworkPolicies {
  return new Policies(options);
}

/** Removes a cluster's policies from this machine. */
export function removeNetworkPolicies(clusterId: string): Promise<void> {
  return deleteTable(policyTable(clusterId));
}

/** What runs on a node's own network is the node's, and what has ended has no address. */
const podsWithAddresses = {
  fieldSelector: 'spec.hostNetwork=false,status.phase!=Succeeded,status.phase!=Failed',
} as const;

interface Local {
  readonly pod: LeasedPod;
  readonly ips: readonly string[];
}

/** A local pod that policies select: where its packets are led. */
interface Isolation {
  readonly ips: readonly string[];
  readonly ingress: string | undefined;
  readonly egress: string | undefined;
}

/** What there is only while there are policies: without them nothing is watched and nothing is in packets' way. */
interface Kept {
  readonly table: NftTable;
  readonly sets: PodSets;
  readonly release: () => void;
}

class Policies implements NetworkPolicies {
  readonly #options: NetworkPoliciesOptions;
  readonly #nodeNames: ReadonlySet<string>;
  readonly #policies = new Map<string, CompiledPolicy>();
  readonly #byNamespace = new Map<string, Set<string>>();
  /** By sandbox. */
  readonly #locals = new Map<string, Local>();
  readonly #sandboxes = new Map<string, Set<string>>();
  /** Pods as the rules have them, by uid. */
  readonly #views = new Map<string, PodView>();
  readonly #viewsByNamespace = new Map<string, Map<string, PodView>>();
  readonly #apiPods = new Map<string, Pod>();
  readonly #namespaces = new Map<string, Namespace>();
  readonly #isolations = new Map<string, Isolation>();
  /** Chains and what they need: pods' chains by name. */
  readonly #profiles = new Map<string, { readonly chains: readonly string[]; readonly sets: readonly string[] }>();
  #chains = new Set<string>();
  readonly #dirtyPods = new Set<string>();
  readonly #dirtyNamespaces = new Set<string>();
  /** Namespaces whose policies have changed. */
  readonly #dirtySelections = new Set<string>();
  #pending = true;
  #kept: Kept | undefined;
  #follows = false;
  /** An agent from before may have left its table. */
  #mayBeWritten = true;
  #informers: Informers | undefined;
  #working: Promise<void> | undefined;
  #loaded = false;
  readonly #started = Promise.withResolvers<void>();
  readonly #ended = new AbortController();
  readonly #unsubscribe: (() => void)[] = [];

  constructor(options: NetworkPoliciesOptions) {
    this.#options = options;
    this.#nodeNames = new Set(options.nodeNames);
    // Those who wait at the gate say what they are missing.
    this.#started.promise.catch(() => undefined);
  }

  known(sandboxId: string, pod: LeasedPod, ips: readonly string[]): void {
    this.#locals.set(sandboxId, { pod, ips });
    const beside = this.#sandboxes.get(pod.uid);
    if (beside) beside.add(sandboxId);
    else this.#sandboxes.set(pod.uid, new Set([sandboxId]));
    this.#podChanged(pod.uid);
  }

  async admit(sandboxId: string, pod: LeasedPod, ips: readonly string[], signal?: AbortSignal): Promise<void> {
    this.known(sandboxId, pod, ips);
    await untilAborted(this.settled(), signal);
  }

  dismiss(sandboxId: string): void {
    const local = this.#locals.get(sandboxId);
    if (!local) return;
    const { uid } = local.pod;
    this.#locals.delete(sandboxId);
    const beside = this.#sandboxes.get(uid);
    beside?.delete(sandboxId);
    if (beside?.size === 0) this.#sandboxes.delete(uid);
    this.#podChanged(uid);
  }

  follow(informers: Informers): void {
    this.#informers = informers;
    const policies = informers.of(NetworkPolicy);
    const put = (policy: NetworkPolicy) => this.#policyChanged(keyOf(policy), compilePolicy(policy));
    this.#unsubscribe.push(
      policies.subscribe({
        added: put,
        updated(policy, old) {
          if (policy.metadata.generation !== old.metadata.generation || policy.metadata.generation === undefined)
            put(policy);
        },
        deleted: policy => this.#policyChanged(keyOf(policy), undefined),
      }),
    );
    this.#start(policies.synced).then(this.#started.resolve, (error: unknown) => {
      this.#started.reject(error);
      if (!this.#ended.signal.aborted) this.#options.log.error('cannot keep network policies', { error });
    });
  }

  async settled(): Promise<void> {
    await this.#started.promise;
    while (this.#working || this.#pending) await (this.#working ?? this.#work());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const reason = new Error('the network policies were closed');
    this.#ended.abort(reason);
    this.#started.reject(reason);
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    await this.#working?.catch(() => undefined);
    this.#kept?.release();
    await this.#kept?.table[Symbol.asyncDispose]();
  }

  async #start(synced: Promise<void>): Promise<void> {
    await synced;
    this.#ended.signal.throwIfAborted();
    this.#loaded = true;
    await this.#work();
  }

  #policyChanged(key: string, policy: CompiledPolicy | undefined): void {
    const namespace = key.slice(0, key.indexOf('/'));
    const keys = this.#byNamespace.get(namespace) ?? new Set();
    if (policy) {
      this.#policies.set(key, policy);
      this.#byNamespace.set(namespace, keys.add(key));
    } else {
      this.#policies.delete(key);
      keys.delete(key);
      if (keys.size === 0) this.#byNamespace.delete(namespace);
    }
    this.#dirtySelections.add(namespace);
    this.#changed();
  }

  #podChanged(uid: string): void {
    // Before there are policies nobody asks; when there are, all pods are looked at once.
    if (!this.#follows) return;
    this.#dirtyPods.add(uid);
    this.#changed();
  }

  #changed(): void {
    this.#pending = true;
    if (!this.#loaded || this.#working || this.#ended.signal.aborted) return;
    // Changes that arrive together are written together.
    queueMicrotask(() => {
      if (!this.#working && this.#pending && !this.#ended.signal.aborted) void this.#work().catch(() => undefined);
    });
  }

  /** One at a time; rejects only when everything ends. */
  #work(): Promise<void> {
    this.#working ??= this.#writeAll().finally(() => {
      this.#working = undefined;
    });
    return this.#working;
  }

  async #writeAll(): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = this.#ended;
    const backoff = exponentialBackoff({ initialMs: 500, maxMs: 30_000 });
    while (this.#pending) {
      this.#pending = false;
      try {
        if (this.#policies.size > 0) await this.#keep();
        else await this.#giveUp();
        backoff.reset();
      } catch (error) {
        signal.throwIfAborted();
        this.#pending = true;
        log.error('cannot write the rules of network policies', { error });
        await clock.sleep(backoff.next(), signal);
      }
    }
  }

  async #keep(): Promise<void> {
    this.#kept ??= await this.#open();
    this.#decide(this.#kept);
    await this.#kept.table.flush();
  }

  async #giveUp(): Promise<void> {
    const kept = this.#kept;
    this.#kept = undefined;
    this.#follows = false;
    if (kept) {
      kept.release();
      this.#mayBeWritten = true;
      await kept.table[Symbol.asyncDispose]();
    }
    for (const state of [this.#views, this.#viewsByNamespace, this.#apiPods, this.#namespaces, this.#isolations])
      state.clear();
    this.#profiles.clear();
    this.#chains.clear();
    for (const dirty of [this.#dirtyPods, this.#dirtyNamespaces, this.#dirtySelections]) dirty.clear();
    if (!this.#mayBeWritten) return;
    await removeTable(this.#options);
    this.#mayBeWritten = false;
  }

  /** Begins to follow pods and namespaces, and resolves when all of them are there. */
  async #open(): Promise<Kept> {
    const { clusterId, clock, log, run } = this.#options;
    const informers = this.#informers;
    if (!informers) throw new Error('cannot keep network policies: there is nobody to ask for pods');
    const pods = informers.of(Pod, podsWithAddresses);
    const namespaces = informers.of(Namespace);
    await Promise.all([pods.synced, namespaces.synced]);
    this.#ended.signal.throwIfAborted();
    this.#follows = true;
    const table = new NftTable({
      name: policyTable(clusterId),
      declarations: fixedChains,
      clock,
      log,
      ...(run && { run }),
    });
    table.guard();
    const sets = new PodSets(table, this.#source());
    const putPod = (pod: Pod) => {
      this.#apiPods.set(uidOf(pod), pod);
      this.#podChanged(uidOf(pod));
    };
    const putNamespace = (namespace: Namespace) => {
      const { name = '' } = namespace.metadata;
      this.#namespaces.set(name, namespace);
      this.#dirtyNamespaces.add(name);
      this.#changed();
    };
    const subscriptions = [
      pods.subscribe({
        added: putPod,
        updated: putPod,
        deleted: pod => {
          this.#apiPods.delete(uidOf(pod));
          this.#podChanged(uidOf(pod));
        },
      }),
      namespaces.subscribe({
        added: putNamespace,
        updated: (namespace, old) => {
          if (!sameLabels(namespace.metadata.labels, old.metadata.labels)) putNamespace(namespace);
          else this.#namespaces.set(namespace.metadata.name ?? '', namespace);
        },
        deleted: ({ metadata: { name = '' } }) => {
          this.#namespaces.delete(name);
          this.#dirtyNamespaces.add(name);
          this.#changed();
        },
      }),
    ];
    for (const { pod } of this.#locals.values()) this.#dirtyPods.add(pod.uid);
    return {
      table,
      sets,
      release: () => {
        for (const unsubscribe of subscriptions) unsubscribe();
        informers.forget(Pod, podsWithAddresses);
      },
    };
  }

  #source(): PodSource {
    return {
      pods: () => this.#views.values(),
      podsOf: namespace => this.#viewsByNamespace.get(namespace)?.values() ?? [],
      namespaceLabels: namespace => this.#namespaces.get(namespace)?.metadata.labels,
    };
  }

  #decide({ table, sets }: Kept): void {
    const toSelect = new Set<string>();
    for (const uid of this.#dirtyPods) if (this.#look(uid, sets)) toSelect.add(uid);
    for (const namespace of this.#dirtyNamespaces) sets.namespaceChanged(namespace);
    for (const namespace of this.#dirtySelections)
      for (const pod of this.#viewsByNamespace.get(namespace)?.values() ?? []) if (pod.isLocal) toSelect.add(pod.uid);
    for (const dirty of [this.#dirtyPods, this.#dirtyNamespaces, this.#dirtySelections]) dirty.clear();
    if (toSelect.size === 0) return;
    const before = [...toSelect].map(uid => this.#isolations.get(uid)).filter(isolation => isolation !== undefined);
    for (const uid of toSelect) this.#select(uid, table, sets);
    const after = [...toSelect].map(uid => this.#isolations.get(uid)).filter(isolation => isolation !== undefined);
    // First what is gone: an address may have passed from one pod to another.
    for (const isolation of before) for (const { map, ip } of elementsOf(isolation)) table.delete(map, ip);
    for (const isolation of after) for (const { map, ip, value } of elementsOf(isolation)) table.set(map, ip, value);
    this.#sweep(table, sets);
  }

  /** Sees what a pod is now. True: policies may select it or not anew. */
  #look(uid: string, sets: PodSets): boolean {
    const old = this.#views.get(uid);
    const pod = this.#view(uid);
    if (old && pod && samePod(old, pod)) return false;
    if (old && old.namespace !== pod?.namespace) this.#viewsByNamespace.get(old.namespace)?.delete(uid);
    if (pod) {
      this.#views.set(uid, pod);
      const beside = this.#viewsByNamespace.get(pod.namespace);
      if (beside) beside.set(uid, pod);
      else this.#viewsByNamespace.set(pod.namespace, new Map([[uid, pod]]));
      sets.changed(pod);
    } else if (old) {
      this.#views.delete(uid);
      if (this.#viewsByNamespace.get(old.namespace)?.size === 0) this.#viewsByNamespace.delete(old.namespace);
      sets.gone(old);
    }
    return old?.isLocal === true || pod?.isLocal === true;
  }

  /** The API knows a pod's labels and ports, the leases of this machine know addresses before the API does. */
  #view(uid: string): PodView | undefined {
    const pod = this.#apiPods.get(uid);
    const sandboxes = [...(this.#sandboxes.get(uid) ?? [])].map(id => this.#locals.get(id));
    const locals = sandboxes.filter(local => local !== undefined);
    const isHere = pod !== undefined && this.#nodeNames.has(pod.spec.nodeName ?? '');
    const leased = locals.flatMap(local => local.ips);
    // The status of a pod that is here may name an address that it has no more.
    const isLeased = leased.length > 0 || (isHere && this.#options.connectedByOthers !== true);
    const ips = isLeased ? leased : (pod?.status?.podIPs ?? []).map(({ ip }) => ip ?? '').filter(ip => ip !== '');
    if (ips.length === 0) return undefined;
    const [local] = locals;
    return {
      uid,
      namespace: pod?.metadata.namespace ?? local?.pod.namespace ?? '',
      labels: pod ? pod.metadata.labels : local?.pod.labels,
      ips,
      ports: pod ? namedPorts(pod) : [],
      isLocal: locals.length > 0 || isHere,
    };
  }

  #select(uid: string, table: NftTable, sets: PodSets): void {
    const pod = this.#views.get(uid);
    if (!pod?.isLocal) {
      this.#isolations.delete(uid);
      return;
    }
    const policies = [...(this.#byNamespace.get(pod.namespace) ?? [])]
      .map(key => this.#policies.get(key))
      .filter(policy => policy !== undefined)
      .filter(policy => policy.selects(pod.labels));
    const ingress = this.#profile('ingress', policies, table, sets);
    const egress = this.#profile('egress', policies, table, sets);
    if (ingress === undefined && egress === undefined) this.#isolations.delete(uid);
    else this.#isolations.set(uid, { ips: pod.ips, ingress, egress });
  }

  /** The chain for pods with these policies; `undefined`: none of them is about this direction. */
  #profile(
    direction: Direction,
    policies: readonly CompiledPolicy[],
    table: NftTable,
    sets: PodSets,
  ): string | undefined {
    const directions = policies.map(policy => policy[direction]).filter(compiled => compiled !== undefined);
    if (directions.length === 0) return undefined;
    const chains = new Map<string, string>();
    for (const { rules } of directions)
      if (rules.length > 0) chains.set(`policy-${digest(rules.join('\n'))}`, rules.join('\n'));
    const names = [...chains.keys()].toSorted();
    const name = `pods-${digest(names.join('\n'))}`;
    if (this.#profiles.has(name)) return name;
    const used = directions.flatMap(compiled => compiled.sets);
    for (const set of used) sets.keep(set);
    for (const [chain, rules] of chains) table.addChain(chain, rules);
    table.addChain(name, [...names.map(chain => `jump ${chain}`), 'counter drop'].join('\n'));
    for (const chain of names) this.#chains.add(chain);
    this.#profiles.set(name, { chains: names, sets: used.map(set => set.name) });
    return name;
  }

  /** Gives up chains and sets that no pod needs any more. */
  #sweep(table: NftTable, sets: PodSets): void {
    const needed = new Set<string>();
    for (const { ingress, egress } of this.#isolations.values())
      for (const name of [ingress, egress]) if (name !== undefined) needed.add(name);
    for (const name of this.#profiles.keys()) {
      if (needed.has(name)) continue;
      this.#profiles.delete(name);
      table.removeChain(name);
    }
    const profiles = [...this.#profiles.values()];
    const chains = new Set(profiles.flatMap(profile => profile.chains));
    for (const chain of this.#chains) if (!chains.has(chain)) table.removeChain(chain);
    this.#chains = chains;
    sets.keepOnly(new Set(profiles.flatMap(profile => profile.sets)));
  }
}

/**
 * Two chains, because what one accepts the other still judges: that of who sends, then that of who receives. Both see
 * what is forwarded only: what the node itself sends and receives is always allowed, and so are answers, and a pod to
 * itself. DNAT was before, so the receiver is a pod and not a service, and SNAT comes after.
 */
const fixedChains = `
    map egress4 { type ipv4_addr : verdict; }
    map egress6 { type ipv6_addr : verdict; }
    map ingress4 { type ipv4_addr : verdict; }
    map ingress6 { type ipv6_addr : verdict; }
    set selves4 { type ipv4_addr . ipv4_addr; }
    set selves6 { type ipv6_addr . ipv6_addr; }
    chain egress {
      type filter hook forward priority filter; policy accept;
      ct state established,related accept
      ip saddr . ip daddr @selves4 accept
      ip6 saddr . ip6 daddr @selves6 accept
      ip saddr vmap @egress4
      ip6 saddr vmap @egress6
    }
    chain ingress {
      type filter hook forward priority filter + 1; policy accept;
      ct state established,related accept
      ip saddr . ip daddr @selves4 accept
      ip6 saddr . ip6 daddr @selves6 accept
      ip daddr vmap @ingress4
      ip6 daddr vmap @ingress6
    }`;

interface MapElement {
  readonly map: string;
  readonly ip: string;
  readonly value: string;
}

function elementsOf({ ips, ingress, egress }: Isolation): readonly MapElement[] {
  return ips.flatMap(ip => {
    const { suffix } = familyOf(ip);
    const elements: MapElement[] = [{ map: `selves${suffix}`, ip: `${ip} . ${ip}`, value: '' }];
    if (ingress !== undefined) elements.push({ map: `ingress${suffix}`, ip, value: `goto ${ingress}` });
    if (egress !== undefined) elements.push({ map: `egress${suffix}`, ip, value: `goto ${egress}` });
    return elements;
  });
}

function uidOf({ metadata }: Pod): string {
  return metadata.uid ?? '';
}

function namedPorts({ spec }: Pod): readonly NamedPort[] {
  const sidecars = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  return [...spec.containers, ...sidecars].flatMap(({ ports = [] }) =>
    ports.flatMap(({ name, protocol = 'TCP', containerPort: port }) =>
      name === undefined || name === '' ? [] : [{ name, protocol, port }],
    ),
  );
}

type WrittenLabels = Readonly<Record<string, string>> | undefined;

function sameLabels(left: WrittenLabels, right: WrittenLabels): boolean {
  if (left === right) return true;
  const [before, after] = [Object.entries(left ?? {}), new Map(Object.entries(right ?? {}))];
  return before.length === after.size && before.every(([key, value]) => after.get(key) === value);
}

function samePod(left: PodView, right: PodView): boolean {
  return (
    left.isLocal === right.isLocal &&
    left.ips.join() === right.ips.join() &&
    sameLabels(left.labels, right.labels) &&
    left.ports.length === right.ports.length &&
    left.ports.every((port, index) => {
      const other = right.ports[index];
      return other?.name === port.name && other.port === port.port && other.protocol === port.protocol;
    })
  );
}

async function removeTable({ clusterId, run }: NetworkPoliciesOptions): Promise<void> {
  const table = policyTable(clusterId);
  if (run) await run(`add table inet ${table}\ndelete table inet ${table}\n`);
  else await deleteTable(table);
}

/** The waiting ends, not what is waited for. */
function untilAborted(promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
