import { mkdir, readdir, rm } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { Pod } from '#api/core/v1/pod.ts';
import { parseGoDuration } from '#api/machinery/duration.ts';
import { isReason } from '#api/machinery/errors.ts';
import type { Node } from '#api/core/v1/node.ts';
import type { Clock } from '#base/clock.ts';
import type { ShutdownNotice } from '#base/kernel/shutdown-notice.ts';
import { Lifetime } from '#base/lifetime.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import type { Client } from '#client/client.ts';
import { openEventRecorder, type EventRecorder } from '#client/events.ts';
import { openInformer } from '#client/informer.ts';
import type { ContainerEvent, ContainerStatus, PodSandboxStatus, Runtime } from '#runtime/runtime.ts';
import { tearDownVolumes } from '#volumes/pod-volumes.ts';
import { defaultKubeletConfiguration, idsPerPodUnit, reservedOf, type KubeletConfiguration } from './configuration.ts';
import { pressureRefusal } from './eviction/decide.ts';
import { Evictor } from './eviction/evictor.ts';
import type { Pressure } from './eviction/thresholds.ts';
import { KubeletMetrics } from './metrics.ts';
import { OwnNode } from './node/node.ts';
import { endPods, shutdownRefusal } from './node/shutdown.ts';
import { QosGroups } from './node/qos-groups.ts';
import { ImageCollector } from './node/image-collector.ts';
import { Objects } from './objects.ts';
import { refusal } from './pods/admission.ts';
import { logDirectory, type NodePaths } from './pods/config.ts';
import { dnsOf, hostDns } from './pods/dns.ts';
import type { Failure } from './pods/decide.ts';
import { CredentialProviders } from './pods/credential-providers.ts';
import { Images } from './pods/images.ts';
import { isMirror, isStatic, labels as runtimeLabels, nodeLabel, sourceAnnotations } from './pods/names.ts';
import { sysctlRefusal } from './pods/sysctls.ts';
import { PulledImages } from './pods/pulled-images.ts';
import { resizeRefusal } from './pods/resize.ts';
import { Allocations } from './resources/allocations.ts';
import type { MachineTopology } from './resources/machine-topology.ts';
import { UserNamespaces } from './pods/user-namespaces.ts';
import { PodWorker, type PodHost } from './pods/worker.ts';
import { mirrorOf, StaticPods } from './static-pods.ts';
import { LogRotation } from './streams/log-rotation.ts';
import { startServer, type KubeletServer, type ServerSecurity } from './server.ts';

export interface KubeletOptions {
  readonly client: Client;
  readonly runtime: Runtime;
  readonly nodeName: string;
  /** The node's addresses; pods on the host's network have them. */
  readonly nodeIPs: readonly string[];
  /** Where pods, logs and seccomp profiles are. */
  readonly rootDir: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly clusterDNS: readonly string[];
  readonly clusterDomain: string;
  /** Without it nothing is served: logs, exec and the like are not to be had. */
  readonly server?: ServerSecurity & { readonly port: number; readonly address?: string };
  /** The cgroup of all pods: `/kubepods` when absent. */
  readonly cgroupParent?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly taints?: readonly { readonly key: string; readonly value?: string; readonly effect: string }[];
  /** Everything else that upstream's kubelet is told by a file. */
  readonly configuration?: KubeletConfiguration;
  /** A CredentialProviderConfig, and where the programs are that it names. */
  readonly credentialProviders?: { readonly config: string; readonly programs: string };
  /** Its processors and memory; absent: read from the kernel. */
  readonly machine?: MachineTopology;
  /** How the machine says that it goes down; asked only when pods are to be given time then. */
  readonly shutdownNotice?: () => Promise<ShutdownNotice>;
  /** Told when the API has given the node its range; the runtime is told as well. */
  readonly podCIDRs?: (podCidrs: readonly string[]) => void;
}

export interface Kubelet extends AsyncDisposable {
  readonly nodeName: string;
  readonly node: Node | undefined;
  /** The port that is served, or 0. */
  readonly port: number;
  /** Pods of this node, for the server and for tests. */
  readonly pods: ReadonlyMap<string, PodWorker>;
  /** The server takes a renewed certificate into use. */
  renewServing(tls: ServerSecurity['tls']): void;
}

/**
 * Starts the agent of one node: registers it, takes over what runs, and from then on does what the API says. As long as
 * the API does not answer it tries again, until the signal aborts.
 */
export async function startKubelet(options: KubeletOptions, signal?: AbortSignal): Promise<Kubelet> {
  const lifetime = new Lifetime();
  try {
    return await start(options, lifetime, signal);
  } catch (error) {
    await lifetime[Symbol.asyncDispose]();
    throw error;
  }
}

async function start(options: KubeletOptions, lifetime: Lifetime, signal?: AbortSignal): Promise<Kubelet> {
  const { client, nodeName, clock, random, rootDir } = options;
  const metrics = new KubeletMetrics();
  const runtime = metrics.metered(options.runtime, clock);
  const log = options.log.child('kubelet');
  const { configuration = defaultKubeletConfiguration } = options;
  const clusterDns = configuration.clusterDNS.length > 0 ? configuration.clusterDNS : options.clusterDNS;
  const clusterDomain = configuration.clusterDomain || options.clusterDomain;
  const paths: NodePaths = {
    pods: join(rootDir, 'pods'),
    logs: join(rootDir, 'logs'),
    seccomp: join(rootDir, 'seccomp'),
  };
  for (const directory of Object.values(paths)) await mkdir(directory, { recursive: true, mode: 0o755 });
  const events = lifetime.own(openEventRecorder({ client, component: 'kubelet', host: nodeName, clock, log }));
  const workers = new Map<string, PodWorker>();
  let evictor: Evictor | undefined;
  let shuttingDown = false;
  let server: KubeletServer | undefined;
  const known = Promise.withResolvers<void>();
  let telling: Promise<void> = Promise.resolve();
  // A network that is half made would be made on by a kubelet that is closed.
  lifetime.defer(() => telling);
  const node = lifetime.own(
    new OwnNode({
      client,
      runtime,
      clock,
      random,
      log,
      nodeName,
      rootDir,
      nodeIps: options.nodeIPs,
      port: () => server?.port ?? 10250,
      labels: options.labels ?? {},
      taints: [...(options.taints ?? []), ...configuration.registerWithTaints],
      configuration,
      pressures: () => evictor?.pressures ?? new Set<Pressure>(),
      isShuttingDown: () => shuttingDown,
      devices: () => allocations.devices.amounts(),
      podCidrs: cidrs => {
        options.podCIDRs?.(cidrs);
        const told = runtime.updateRuntimeConfig({ podCidrs: cidrs });
        telling = told.catch(() => undefined);
        return told;
      },
    }),
  );
  const objects = lifetime.own(
    new Objects({
      client,
      clock,
      random,
      log,
      node: () => node.current,
      changed: uid => workers.get(uid)?.objectChanged(),
    }),
  );
  const allocations = lifetime.own(
    new Allocations({
      client,
      nodeName,
      rootDir,
      configuration,
      clock,
      log,
      ...(options.machine && { machine: options.machine }),
      amountsChanged: () => {
        if (node.current) node.refresh().catch((error: unknown) => log.warn('cannot tell of devices', { error }));
      },
      sharedCpusChanged: () => {
        for (const worker of workers.values())
          worker.sharedCpusChanged().catch((error: unknown) => log.warn('cannot move a container', { error }));
      },
      podChanged: uid => workers.get(uid)?.devicesChanged(),
      pods: () => [...workers.values()].filter(each => !each.isOver).map(each => each.pod),
    }),
  );
  const reserved = reservedOf(configuration);
  const groups = new QosGroups({
    parent: options.cgroupParent ?? defaultCgroupParent,
    memoryBytes: reserved.memoryBytes > 0 ? totalmem() - reserved.memoryBytes : undefined,
    cpuMilli: availableParallelism() * 1000 - reserved.cpuMilli,
    log,
    pods: () => [...workers.values()].filter(each => !each.isOver).map(each => each.pod),
  });
  const pulled = new PulledImages(
    join(rootDir, 'image_manager'),
    configuration.imagePullCredentialsVerificationPolicy,
    configuration.preloadedImagesVerificationAllowlist,
  );
  const images = new Images(
    runtime,
    clock,
    (pod, name) => objects.forPod(pod).secret(pod.metadata.namespace ?? '', name),
    pulled,
    configuration.serializeImagePulls ? 1 : configuration.maxParallelImagePulls || Number.POSITIVE_INFINITY,
    options.credentialProviders &&
      new CredentialProviders(options.credentialProviders.config, options.credentialProviders.programs, clock, log),
  );
  const host: PodHost = {
    client,
    runtime,
    clock,
    log,
    events,
    metrics,
    objects,
    paths,
    images,
    allocations,
    userNamespaces: new UserNamespaces({
      pods: paths.pods,
      podsMax: configuration.maxPods,
      idsPerPod: configuration.userNamespaces.idsPerPod ?? idsPerPodUnit,
    }),
    restartDelayMsMax: parseGoDuration(configuration.crashLoopBackOff.maxContainerRestartPeriod),
    facts: {
      nodeName,
      clusterDomain,
      podPidsLimit: configuration.podPidsLimit,
      cgroupParent: options.cgroupParent ?? defaultCgroupParent,
      memoryCapacityBytes: totalmem(),
    },
    nodeIps: options.nodeIPs,
    dns: pod => dnsOf(pod, { servers: clusterDns, domain: clusterDomain }, hostDns(configuration.resolvConf)),
    resizeRefusal: pod => {
      const others = [...workers.values()].filter(each => !each.isOver && each.pod.metadata.uid !== pod.metadata.uid);
      return resizeRefusal(
        pod,
        node.current,
        others.map(each => each.pod),
      );
    },
    placed: () => groups.changed(),
    freed: () => {
      groups.changed();
      for (const worker of workers.values()) worker.reconsider();
    },
    mirror: async pod => {
      const owner = node.current?.metadata.uid;
      // Its picture belongs to the node, so that it goes with it.
      if (owner === undefined) throw new Error('the node is not registered yet');
      await client.create(Pod, mirrorOf(pod, owner), { namespace: pod.metadata.namespace ?? '' });
    },
    gone: uid => {
      workers.delete(uid);
      objects.release(uid);
      images.forget(uid);
      host.freed();
      pods.gone(uid);
    },
  };
  if (options.server) {
    const security = { ...options.server, client };
    server = lifetime.own(
      await startServer({
        ...security,
        runtime,
        clock,
        log,
        workers,
        metrics,
        known: known.promise,
        node: () => node.current,
        paths,
        nodeName,
        configuration,
      }),
    );
  }
  /** Why the node does not take a pod, whatever it asks for. */
  const refuse = (pod: Pod): Failure | undefined => {
    if (shuttingDown) return shutdownRefusal;
    const message = pressureRefusal(pod, evictor?.pressures ?? new Set<Pressure>());
    if (message !== undefined) return { reason: 'Evicted', message };
    return sysctlRefusal(pod, configuration.allowedUnsafeSysctls);
  };
  const pods: Pods = lifetime.own(new Pods(host, workers, node, events, refuse, lifetime.signal, random));
  await pods.look();
  lifetime.defer(() => listening);
  const listening = allocations.start();
  // They wait for nobody: the API server itself may be one of them.
  if (configuration.staticPodPath !== '') {
    const everyMs = parseGoDuration(configuration.fileCheckFrequency);
    const path = configuration.staticPodPath;
    const changed = (found: ReadonlyMap<string, Pod>) => pods.setStatic(found);
    lifetime.own(new StaticPods({ path, nodeName, everyMs, clock, log, changed })).start();
  }
  await node.start(signal);
  recordStart(events, node.current);
  // Requests that wait for it end with the server.
  known.promise.catch(() => undefined);
  pods.start(known);
  const collector = lifetime.own(
    new ImageCollector({
      runtime,
      clock,
      log,
      configuration,
      rootDir,
      known: ids => pulled.keepOnly(ids, clock.now()),
    }),
  );
  lifetime.own(new LogRotation({ runtime, clock, log, workers, configuration }));
  const shutdownGraceMs = parseGoDuration(configuration.shutdownGracePeriod);
  if (shutdownGraceMs > 0 && options.shutdownNotice) {
    try {
      const notice = lifetime.own(await options.shutdownNotice());
      const criticalGraceMs = parseGoDuration(configuration.shutdownGracePeriodCriticalPods);
      notice.announced
        .then(async () => {
          log.warn('the machine is shutting down');
          shuttingDown = true;
          await node.refresh().catch((error: unknown) => log.warn('cannot tell that the node is going', { error }));
          await endPods({ workers, clock, log, graceMs: shutdownGraceMs, criticalGraceMs });
        })
        .catch((error: unknown) => log.error('cannot end the pods in order', { error }))
        .finally(() => notice.release());
    } catch (error) {
      log.warn('pods will not be ended in order when the machine goes down', { error });
    }
  }
  evictor = lifetime.own(
    new Evictor({
      configuration,
      runtime,
      clock,
      log,
      events,
      metrics,
      nodeName,
      workers,
      paths,
      removeImages: () => collector.removeUnused(),
      changed: () => void node.refresh().catch((error: unknown) => log.warn('cannot tell of a pressure', { error })),
    }),
  );
  return {
    nodeName,
    pods: workers,
    get node() {
      return node.current;
    },
    get port() {
      return server?.port ?? 0;
    },
    renewServing: tls => server?.renew(tls),
    [Symbol.asyncDispose]: () => lifetime[Symbol.asyncDispose](),
  };
}

const defaultCgroupParent = '/kubepods';

function recordStart(events: EventRecorder, node: Node | undefined): void {
  if (!node) return;
  const { name = '' } = node.metadata;
  const about = { kind: 'Node', name, uid: name };
  events.event(about, 'Normal', 'Starting', 'Starting kubelet.');
}

interface Found {
  readonly sandboxes: PodSandboxStatus[];
  readonly containers: ContainerStatus[];
}

/** All pods of the node: one worker each, fed by the API's watch and the runtime's events. */
class Pods implements AsyncDisposable {
  readonly #host: PodHost;
  readonly #workers: Map<string, PodWorker>;
  readonly #node: OwnNode;
  readonly #events: EventRecorder;
  readonly #random: Random;
  readonly #refuse: (pod: Pod) => Failure | undefined;
  readonly #abort = new AbortController();
  #following: Promise<void> = Promise.resolve();
  /** What ran when the agent started and has found no pod yet. */
  #found = new Map<string, Found>();
  #static: ReadonlyMap<string, Pod> = new Map();
  /** The newest picture of each static pod, by the pod's own uid. */
  readonly #mirrors = new Map<string, Pod>();
  /** Which pod a container or sandbox belongs to, for events that say no more than its id. */
  readonly #owners = new Map<string, string>();

  constructor(
    host: PodHost,
    workers: Map<string, PodWorker>,
    node: OwnNode,
    events: EventRecorder,
    refuse: (pod: Pod) => Failure | undefined,
    signal: AbortSignal,
    random: Random,
  ) {
    this.#refuse = refuse;
    this.#host = host;
    this.#workers = workers;
    this.#node = node;
    this.#events = events;
    this.#random = random;
    signal.addEventListener('abort', () => this.#abort.abort(signal.reason), { once: true });
  }

  /** Finds what runs; its events are heard from then on. */
  async look(): Promise<void> {
    // Subscribed before looking, so that nothing is missed in between.
    const changes = this.#host.runtime.events(this.#abort.signal);
    this.#found = await this.#look();
    this.#following = this.#follow(changes);
  }

  start(known: PromiseWithResolvers<void>): void {
    const { client, clock, log, facts } = this.#host;
    const { signal } = this.#abort;
    const selection = { fieldSelector: `spec.nodeName=${facts.nodeName}` };
    const informer = openInformer(client, Pod, { ...selection, clock, random: this.#random, log }, signal);
    const seen = (pod: Pod) => {
      if (isMirror(pod)) return this.#mirrorSeen(pod);
      const worker = this.#workers.get(pod.metadata.uid ?? '');
      if (worker) worker.update(pod);
      else this.#added(pod);
    };
    informer.subscribe({
      added: seen,
      updated: seen,
      deleted: pod => (isMirror(pod) ? this.#mirrorGone(pod) : this.#workers.get(pod.metadata.uid ?? '')?.remove()),
    });
    informer.synced.then(known.resolve, known.reject);
    informer.synced.then(
      () => {
        // A former agent may have told containers of other CPUs.
        for (const worker of this.#workers.values())
          worker.sharedCpusChanged().catch((error: unknown) => log.warn('cannot move a container', { error }));
        this.#removeOrphans(this.#found).catch((error: unknown) =>
          log.error('cannot remove what pods have left', { error }),
        );
      },
      () => undefined,
    );
  }

  /** The pods that the node's folder holds now. */
  setStatic(wanted: ReadonlyMap<string, Pod>): void {
    const old = this.#static;
    this.#static = wanted;
    for (const uid of old.keys()) if (!wanted.has(uid)) this.#workers.get(uid)?.remove();
    for (const [uid, pod] of wanted) if (!old.has(uid) && !this.#isNameTaken(pod)) this.#added(pod);
  }

  /** Nothing of the pod is left: another of its name may begin. */
  gone(uid: string): void {
    for (const [wantedUid, pod] of this.#static)
      if (!this.#workers.has(wantedUid) && !this.#isNameTaken(pod)) this.#added(pod);
    const mirror = this.#mirrors.get(uid);
    this.#mirrors.delete(uid);
    const shown = mirror?.metadata.annotations?.[sourceAnnotations.mirror];
    if (mirror && this.#staticNamed(mirror)?.metadata.annotations?.[sourceAnnotations.hash] !== shown)
      this.#deleteMirror(mirror);
  }

  #isNameTaken({ metadata }: Pod): boolean {
    return [...this.#workers.values()].some(
      ({ pod }) =>
        isStatic(pod) && pod.metadata.name === metadata.name && pod.metadata.namespace === metadata.namespace,
    );
  }

  #staticNamed({ metadata }: Pod): Pod | undefined {
    return [...this.#static.values()].find(
      pod => pod.metadata.name === metadata.name && pod.metadata.namespace === metadata.namespace,
    );
  }

  /** The API's picture of a static pod: it is kept as the pod is, and goes when the pod has gone. */
  #mirrorSeen(mirror: Pod): void {
    const hash = mirror.metadata.annotations?.[sourceAnnotations.mirror];
    const pod = this.#staticNamed(mirror);
    const uid = [...this.#workers.values()].find(
      each => isStatic(each.pod) && each.pod.metadata.annotations?.[sourceAnnotations.hash] === hash,
    )?.pod.metadata.uid;
    if (uid !== undefined) this.#mirrors.set(uid, mirror);
    const isRight = pod?.metadata.annotations?.[sourceAnnotations.hash] === hash;
    if (!pod || !isRight || mirror.metadata.deletionTimestamp !== undefined) {
      // One whose pod is just ending shows that until the end.
      if (isRight || uid === undefined) this.#deleteMirror(mirror);
      return;
    }
    const { resourceVersion } = mirror.metadata;
    const metadata = { ...pod.metadata, ...(resourceVersion !== undefined && { resourceVersion }) };
    if (uid !== undefined) this.#workers.get(uid)?.update({ ...pod, metadata, status: mirror.status } as Pod);
  }

  #mirrorGone(mirror: Pod): void {
    const pod = this.#staticNamed(mirror);
    const worker = pod && this.#workers.get(pod.metadata.uid ?? '');
    if (pod && worker) worker.update({ ...pod, status: {} } as Pod);
  }

  #deleteMirror({ metadata: { name = '', namespace = '', uid } }: Pod): void {
    const { client, log } = this.#host;
    const preconditions = { ...(uid !== undefined && { uid }) };
    client.delete(Pod, name, { namespace, gracePeriodSeconds: 0, preconditions }).catch((error: unknown) => {
      if (!isReason(error, 'NotFound', 'Conflict')) log.warn('cannot delete a mirror pod', { pod: name, error });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error('the node agent was stopped'));
    await this.#following;
    await Promise.all([...this.#workers.values()].map(worker => worker.close()));
  }

  #added(pod: Pod): void {
    const found = this.#found;
    const uid = pod.metadata.uid ?? '';
    const worker = new PodWorker(pod, this.#host);
    const running = found.get(uid);
    found.delete(uid);
    if (running) worker.adopt(running.sandboxes, running.containers);
    const isNew =
      !running && (pod.status?.phase ?? 'Pending') === 'Pending' && pod.metadata.deletionTimestamp === undefined;
    const others = [...this.#workers.values()].filter(each => !each.isOver).map(each => each.pod);
    const refused = isNew ? (this.#refuse(pod) ?? refusal(pod, this.#node.current, others)) : undefined;
    this.#workers.set(uid, worker);
    if (!refused) {
      const admission = isNew ? this.#host.allocations.admit(pod) : undefined;
      if (!admission) return worker.begin();
      worker.hold();
      admission.then(
        failure => {
          if (failure) this.#refused(pod, worker, failure);
          else worker.begin();
        },
        (error: unknown) => {
          const message = `Pod was rejected: ${error instanceof Error ? error.message : String(error)}`;
          this.#refused(pod, worker, { reason: 'UnexpectedAdmissionError', message });
        },
      );
      return;
    }
    this.#refused(pod, worker, refused);
  }

  #refused(pod: Pod, worker: PodWorker, refused: Failure): void {
    this.#events.event(
      { ...pod, kind: 'Pod', apiVersion: 'v1' },
      'Warning',
      refused.reason,
      refused.message.replace('Pod was rejected: ', ''),
    );
    worker.fail(refused, 0);
  }

  /** Everything that the runtime has of this node. */
  async #look(): Promise<Map<string, Found>> {
    const { runtime, facts } = this.#host;
    const labelSelector = { [nodeLabel]: facts.nodeName };
    const [sandboxes, containers] = await Promise.all([
      runtime.listPodSandbox({ labelSelector }),
      runtime.listContainers({ labelSelector }),
    ]);
    const found = new Map<string, Found>();
    const of = (uid: string) => {
      const known = found.get(uid) ?? { sandboxes: [], containers: [] };
      found.set(uid, known);
      return known;
    };
    const statuses = await Promise.all(sandboxes.map(({ id }) => runtime.podSandboxStatus(id)));
    for (const status of statuses) {
      this.#owners.set(status.id, status.metadata.uid);
      of(status.metadata.uid).sandboxes.push(status);
    }
    for (const status of await Promise.all(containers.map(({ id }) => runtime.containerStatus(id)))) {
      const uid = status.labels[runtimeLabels.podUid] ?? '';
      this.#owners.set(status.id, uid);
      of(uid).containers.push(status);
    }
    return found;
  }

  async #follow(first: AsyncIterable<ContainerEvent>): Promise<void> {
    const { runtime, log, clock } = this.#host;
    const { signal } = this.#abort;
    for (let changes = first; !signal.aborted; ) {
      try {
        for await (const change of changes) this.#changed(change);
      } catch (error) {
        if (signal.aborted) return;
        log.warn('lost the events of the runtime', { error });
        await clock.sleep(1000, signal).catch(() => undefined);
      }
      if (signal.aborted) return;
      changes = runtime.events(signal);
      for (const [uid, { sandboxes, containers }] of await this.#look())
        for (const sandbox of sandboxes) this.#workers.get(uid)?.observed(sandbox, sandbox.id, containers);
    }
  }

  #changed(change: ContainerEvent): void {
    const { podSandboxStatus, podSandboxId, containersStatuses, containerId, type } = change;
    const uid = podSandboxStatus?.metadata.uid ?? this.#owners.get(podSandboxId);
    if (uid === undefined) return;
    this.#owners.set(podSandboxId, uid);
    if (type === 'deleted' && containerId === podSandboxId) this.#owners.delete(podSandboxId);
    const worker = this.#workers.get(uid);
    if (!worker) return;
    if (type === 'deleted' && containerId !== podSandboxId) worker.forgot(containerId);
    else worker.observed(podSandboxStatus, podSandboxId, containersStatuses);
  }

  /** Pods that were deleted while no agent was there. */
  async #removeOrphans(found: ReadonlyMap<string, Found>): Promise<void> {
    const { runtime, paths, log, allocations } = this.#host;
    for (const [uid, { sandboxes, containers }] of found) {
      if (this.#workers.has(uid)) continue;
      log.info('removing a pod that the API does not know', { uid });
      const running = containers.filter(({ state }) => state === 'running');
      await Promise.all(running.map(({ id }) => runtime.stopContainer(id, orphanGraceSeconds)));
      for (const { id } of sandboxes) {
        await runtime.stopPodSandbox(id);
        await runtime.removePodSandbox(id);
      }
    }
    const known = new Set(this.#workers.keys());
    allocations.keepOnly(known);
    for (const uid of await readdir(paths.pods))
      if (!this.#workers.has(uid)) await tearDownVolumes(join(paths.pods, uid));
    const logs = new Set([...this.#workers.values()].map(({ pod }) => logDirectory(paths, pod)));
    for (const name of await readdir(paths.logs)) {
      const directory = join(paths.logs, name);
      if (!logs.has(directory)) await rm(directory, { recursive: true, force: true });
    }
  }
}

const orphanGraceSeconds = 5;
