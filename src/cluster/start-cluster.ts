import { Lifetime } from '#base/lifetime.ts';
import { ManualClock, systemClock, type Clock } from '#base/clock.ts';
import { silentLog, type Log } from '#base/log.ts';
import { systemRandom, type Random } from '#base/random.ts';
import { newKeyPem } from '#auth/certificates/certificate.ts';
import { issue, issueAuthority } from '#auth/certificates/issue.ts';
import { kubeconfigFor } from '#auth/certificates/kubeconfig.ts';
import { loopbackAdmin } from '#auth/user.ts';
import type { Client } from '#client/client.ts';
import { hollowNames, startHollowNodes, type HollowNodes } from '#kubelet/hollow.ts';
import { openMemoryStorage } from '#storage/memory/memory-storage.ts';
import { rangeChoices } from './addresses.ts';
import { startAutoscaling } from './autoscaling.ts';
import type { ClusterAutoscalerArguments } from './flags/cluster-autoscaler.ts';
import type { KubeSchedulerArguments } from './flags/kube-scheduler.ts';
import { startControlPlane, type ControlPlane } from './control-plane.ts';

export interface ClusterOptions {
  /** Simulated nodes: how many, or their names. Default 1. */
  readonly nodes?: number | readonly string[];
  /** `manual`: a clock that stands still until the test advances it. Default: the machine's. */
  readonly clock?: Clock | 'manual';
  readonly random?: Random;
  readonly log?: Log;
  /** False: the API server alone, where nothing happens by itself. No controllers, no scheduler, no nodes. Default: true. */
  readonly controllers?: boolean;
  /** The port of the HTTPS server on the loopback; default: any free one. */
  readonly port?: number;
  /** What `--kube-scheduler-arg` would say: a KubeSchedulerConfiguration, plugins. */
  readonly schedulerArguments?: KubeSchedulerArguments;
  /** What `--cluster-autoscaler-arg` would say: groups of simulated nodes that grow and shrink. */
  readonly autoscalerArguments?: ClusterAutoscalerArguments;
}

/** A whole cluster inside this process: API server, controllers, scheduler, simulated nodes, on a store in memory. */
export interface Cluster<C extends Clock = Clock> extends AsyncDisposable {
  /** `https://127.0.0.1:<port>` */
  readonly server: string;
  /** A kubeconfig with every right, as YAML: for kubectl and for other clients. */
  readonly kubeconfig: string;
  /** A client with every right, without sockets. */
  readonly client: Client;
  readonly clock: C;
  readonly nodes: HollowNodes;
}

/** Longer than any process that embeds a cluster. */
const validForMs = 10 * 365 * 24 * 60 * 60_000;

/** Starts a cluster in this process. Own it with `await using`. */
export async function startCluster(
  options: ClusterOptions & { readonly clock: 'manual' },
): Promise<Cluster<ManualClock>>;
export async function startCluster(options?: ClusterOptions): Promise<Cluster>;
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const { random = systemRandom, log = silentLog, port = 0, controllers = true } = options;
  const nodes = controllers ? (options.nodes ?? 1) : 0;
  const clock = options.clock === 'manual' ? new ManualClock() : (options.clock ?? systemClock);
  const ranges = rangeChoices[0] as NonNullable<(typeof rangeChoices)[0]>;
  const lifetime = new Lifetime();
  try {
    // Certificates are for the outside, whose clock is the machine's whatever the cluster's is.
    const issuing = { clock: systemClock, random: systemRandom };
    const [authority, proxyAuthority] = await Promise.all([
      issueAuthority({ commonName: 'windlass', validForMs }, issuing),
      issueAuthority({ commonName: 'front-proxy-ca', validForMs }, issuing),
    ]);
    const [frontProxyClient, serving, admin] = await Promise.all([
      issue(proxyAuthority, { commonName: 'front-proxy-client', usages: ['client'], validForMs }, issuing),
      issue(
        authority,
        {
          commonName: 'kube-apiserver',
          hosts: ['localhost'],
          ips: ['127.0.0.1'],
          usages: ['server'],
          validForMs,
        },
        issuing,
      ),
      issue(
        authority,
        {
          commonName: 'kubernetes-admin',
          organizations: ['system:masters'],
          usages: ['client'],
          validForMs,
        },
        issuing,
      ),
    ]);
    const controlPlane = await startControlPlane({
      storage: lifetime.own(openMemoryStorage()),
      credentials: {
        caCertPem: authority.certPem,
        caKeyPem: authority.keyPem,
        serviceAccountKeyPem: newKeyPem(),
        frontProxyClient,
        frontProxyCaPem: proxyAuthority.certPem,
      },
      clock,
      random,
      log,
      podCIDR: ranges.podCIDR,
      serviceCIDR: ranges.serviceCIDR,
      serviceIP: ranges.serviceIP,
      clusterDomain: 'cluster.local',
      advertise: undefined,
      ...(options.schedulerArguments && { schedulerArguments: options.schedulerArguments }),
    });
    lifetime.own(controlPlane);
    const listener = await controlPlane.apiServer.listen({
      host: '127.0.0.1',
      port,
      tls: { ...serving, ...controlPlane.trust },
    });
    if (controllers) {
      await controlPlane.startActing();
      const { schedulerArguments = {}, autoscalerArguments = {} } = options;
      await startAutoscaling(controlPlane, autoscalerArguments, schedulerArguments, { clock, random, log, lifetime });
    }
    const hollow = lifetime.own(await startNodes(controlPlane, nodes, { clock, random, log }));
    const server = `https://127.0.0.1:${listener.port}`;
    return {
      server,
      kubeconfig: kubeconfigFor({ server, caPem: authority.certPem, ...admin, name: 'windlass' }),
      client: controlPlane.clientOf(loopbackAdmin, 'windlass'),
      clock,
      nodes: hollow,
      [Symbol.asyncDispose]: () => lifetime[Symbol.asyncDispose](),
    };
  } catch (error) {
    await lifetime[Symbol.asyncDispose]();
    throw error;
  }
}

export function startNodes(
  { clientOf }: ControlPlane,
  nodes: number | readonly string[],
  outside: { readonly clock: Clock; readonly random: Random; readonly log: Log },
): Promise<HollowNodes> {
  const client = clientOf(loopbackAdmin, 'kubelet');
  return startHollowNodes({ client, names: typeof nodes === 'number' ? hollowNames(nodes) : nodes, ...outside });
}
