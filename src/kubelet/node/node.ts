import os from 'node:os';
import { Lease } from '#api/coordination/v1/lease.ts';
import { Node, type NodeStatus } from '#api/core/v1/node.ts';
import { isReason } from '#api/machinery/errors.ts';
import { parseGoDuration } from '#api/machinery/duration.ts';
import { formatMicroTime } from '#api/machinery/time.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import type { Client } from '#client/client.ts';
import { openInformer } from '#client/informer.ts';
import type { Runtime } from '#runtime/runtime.ts';
import type { KubeletConfiguration } from '../configuration.ts';
import type { Pressure } from '../eviction/thresholds.ts';
import { identifyMachine, measureMachine } from './machine.ts';
import { differs, nodeStatus } from './status.ts';

export interface OwnNodeOptions {
  readonly client: Client;
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly nodeName: string;
  readonly nodeIps: readonly string[];
  readonly port: () => number;
  readonly rootDir: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly { readonly key: string; readonly value?: string; readonly effect: string }[];
  readonly configuration: KubeletConfiguration;
  readonly pressures: () => ReadonlySet<Pressure>;
  readonly isShuttingDown: () => boolean;
  /** What device plugins bring. */
  readonly devices: () => ReadonlyMap<string, { readonly capacity: number; readonly allocatable: number }>;
  /** Rejects when the network could not be made; then it is told again. */
  readonly podCidrs: (podCidrs: readonly string[]) => Promise<void>;
}

const retryMs = 1000;

/** The Node object of this agent: registered, kept alive by a lease, and told when something has changed. */
export class OwnNode implements AsyncDisposable {
  readonly #options: OwnNodeOptions;
  readonly #abort = new AbortController();
  readonly #identity = identifyMachine();
  #node: Node | undefined;
  #lease: Lease | undefined;
  #written: NodeStatus | undefined;
  #writtenMs = Number.NEGATIVE_INFINITY;
  readonly #statusMs: number;
  readonly #heartbeatMs: number;
  #toldRange = '';
  #refreshing: Promise<void> = Promise.resolve();
  #loops: Promise<void>[] = [];

  constructor(options: OwnNodeOptions) {
    this.#options = options;
    this.#statusMs = parseGoDuration(options.configuration.nodeStatusUpdateFrequency);
    this.#heartbeatMs = parseGoDuration(options.configuration.nodeStatusReportFrequency);
  }

  get current(): Node | undefined {
    return this.#node;
  }

  /** Registers the node, as often as it takes, and follows it from then on. */
  async start(stop?: AbortSignal): Promise<void> {
    const { client, clock, random, log, nodeName } = this.#options;
    const { signal } = this.#abort;
    for (let isThere = false; !isThere; ) {
      stop?.throwIfAborted();
      try {
        await this.#register();
        isThere = true;
      } catch (error) {
        log.warn('cannot register the node', { node: nodeName, error });
        await clock.sleep(retryMs, stop ?? signal);
      }
    }
    const informer = openInformer(
      client,
      Node,
      { fieldSelector: `metadata.name=${nodeName}`, clock, random, log },
      signal,
    );
    let followed = this.#toldRange;
    const seen = (node: Node) => {
      this.#node = node;
      const range = node.spec?.podCIDRs?.join() ?? '';
      if (range === followed) return;
      followed = range;
      void this.#followRange(node);
    };
    informer.subscribe({ added: seen, updated: seen });
    this.#loops = [
      // As upstream: a quarter of what the lease is good for.
      this.#repeat(this.#options.configuration.nodeLeaseDurationSeconds * 250, () => this.#renew()),
      this.#repeat(this.#statusMs, () => this.#refresh()),
    ];
  }

  /** Looks at once, because something about readiness or images has changed. */
  async refresh(): Promise<void> {
    await this.#refresh();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error('the node agent was stopped'));
    await Promise.all(this.#loops);
  }

  async #repeat(everyMs: number, work: () => Promise<void>): Promise<void> {
    const { clock, log, nodeName } = this.#options;
    const { signal } = this.#abort;
    while (!signal.aborted) {
      let delayMs = everyMs;
      try {
        await work();
      } catch (error) {
        if (signal.aborted) return;
        log.warn('cannot keep the node alive', { node: nodeName, error });
        delayMs = retryMs;
      }
      await clock.sleep(delayMs, signal).catch(() => undefined);
    }
  }

  /** Makes the network of a range that is new; afterwards the node may be ready. */
  async #followRange(node: Node): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#abort;
    try {
      while (!(await this.#tellRange(node))) await clock.sleep(retryMs, signal);
      await this.#refresh();
    } catch (error) {
      // The next look at the node is soon.
      if (!signal.aborted) this.#options.log.warn('cannot tell that the network is there', { error });
    }
  }

  /** False: it could not be made. */
  async #tellRange({ spec }: Node): Promise<boolean> {
    const { log, podCidrs, nodeName } = this.#options;
    const { podCIDRs = [] } = spec ?? {};
    if (podCIDRs.length === 0 || podCIDRs.join() === this.#toldRange) return true;
    try {
      await podCidrs(podCIDRs);
      this.#toldRange = podCIDRs.join();
      return true;
    } catch (error) {
      log.warn('cannot make the network of pods', { node: nodeName, error });
      return false;
    }
  }

  async #status(): Promise<NodeStatus> {
    const { runtime, rootDir, clock, port, pressures, isShuttingDown, devices, ...rest } = this.#options;
    const [version, status, images] = await Promise.all([runtime.version(), runtime.status(), runtime.listImages()]);
    const machine = measureMachine(rootDir);
    const view = {
      ...rest,
      hostname: rest.nodeName,
      port: port(),
      pressures: pressures(),
      isShuttingDown: isShuttingDown(),
      devices: devices(),
      machine,
      identity: this.#identity,
      version,
      runtime: status,
      images,
    };
    return nodeStatus(view, this.#node, clock.now());
  }

  async #register(): Promise<void> {
    const { client, clock, nodeName, labels, taints } = this.#options;
    const status = await this.#status();
    const arch = this.#identity.architecture;
    const allLabels = {
      'beta.kubernetes.io/arch': arch,
      'beta.kubernetes.io/os': 'linux',
      'kubernetes.io/arch': arch,
      'kubernetes.io/hostname': nodeName,
      'kubernetes.io/os': 'linux',
      ...labels,
    };
    try {
      const spec = taints.length > 0 ? { taints } : {};
      this.#node = await client.create(Node, { metadata: { name: nodeName, labels: allLabels }, spec, status });
      if (this.#node.status?.conditions?.length) {
        this.#written = status;
        this.#writtenMs = clock.now();
        return;
      }
    } catch (error) {
      if (!isReason(error, 'AlreadyExists')) throw error;
      this.#node = await client.get(Node, nodeName);
      // A node that was there before has its range: its network is made before anybody hears that it is not ready.
      await this.#tellRange(this.#node);
      const missing = Object.entries(allLabels).some(([key, value]) => this.#node?.metadata.labels?.[key] !== value);
      const patch = { metadata: { labels: allLabels } };
      if (missing) this.#node = await client.patch(Node, nodeName, { type: 'merge', patch });
    }
    await this.#refreshOnce();
  }

  /** One look at a time: an older one must not overwrite what a newer one has said. */
  #refresh(): Promise<void> {
    const refreshing = this.#refreshing.then(() => this.#refreshOnce());
    this.#refreshing = refreshing.catch(() => undefined);
    return refreshing;
  }

  async #refreshOnce(): Promise<void> {
    const { client, clock, nodeName } = this.#options;
    const status = await this.#status();
    const nowMs = clock.now();
    // Somebody else may have said of a node that was silent that it is not ready.
    const isDisputed = this.#node !== undefined && readiness(this.#node.status) !== readiness(status);
    if (!differs(status, this.#written) && !isDisputed && nowMs - this.#writtenMs < this.#heartbeatMs) return;
    try {
      const patch = { status: { ...status, addresses: [{ $patch: 'replace' }, ...(status.addresses ?? [])] } };
      this.#node = await client.patch(Node, nodeName, { type: 'strategic', patch }, { subresource: 'status' });
      this.#written = status;
      this.#writtenMs = nowMs;
    } catch (error) {
      if (!isReason(error, 'NotFound')) throw error;
      this.#node = undefined;
      await this.#register();
    }
  }

  async #renew(): Promise<void> {
    const { client, clock, nodeName, configuration } = this.#options;
    const renewTime = formatMicroTime(clock.now());
    const where = { namespace: 'kube-node-lease' };
    if (this.#lease) {
      try {
        this.#lease = await client.update(Lease, { ...this.#lease, spec: { ...this.#lease.spec, renewTime } }, where);
        return;
      } catch (error) {
        if (!isReason(error, 'Conflict', 'NotFound')) throw error;
      }
    }
    const { uid = '' } = this.#node?.metadata ?? {};
    const ownerReferences = [{ apiVersion: 'v1', kind: 'Node', name: nodeName, uid }];
    const spec = { holderIdentity: nodeName, leaseDurationSeconds: configuration.nodeLeaseDurationSeconds, renewTime };
    try {
      this.#lease = await client.create(
        Lease,
        { metadata: { name: nodeName, ...where, ownerReferences }, spec },
        where,
      );
    } catch (error) {
      if (!isReason(error, 'AlreadyExists')) throw error;
      const patch = { metadata: { ownerReferences }, spec };
      this.#lease = await client.patch(Lease, nodeName, { type: 'merge', patch }, where);
    }
  }
}

function readiness(status: NodeStatus | undefined): string | undefined {
  return status?.conditions?.find(({ type }) => type === 'Ready')?.status;
}

/** The name a node goes by when it is not given one. */
export function machineName(): string {
  return os.hostname().toLowerCase();
}
