import { Node } from '#api/core/v1/node.ts';
import { Service, type LoadBalancerIngress } from '#api/core/v1/service.ts';
import { isReason } from '#api/machinery/errors.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Client } from '#client/client.ts';
import { openEventRecorder, type EventRecorder } from '#client/events.ts';
import { keyOf, type Informer } from '#client/informer.ts';
import type { Informers } from '#client/informers.ts';
import { WorkQueue } from '#client/workqueue.ts';
import type { LoadBalancers } from './provider.ts';

export interface ServiceControllerOptions {
  readonly client: Client;
  readonly informers: Informers;
  readonly loadBalancers: LoadBalancers;
  readonly clock: Clock;
  readonly log: Log;
}

const finalizer = 'service.kubernetes.io/load-balancer-cleanup';
/** Nodes with this label are led around. */
const excludedLabel = 'node.kubernetes.io/exclude-from-external-load-balancers';
/** Upstream's. */
const retryInitialMs = 5_000;
const retryMaxMs = 300_000;
const conflictMs = 100;
/** Nodes come in crowds: balancers are given what has changed by then. */
const nodesMs = 100;
const workersCount = 4;

/**
 * Keeps a load balancer for every Service of the type LoadBalancer without a class of its own, and its addresses in the
 * Service's status; takes it away before the Service goes.
 */
export function startServiceController(options: ServiceControllerOptions): AsyncDisposable {
  return new ServiceController(options);
}

class ServiceController implements AsyncDisposable {
  readonly #options: ServiceControllerOptions;
  readonly #services: Informer<Service>;
  readonly #nodes: Informer<Node>;
  readonly #queue: WorkQueue<string>;
  readonly #events: EventRecorder;
  readonly #stop = new AbortController();
  readonly #unsubscribe: (() => void)[];
  readonly #working: Promise<unknown>;
  /** As they were when their balancers were made: what has not changed since is not made again. */
  readonly #ensured = new Map<string, { readonly service: Service; readonly nodes: string }>();
  /** Wait for something that another service has. */
  readonly #failed = new Set<string>();
  /** Nodes have changed, and the services are told soon. */
  #cancelNodes: (() => void) | undefined;

  constructor(options: ServiceControllerOptions) {
    const { client, informers, clock, log } = options;
    this.#options = options;
    this.#services = informers.of(Service);
    this.#nodes = informers.of(Node);
    this.#queue = new WorkQueue<string>({ clock, retryInitialMs, retryMaxMs });
    this.#events = openEventRecorder({ client, component: 'service-controller', clock, log });
    const add = (service: Service) => {
      if (wantsLoadBalancer(service) || hasFinalizer(service)) this.#queue.add(keyOf(service));
    };
    const nodesChanged = (before: Node | undefined, now: Node | undefined) => {
      if (this.#cancelNodes || usableText(before) === usableText(now)) return;
      this.#cancelNodes = clock.after(nodesMs, () => {
        this.#cancelNodes = undefined;
        for (const service of this.#services.objects.values()) add(service);
      });
    };
    this.#unsubscribe = [
      this.#services.subscribe({
        added: add,
        updated: (service, old) => {
          if (needsWork(service, old)) add(service);
        },
        deleted: service => {
          this.#ensured.delete(keyOf(service));
          if (service.spec?.type === 'LoadBalancer') this.#retryFailed();
        },
      }),
      this.#nodes.subscribe({
        added: node => nodesChanged(undefined, node),
        updated: (node, old) => nodesChanged(old, node),
        deleted: node => nodesChanged(node, undefined),
      }),
    ];
    this.#working = this.#work();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#cancelNodes?.();
    this.#stop.abort(new Error('the service controller was stopped'));
    this.#queue[Symbol.dispose]();
    await this.#working;
    await this.#events[Symbol.asyncDispose]();
  }

  async #work(): Promise<void> {
    try {
      const stopped = new Promise<never>((_, reject) =>
        this.#stop.signal.addEventListener('abort', () => reject(this.#stop.signal.reason as Error), { once: true }),
      );
      await Promise.race([Promise.all([this.#services.synced, this.#nodes.synced]), stopped]);
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#options.log.error('cannot read services and nodes', { error });
      return;
    }
    await Promise.all(
      Array.from({ length: workersCount }, async () => {
        for (let key = await this.#queue.take(); key !== undefined; key = await this.#queue.take()) {
          await this.#reconcile(key);
          this.#queue.done(key);
        }
      }),
    );
  }

  async #reconcile(key: string): Promise<void> {
    const service = this.#services.objects.get(key);
    if (!service) {
      this.#queue.forget(key);
      this.#failed.delete(key);
      return;
    }
    const wanted = wantsLoadBalancer(service) && service.metadata.deletionTimestamp === undefined;
    try {
      if (wanted) await this.#ensure(key, service);
      else if (hasFinalizer(service)) await this.#cleanUp(key, service);
      this.#queue.forget(key);
      this.#failed.delete(key);
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      const message = error instanceof Error ? error.message : String(error);
      this.#failed.add(key);
      // Somebody else was faster: the next look sees what they wrote.
      if (isReason(error, 'Conflict') || isReason(error, 'NotFound')) {
        this.#queue.addAfter(key, conflictMs);
        return;
      }
      this.#queue.retry(key);
      const what = wanted ? 'Error syncing load balancer' : 'Error deleting load balancer';
      this.#events.event(service, 'Warning', 'SyncLoadBalancerFailed', `${what}: ${message}`);
      this.#options.log.warn('cannot keep the load balancer of a service', { key, error });
    }
  }

  async #ensure(key: string, service: Service): Promise<void> {
    const { loadBalancers } = this.#options;
    const nodes = this.#usable();
    const known = this.#ensured.get(key);
    const { signal } = this.#stop;
    let ingress: readonly LoadBalancerIngress[] | undefined;
    if (known && known.service.metadata.uid === service.metadata.uid && !differs(service, known.service)) {
      if (known.nodes !== nodesKey(nodes)) {
        ingress = await loadBalancers.update(service, nodes, signal);
        if (nodes.length === 0) {
          const message = 'There are no available nodes for LoadBalancer';
          this.#events.event(service, 'Warning', 'UnAvailableLoadBalancer', message);
        } else this.#events.event(service, 'Normal', 'UpdatedLoadBalancer', 'Updated load balancer with new hosts');
      } else ingress = await loadBalancers.get(service, signal);
    }
    if (ingress === undefined) {
      if (known) this.#tellChanges(service, known.service);
      // What is there already, after a restart, is looked through without a word.
      const silent = !known && hasFinalizer(service) && ingressOf(service).length > 0;
      if (!silent) this.#events.event(service, 'Normal', 'EnsuringLoadBalancer', 'Ensuring load balancer');
      if (!hasFinalizer(service)) await this.#setFinalizer(service, true);
      ingress = await loadBalancers.ensure(service, nodes, signal);
      if (!silent) this.#events.event(service, 'Normal', 'EnsuredLoadBalancer', 'Ensured load balancer');
    }
    this.#ensured.set(key, { service, nodes: nodesKey(nodes) });
    await this.#setStatus(service, ingress);
  }

  async #cleanUp(key: string, service: Service): Promise<void> {
    this.#events.event(service, 'Normal', 'DeletingLoadBalancer', 'Deleting load balancer');
    await this.#options.loadBalancers.ensureDeleted(service, this.#stop.signal);
    this.#ensured.delete(key);
    // One that only is of another type now stays, without addresses.
    const left = service.metadata.deletionTimestamp === undefined ? await this.#setStatus(service, []) : service;
    await this.#setFinalizer(left, false);
    this.#events.event(service, 'Normal', 'DeletedLoadBalancer', 'Deleted load balancer');
    this.#retryFailed();
  }

  #retryFailed(): void {
    for (const key of this.#failed) this.#queue.add(key);
  }

  async #setStatus(service: Service, ingress: readonly LoadBalancerIngress[]): Promise<Service> {
    if (JSON.stringify(ingressOf(service).map(place)) === JSON.stringify(ingress.map(place))) return service;
    const patch = { status: { loadBalancer: { ingress: ingress.length > 0 ? ingress : null } } };
    return this.#patch(service, patch);
  }

  async #setFinalizer(service: Service, wanted: boolean): Promise<void> {
    const rest = (service.metadata.finalizers ?? []).filter(each => each !== finalizer);
    const finalizers = wanted ? [...rest, finalizer] : rest;
    const { resourceVersion } = service.metadata;
    // Others have finalizers, too: the list is only right for what we have seen.
    await this.#patch(service, { metadata: { finalizers, ...(resourceVersion !== undefined && { resourceVersion }) } });
  }

  /** By the status, as upstream has it: that is what the controller has permission for. */
  #patch(service: Service, patch: object): Promise<Service> {
    const { name = '', namespace = '' } = service.metadata;
    return this.#options.client.patch(Service, name, { type: 'merge', patch }, { namespace, subresource: 'status' });
  }

  #tellChanges(service: Service, old: Service): void {
    const tell = (reason: string, before: string, now: string) => {
      if (before !== now) this.#events.event(service, 'Normal', reason, `${before} -> ${now}`);
    };
    const list = (values: readonly string[] | undefined) => `[${(values ?? []).join(' ')}]`;
    const [now, before] = [service.spec, old.spec];
    tell('LoadBalancerSourceRanges', list(before?.loadBalancerSourceRanges), list(now?.loadBalancerSourceRanges));
    tell('LoadbalancerIP', before?.loadBalancerIP ?? '', now?.loadBalancerIP ?? '');
    tell('ExternalTrafficPolicy', before?.externalTrafficPolicy ?? '', now?.externalTrafficPolicy ?? '');
  }

  #usable(): readonly Node[] {
    return [...this.#nodes.objects.values()].filter(isUsable);
  }
}

/** Those with a class have somebody else to see to them. */
function wantsLoadBalancer({ spec }: Service): boolean {
  return spec?.type === 'LoadBalancer' && spec.loadBalancerClass === undefined;
}

function hasFinalizer({ metadata }: Service): boolean {
  return metadata.finalizers?.includes(finalizer) ?? false;
}

function ingressOf({ status }: Service): readonly LoadBalancerIngress[] {
  return status?.loadBalancer?.ingress ?? [];
}

function place({ ip, hostname, ipMode }: LoadBalancerIngress): readonly (string | undefined)[] {
  return [ip, hostname, ip ? (ipMode ?? 'VIP') : undefined];
}

/** As upstream has it, nobody's writing into the status is a reason: our own comes back here, too. */
function needsWork(service: Service, old: Service): boolean {
  return (
    differs(service, old) ||
    hasFinalizer(service) !== hasFinalizer(old) ||
    service.metadata.deletionTimestamp !== old.metadata.deletionTimestamp
  );
}

function differs(service: Service, old: Service): boolean {
  return (
    service.metadata.uid !== old.metadata.uid ||
    JSON.stringify(service.spec) !== JSON.stringify(old.spec) ||
    JSON.stringify(service.metadata.annotations) !== JSON.stringify(old.metadata.annotations)
  );
}

function isUsable({ metadata, status }: Node): boolean {
  if (metadata.deletionTimestamp !== undefined || metadata.labels?.[excludedLabel] !== undefined) return false;
  return status.conditions?.some(({ type, status: state }) => type === 'Ready' && state === 'True') ?? false;
}

function nodesKey(nodes: readonly Node[]): string {
  return nodes.map(addressText).toSorted().join('\n');
}

/** What of a node a balancer is made with; `undefined` where it is led around it. */
function usableText(node: Node | undefined): string | undefined {
  return node && isUsable(node) ? addressText(node) : undefined;
}

function addressText({ metadata, status }: Node): string {
  return JSON.stringify([metadata.name, status.addresses]);
}
