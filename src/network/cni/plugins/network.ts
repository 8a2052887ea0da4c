import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { addressAt, formatIp, parseCidr } from '#base/ip.ts';
import { Netlink } from '#base/kernel/netlink.ts';
import type { Log } from '#base/log.ts';
import { setSysctl } from '../../host.ts';
import { bridgeName } from '../../names.ts';
import type { LeasedPod, NetworkedSandbox, NodeNetwork, PodGate } from '../pod-network.ts';
import { Chain, type Attachment, type CniResult } from './chain.ts';
import { findNetwork, type NetworkList } from './configuration.ts';
import { Results, type Cached } from './results.ts';

export interface PluginNetworkOptions {
  readonly clusterId: string;
  /** Where configuration is: the first file by name counts, and is read anew for every pod. */
  readonly confDirectory: string;
  readonly binDirectories: readonly string[];
  /** Where it is kept what sandboxes have, over restarts of the agent. */
  readonly stateDir: string;
  /** Network policies; absent: none are kept. */
  readonly gate?: PodGate;
  /** The node is taken off the machine: what plugins refuse to take back stays behind. */
  readonly isLeaving?: boolean;
  readonly clock: Clock;
  readonly log: Log;
}

const podInterface = 'eth0';
/** What plugins have refused to take back is offered to them again. */
const offerAgainMs = 60_000;
/** Between two questions whether plugins can connect pods. */
const statusEveryMs = 10_000;

/**
 * A pod network by CNI plugins, whoever has written them. Of our own there is only a link with the first address of the
 * node's range, where the cluster's DNS listens.
 */
export function pluginNetwork(options: PluginNetworkOptions): NodeNetwork {
  return new PluginNetwork(options);
}

class PluginNetwork implements NodeNetwork {
  readonly #options: PluginNetworkOptions;
  readonly #results: Results;
  readonly #netlink = new Netlink();
  #podCidrs: readonly string[] = [];
  #gateways: readonly string[] = [];
  #askedMs = -statusEveryMs;
  #refusal: string | undefined;
  #complaint = '';
  /** Sandboxes that are gone, but not for their plugins. */
  readonly #refused = new Set<string>();
  #cancelOffer: (() => void) | undefined;

  constructor(options: PluginNetworkOptions) {
    this.#options = options;
    this.#results = new Results(join(options.stateDir, 'cni'));
    for (const { attachment, result, pod } of this.#results.all())
      if (pod && result) options.gate?.known(attachment.containerId, pod, addressesOf(result));
  }

  get gateways(): readonly string[] {
    return this.#gateways;
  }

  nodesChanged(): Promise<void> {
    return Promise.resolve();
  }

  notReady(): string | undefined {
    const list = this.#find();
    // containerd's words.
    if (!list) return 'Network plugin returns error: cni plugin not initialized';
    if (this.#gateways.length === 0) return 'the node has no pod CIDR yet';
    this.#ask(list);
    return this.#refusal === undefined ? undefined : `Network plugin returns error: ${this.#refusal}`;
  }

  async updatePodCidrs(podCidrs: readonly string[]): Promise<void> {
    if (podCidrs.length === 0 || podCidrs.join() === this.#podCidrs.join()) return;
    const ranges = podCidrs.map(cidr => parseCidr(cidr)).filter(range => range !== undefined);
    const gateways = ranges.map(range => formatIp(addressAt(range, 1n)));
    const name = bridgeName(this.#options.clusterId);
    await this.#netlink.apply([
      { changes: [{ do: 'addBridge', name }], tolerate: ['EEXIST'] },
      {
        // One address wide: the range itself is the plugins'.
        changes: gateways.map(ip => ({
          do: 'addAddress',
          link: name,
          address: `${ip}/${ip.includes(':') ? 128 : 32}`,
        })),
        tolerate: ['EEXIST'],
      },
    ]);
    setSysctl('net/ipv4/ip_forward', '1');
    if (gateways.some(ip => ip.includes(':'))) setSysctl('net/ipv6/conf/all/forwarding', '1');
    // Plugins may make pods neighbours: only so do services and policies see what they send each other.
    for (const tool of ['iptables', 'ip6tables'])
      if (existsSync(`/proc/sys/net/bridge/bridge-nf-call-${tool}`))
        setSysctl(`net/bridge/bridge-nf-call-${tool}`, '1');
    this.#podCidrs = podCidrs;
    this.#gateways = gateways;
  }

  async setup(sandbox: NetworkedSandbox, signal?: AbortSignal): Promise<{ ips: readonly string[] }> {
    signal?.throwIfAborted();
    const what = `failed to setup network for sandbox "${sandbox.id}"`;
    const list = this.#find();
    if (!list) throw new Error(`${what}: cni plugin not initialized`);
    if (this.#results.get(sandbox.id)) await this.teardown(sandbox);
    const attachment = this.#attachment(sandbox);
    const pod = podOf(sandbox);
    const cached: Cached = { kind: 'cniCacheV1', list, attachment, ...(pod && { pod }) };
    this.#results.put(cached);
    try {
      const result = await this.#chain(list).add(attachment, signal);
      const ips = addressesOf(result);
      if (ips.length === 0) throw new Error('the plugins gave no address');
      this.#results.put({ ...cached, result });
      // Nobody is in the sandbox yet who could speak.
      if (pod) await this.#options.gate?.admit(sandbox.id, pod, ips, signal);
      signal?.throwIfAborted();
      return { ips };
    } catch (error) {
      // What half of the plugins have made is taken back.
      await this.teardown(sandbox);
      signal?.throwIfAborted();
      throw new Error(`${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  }

  async teardown({ id, netnsPath }: { readonly id: string; readonly netnsPath?: string | undefined }): Promise<void> {
    const cached = this.#results.get(id);
    if (!cached) return;
    const { list, attachment, result } = cached;
    try {
      await this.#chain(list).remove({ ...attachment, netnsPath }, result);
    } catch (error) {
      const { isLeaving = false, log } = this.#options;
      const reason = error instanceof Error ? error.message : String(error);
      // A pod that is connected is held until its plugins let go of it. One that never was, or whose namespace is gone, is not.
      if (result && netnsPath !== undefined && !isLeaving)
        throw new Error(`failed to destroy network for sandbox "${id}": ${reason}`, { cause: error });
      log.warn('a plugin does not take back what a sandbox had', { sandbox: id, error });
      this.#options.gate?.dismiss(id);
      this.#refused.add(id);
      this.#offerAgain();
      return;
    }
    this.#options.gate?.dismiss(id);
    this.#results.delete(id);
    this.#refused.delete(id);
  }

  #offerAgain(): void {
    this.#cancelOffer ??= this.#options.clock.after(offerAgainMs, () => {
      this.#cancelOffer = undefined;
      const dead = [...this.#refused];
      void Promise.all(dead.map(id => this.teardown({ id, netnsPath: undefined })));
    });
  }

  async check(sandbox: NetworkedSandbox): Promise<void> {
    const cached = this.#results.get(sandbox.id);
    if (!cached?.result) throw new Error(`cannot find the network of sandbox ${sandbox.id}: it was never made`);
    await this.#chain(cached.list).check({ ...cached.attachment, netnsPath: sandbox.netnsPath }, cached.result);
  }

  async reconcile(sandboxes: readonly NetworkedSandbox[]): Promise<void> {
    const { log } = this.#options;
    const alive = new Set(sandboxes.map(({ id }) => id));
    for (const { attachment } of this.#results.all()) {
      const { containerId } = attachment;
      if (alive.has(containerId)) continue;
      log.info('giving back the network of a sandbox that is gone', { sandbox: containerId });
      await this.teardown({ id: containerId, netnsPath: undefined });
    }
    const list = this.#find();
    if (!list) return;
    const valid = this.#results.all().map(({ attachment }) => ({
      containerID: attachment.containerId,
      ifname: attachment.interfaceName,
    }));
    await this.#chain(list)
      .collect(valid)
      .catch((error: unknown) => log.warn('a plugin cannot collect what nobody has any more', { error }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancelOffer?.();
    await this.#netlink[Symbol.asyncDispose]();
  }

  #chain(list: NetworkList): Chain {
    return new Chain(list, this.#options.binDirectories, this.#options.clock);
  }

  #find(): NetworkList | undefined {
    const { list, problems } = findNetwork(this.#options.confDirectory);
    const complaint = problems.join('; ');
    if (complaint !== '' && complaint !== this.#complaint)
      this.#options.log.warn('cannot use configuration of CNI', { problems });
    this.#complaint = complaint;
    return list;
  }

  /** In the background: what it says counts from the next question on. */
  #ask(list: NetworkList): void {
    const { clock } = this.#options;
    if (clock.monotonic() - this.#askedMs < statusEveryMs) return;
    this.#askedMs = clock.monotonic();
    this.#chain(list)
      .status()
      .then(
        () => {
          this.#refusal = undefined;
        },
        (error: Error) => {
          this.#refusal = error.message;
        },
      );
  }

  #attachment({ id, netnsPath, config }: NetworkedSandbox): Attachment {
    const { metadata, portMappings = [], annotations = {}, dnsConfig } = config;
    const pod = metadata ?? { namespace: '', name: '', uid: '' };
    const mappings = portMappings
      .filter(({ hostPort }) => hostPort > 0)
      .map(({ protocol, hostPort, containerPort, hostIp = '' }) => ({
        hostPort,
        containerPort,
        protocol: protocol.toLowerCase(),
        hostIP: hostIp,
      }));
    const bandwidth = bandwidthOf(annotations);
    return {
      containerId: id,
      netnsPath,
      interfaceName: podInterface,
      args: [
        ['IgnoreUnknown', '1'],
        ['K8S_POD_NAMESPACE', pod.namespace],
        ['K8S_POD_NAME', pod.name],
        ['K8S_POD_INFRA_CONTAINER_ID', id],
        ['K8S_POD_UID', pod.uid],
      ],
      runtimeConfig: {
        ...(mappings.length > 0 && { portMappings: mappings }),
        ...(this.#podCidrs.length > 0 && { ipRanges: this.#podCidrs.map(subnet => [{ subnet }]) }),
        ...(bandwidth && { bandwidth }),
        ...(dnsConfig && { dns: dnsConfig }),
      },
    };
  }
}

/** The addresses of the pod's own interface. */
export function addressesOf({ ips, interfaces, ip4, ip6 }: CniResult): readonly string[] {
  const inPod = (ips ?? []).filter(
    ({ interface: index }) => index === undefined || interfaces?.[index]?.sandbox !== '',
  );
  const written = [...inPod.map(({ address }) => address), ip4?.ip, ip6?.ip].filter(each => each !== undefined);
  return written.map(each => each.replace(/\/\d+$/, ''));
}

/** `kubernetes.io/ingress-bandwidth: 10M`, for the plugin `bandwidth`, in bits a second. */
function bandwidthOf(annotations: Readonly<Record<string, string>>): Readonly<Record<string, number>> | undefined {
  const [ingress, egress] = ['ingress', 'egress'].map(way => bitsIn(annotations[`kubernetes.io/${way}-bandwidth`]));
  if (ingress === undefined && egress === undefined) return undefined;
  // As containerd: bursts are not held back.
  const burst = 0x7fff_ffff;
  return {
    ...(ingress !== undefined && { ingressRate: ingress, ingressBurst: burst }),
    ...(egress !== undefined && { egressRate: egress, egressBurst: burst }),
  };
}

const decimal: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 1024,
  Mi: 1024 ** 2,
  Gi: 1024 ** 3,
};

function bitsIn(text: string | undefined): number | undefined {
  const [, amount, unit = ''] = /^(\d+(?:\.\d+)?)(k|M|G|T|Ki|Mi|Gi)?$/.exec(text ?? '') ?? [];
  return amount === undefined ? undefined : Math.ceil(Number(amount) * (decimal[unit] ?? 1));
}

function podOf({ config: { metadata, labels = {} } }: NetworkedSandbox): LeasedPod | undefined {
  return metadata && { uid: metadata.uid, namespace: metadata.namespace, name: metadata.name, labels };
}
