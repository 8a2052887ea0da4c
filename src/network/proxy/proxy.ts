import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { Node } from '#api/core/v1/node.ts';
import { Service } from '#api/core/v1/service.ts';
import { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { exponentialBackoff } from '#base/backoff.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { keyOf, type Index, type Informer } from '#client/informer.ts';
import type { Informers } from '#client/informers.ts';
import { forgetConnections, listLedFlows, type FlowSelection } from '../conntrack.ts';
import { serviceTable } from '../names.ts';
import { deleteTable, type NftRun } from '../nftables/run.ts';
import { NftTable } from '../nftables/table.ts';
import { familyOf, fixedChains } from './chains.ts';
import { Claims } from './claims.ts';
import { decideService } from './decide.ts';
import type { NodeInfo } from './endpoints.ts';
import { staleFlows, strayFlows } from './flows.ts';
import { HealthChecks } from './health-checks.ts';

export interface ServiceProxyOptions {
  readonly informers: Informers;
  readonly nodeName: string;
  readonly clusterId: string;
  /** Other nodes of the cluster on the same machine, each with the id that its things on the host carry. */
  readonly beside?: readonly { readonly nodeName: string; readonly id: string }[];
  /** All pods of the cluster, a CIDR a family. */
  readonly clusterCidrs: readonly string[];
  /** What services get their addresses from, a CIDR a family. */
  readonly serviceCidrs?: readonly string[];
  /** Node ports answer at the node's addresses in these ranges only; absent: at all of them. */
  readonly nodePortAddresses?: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  readonly registry?: Registry;
  /** Absent: the kernel's, by `nft`. */
  readonly run?: NftRun;
}

export interface ServiceProxy extends AsyncDisposable {
  /** The rules of all services are in the kernel. */
  readonly ready: Promise<void>;
  /** Resolves when the kernel has the rules for everything that the informers have brought so far. */
  settled(): Promise<void>;
}

const serviceNameLabel = 'kubernetes.io/service-name';
/** Slices of headless services: nothing is led to them. */
const headlessLabel = 'service.kubernetes.io/headless';
const changeTimeAnnotation = 'endpoints.kubernetes.io/last-change-trigger-time';
const zoneLabel = 'topology.kubernetes.io/zone';

/**
 * Leads traffic to services' addresses to their endpoints, by nftables. Disposing of it leaves the rules in the kernel,
 * for the pods that run on; `removeServiceProxy` takes them away.
 */
export async function startServiceProxy(options: ServiceProxyOptions): Promise<ServiceProxy> {
  return new Proxy(options);
}

/** Removes a cluster's service rules from this machine. */
export function removeServiceProxy(clusterId: string): Promise<void> {
  return deleteTable(serviceTable(clusterId));
}

class Proxy implements ServiceProxy {
  readonly ready: Promise<void>;
  readonly #options: ServiceProxyOptions;
  readonly #services: Informer<Service>;
  readonly #slices: Index<EndpointSlice>;
  readonly #table: NftTable;
  readonly #claims: Claims;
  readonly #healthChecks: HealthChecks;
  readonly #metrics: Metrics | undefined;
  readonly #ended = new AbortController();
  readonly #unsubscribe: (() => void)[] = [];
  /** `namespace/name` of services to decide anew. */
  #dirty = new Set<string>();
  /** When the endpoints that are not in the kernel yet changed, as their controller says. */
  #changeTimesMs: number[] = [];
  #node: NodeInfo;
  #podCidrs: readonly string[] = [];
  #working: Promise<void> | undefined;
  #loaded = false;

  constructor(options: ServiceProxyOptions) {
    const { informers, clusterId, clusterCidrs, serviceCidrs = [], clock, log, run, registry, nodeName } = options;
    const { beside = [] } = options;
    this.#options = options;
    this.#node = { name: nodeName, beside: beside.map(other => other.nodeName), zone: '' };
    this.#services = informers.of(Service);
    this.#table = new NftTable({
      name: serviceTable(clusterId),
      declarations: fixedChains({
        clusterId,
        idsBeside: beside.map(({ id }) => id),
        clusterCidrs,
        serviceCidrs,
        ...(options.nodePortAddresses && { nodePortAddresses: options.nodePortAddresses }),
      }),
      clock,
      log,
      ...(run && { run }),
    });
    this.#claims = new Claims(this.#table);
    this.#healthChecks = new HealthChecks(log);
    this.#metrics = registry && openMetrics(registry);
    const slices = informers.of(EndpointSlice);
    const nodes = informers.of(Node, { fieldSelector: `metadata.name=${nodeName}` });
    this.#slices = slices.index('service with an address', servicesOf);
    this.#subscribe(slices, nodes);
    this.ready = this.#start(slices, nodes);
    // Whoever does not wait reads it in the log.
    this.ready.catch((error: unknown) => {
      if (!this.#ended.signal.aborted) log.error('cannot start the service proxy', { error });
    });
  }

  async settled(): Promise<void> {
    await this.ready;
    while (this.#working || this.#dirty.size > 0) await (this.#working ?? this.#work());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort(new Error('the service proxy was closed'));
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    await this.#working?.catch(() => undefined);
    await this.#healthChecks[Symbol.asyncDispose]();
    await this.#table[Symbol.asyncDispose]();
  }

  async #start(slices: Informer<EndpointSlice>, nodes: Informer<Node>): Promise<void> {
    await Promise.all([this.#services.synced, slices.synced, nodes.synced]);
    this.#ended.signal.throwIfAborted();
    this.#loaded = true;
    await this.#work();
    this.#table.guard();
    await this.#forgetStrays();
  }

  #subscribe(slices: Informer<EndpointSlice>, nodes: Informer<Node>): void {
    const dirty = (key: string) => this.#changed(key);
    const ofSlice = (slice: EndpointSlice) => {
      for (const key of servicesOf(slice)) dirty(key);
    };
    const ofNode = (node: Node) => {
      this.#ownPods(node.spec?.podCIDRs ?? []);
      const zone = node.metadata.labels?.[zoneLabel] ?? '';
      if (zone === this.#node.zone) return;
      this.#node = { ...this.#node, zone };
      for (const service of this.#services.objects.keys()) dirty(service);
    };
    this.#unsubscribe.push(
      this.#services.subscribe({
        added: service => dirty(keyOf(service)),
        updated: service => dirty(keyOf(service)),
        deleted: service => dirty(keyOf(service)),
      }),
      slices.subscribe({
        added: (slice, initial) => {
          if (!initial) this.#noteChangeTime(slice);
          ofSlice(slice);
        },
        updated: (slice, old) => {
          this.#noteChangeTime(slice);
          // Its labels may lead to another service than before, or to none.
          ofSlice(slice);
          ofSlice(old);
        },
        deleted: ofSlice,
      }),
      nodes.subscribe({ added: ofNode, updated: ofNode }),
    );
  }

  #changed(key: string): void {
    this.#dirty.add(key);
    this.#wake();
  }

  #wake(): void {
    if (!this.#loaded || this.#working || this.#ended.signal.aborted) return;
    // Changes that arrive together are written together.
    queueMicrotask(() => {
      if (!this.#working && !this.#ended.signal.aborted) void this.#work().catch(() => undefined);
    });
  }

  /** Whose answers pass this node whatever they call: they keep their address. */
  #ownPods(podCidrs: readonly string[]): void {
    // Nodes beside this one meet the same rules.
    const cidrs = this.#options.beside?.length ? this.#options.clusterCidrs : podCidrs;
    if (cidrs.join() === this.#podCidrs.join()) return;
    for (const cidr of this.#podCidrs) this.#table.delete(`own-pods${familyOf(cidr).suffix}`, cidr);
    for (const cidr of cidrs) this.#table.set(`own-pods${familyOf(cidr).suffix}`, cidr);
    this.#podCidrs = cidrs;
    this.#wake();
  }

  /** One at a time; rejects only when the proxy ends. */
  #work(): Promise<void> {
    this.#working ??= this.#writeAll().finally(() => {
      this.#working = undefined;
    });
    return this.#working;
  }

  async #writeAll(): Promise<void> {
    const { clock, log } = this.#options;
    const backoff = exponentialBackoff({ initialMs: 500, maxMs: 30_000 });
    let flows: readonly FlowSelection[] = [];
    for (let pending = true; pending || this.#dirty.size > 0; ) {
      const startMs = clock.monotonic();
      flows = [...flows, ...this.#decideDirty()];
      try {
        await this.#table.flush();
      } catch (error) {
        this.#ended.signal.throwIfAborted();
        log.error('cannot write the rules of services', { error });
        this.#metrics?.failures.inc();
        await clock.sleep(backoff.next(), this.#ended.signal);
        continue;
      }
      pending = false;
      backoff.reset();
      this.#metrics?.wrote(clock.monotonic() - startMs, clock.now(), this.#changeTimesMs);
      this.#changeTimesMs = [];
      // Only now: a flow that is forgotten earlier would come back by the old rules.
      const forgotten = flows;
      flows = [];
      await forgetConnections(forgotten, log);
    }
  }

  #decideDirty(): readonly FlowSelection[] {
    const dirty = this.#dirty;
    this.#dirty = new Set();
    const flows: FlowSelection[] = [];
    for (const key of dirty) {
      const service = this.#services.objects.get(key);
      const old = this.#claims.get(key);
      const slices = [...this.#slices.get(key).values()];
      const rules = service && decideService(service, slices, this.#node, old?.order);
      if (!rules && !old) continue;
      this.#claims.set(key, rules);
      this.#healthChecks.set(key, rules?.healthCheck);
      flows.push(...staleFlows(old, rules));
    }
    return flows;
  }

  async #forgetStrays(): Promise<void> {
    const { log } = this.#options;
    const frontends = [...this.#claims.owners()].flatMap(owner => this.#claims.get(owner)?.udp ?? []);
    if (frontends.length === 0) return;
    const flows = await Promise.all([listLedFlows(4, log), listLedFlows(6, log)]);
    await forgetConnections(strayFlows(flows.flat(), frontends), log);
  }

  #noteChangeTime(slice: EndpointSlice): void {
    const time = Date.parse(slice.metadata.annotations?.[changeTimeAnnotation] ?? '');
    if (!Number.isNaN(time) && this.#changeTimesMs.length < changeTimesMax) this.#changeTimesMs.push(time);
  }
}

const changeTimesMax = 1_000;

function servicesOf(slice: EndpointSlice): readonly string[] {
  const { namespace = '', labels } = slice.metadata;
  const name = labels?.[serviceNameLabel];
  return name === undefined || labels?.[headlessLabel] !== undefined ? [] : [`${namespace}/${name}`];
}

interface Metrics {
  readonly failures: Counter;
  wrote(durationMs: number, nowMs: number, changeTimesMs: readonly number[]): void;
}

/** Under upstream's names. */
function openMetrics(registry: Registry): Metrics {
  const registers = [registry];
  const duration = new Histogram({
    name: 'kubeproxy_sync_proxy_rules_duration_seconds',
    help: 'How long it took to decide and write the rules of changed services',
    buckets: [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192],
    registers,
  });
  const latency = new Histogram({
    name: 'kubeproxy_network_programming_duration_seconds',
    help: 'From a change of endpoints until the kernel has its rules',
    buckets: [0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 45, 60, 120, 180, 240, 300],
    registers,
  });
  const failures = new Counter({
    name: 'kubeproxy_sync_proxy_rules_nftables_sync_failures_total',
    help: 'Transactions that nftables has refused',
    registers,
  });
  const last = new Gauge({
    name: 'kubeproxy_sync_proxy_rules_last_timestamp_seconds',
    help: 'When rules were written last',
    registers,
  });
  return {
    failures,
    wrote(durationMs, nowMs, changeTimesMs) {
      duration.observe(durationMs / 1000);
      last.set(nowMs / 1000);
      for (const changedMs of changeTimesMs) latency.observe(Math.max(0, nowMs - changedMs) / 1000);
    },
  };
}
