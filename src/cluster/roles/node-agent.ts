import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { userAgentOf } from '#api/machinery/version.ts';
import type { Clock } from '#base/clock.ts';
import { unmountTree } from '#base/kernel/mount.ts';
import { Namespaces } from '#base/kernel/namespace.ts';
import { Netlink } from '#base/kernel/netlink.ts';
import { awaitShutdown } from '#base/kernel/shutdown-notice.ts';
import { Lifetime } from '#base/lifetime.ts';
import { openLog, silentLog, type Log } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import type { CertifiedKey } from '#auth/certificates/certificate.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Node } from '#api/core/v1/node.ts';
import { Service } from '#api/core/v1/service.ts';
import { followPair } from '#auth/certificates/keep.ts';
import { httpsClient, type HttpsClient } from '#client/https.ts';
import { openInformers, type Informers } from '#client/informers.ts';
import { announceLoadBalancers } from '#cloud/announcement.ts';
import { corefileConfigMap } from '#dns/corefile-config-map.ts';
import { startDns } from '#dns/dns.ts';
import { startKubelet, type KubeletOptions } from '#kubelet/kubelet.ts';
import { nodeLabel } from '#kubelet/pods/names.ts';
import { removeNodeRoutes, startNodeRoutes, tunnelOf } from '#network/between/routes.ts';
import { bridgeNetwork, removeBridgeNetwork, type BridgeNetworkOptions } from '#network/cni/bridge.ts';
import type { NodeNetwork } from '#network/cni/pod-network.ts';
import { bridgeName } from '#network/names.ts';
import { openNetworkPolicies, removeNetworkPolicies, type NetworkPolicies } from '#network/policy/policies.ts';
import { removeServiceProxy, startServiceProxy } from '#network/proxy/proxy.ts';
import { readRegistries } from '#runtime/oci/images/registries.ts';
import { cniConfig } from '#runtime/cri/cni.ts';
import { openCriRuntime } from '#runtime/cri/runtime.ts';
import { openOciRuntime } from '#runtime/oci/runtime.ts';
import { isRuntimeError, type Runtime } from '#runtime/runtime.ts';
import type { Flags } from '../commands.ts';
import { dataDirFrom, readConfig, writeAtomically, type ClusterConfig, type DataDir } from '../data-dir.ts';
import { dnsNodeLabel } from '../dns-service.ts';
import { argumentsOf } from '../flags/components.ts';
import type { KubeletArguments } from '../flags/kubelet.ts';
import { imageSocketPath, serveImages, type NodeImages } from '../image-socket.ts';
import { localNodes, machineAddress, machineNetwork, nodeNamespaces, type LocalNode } from '../nodes.ts';
import { programVersion } from '../version.ts';
import { kubeletConfiguration } from './kubelet-configuration.ts';
import { roleProcess, type RoleProcess } from './role.ts';

interface Agent {
  readonly dir: DataDir;
  readonly config: ClusterConfig;
  /** The nodes of this process: one with a network namespace of its own, or those in the machine's. */
  readonly locals: readonly LocalNode[];
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * `windlass node-agent`: the kubelets of this machine with runtime and pod network, the service proxy and DNS. With
 * `--node` it is in the network namespace of that node, which is its only one.
 */
export async function nodeAgent(flags: Flags): Promise<number> {
  const dir = dataDirFrom(flags);
  const config = readConfig(dir);
  if (!config) throw new Error(`cannot run a node: there is no cluster in ${dir.path}`);
  const role = roleProcess();
  if (flags.has('clean')) {
    await cleanMachine({ dir, config, locals: localNodes(dir, config), clock: role.clock, log: silentLog });
    role.release();
    return 0;
  }
  const named = flags.text('node');
  const locals = localNodes(dir, config).filter(({ name, place }) =>
    named === undefined ? place === undefined : name === named,
  );
  const agent = { dir, config, locals, clock: role.clock, log: openLog() };
  try {
    const lifetime = new Lifetime();
    let how: 'stop' | 'leave' = 'leave';
    try {
      await Promise.race([start(agent, role, lifetime), role.ended]);
      how = await role.ended;
      agent.log.info('the node agent ends', { how });
    } finally {
      await lifetime[Symbol.asyncDispose]();
      agent.log.info('the node agent has let go of everything');
    }
    if (how === 'stop') await clean(agent);
    agent.log.info('the node agent has ended', { open: process.getActiveResourcesInfo() });
    return 0;
  } catch (error) {
    agent.log.error('the node agent failed', { error });
    role.failed(error);
    return 1;
  } finally {
    role.release();
  }
}

/** Everything of one node that is not the API's. */
interface NodeParts {
  readonly local: LocalNode;
  readonly runtime: Runtime & NodeImages;
  readonly network: NodeNetwork;
}

async function start(agent: Agent, role: RoleProcess, lifetime: Lifetime): Promise<void> {
  const { dir, config, clock, log } = agent;
  const { progress } = role;
  // What needs no API server is made while that one starts.
  const policies = lifetime.own(
    openNetworkPolicies({
      clusterId: agentId(agent),
      nodeNames: agent.locals.map(({ name }) => name),
      connectedByOthers: config.runtime === 'cri',
      clock,
      log,
    }),
  );
  const nodes = await Promise.all(
    agent.locals.map(local =>
      progress.run(`runtime of ${local.name}`, () => openNode(agent, local, lifetime, policies)),
    ),
  );
  await untilAborted(role.go, lifetime.signal);
  const [first] = nodes;
  if (!first) throw new Error('cannot run a node: the cluster has none on this machine');
  const { place } = first.local;
  lifetime.own(
    await serveImages(
      imageSocketPath(dir, place?.number),
      nodes.map(({ runtime }) => runtime),
    ),
  );

  const network = lifetime.own(clientOf(agent, 'kube-proxy'));
  followCertificate(agent, 'kube-proxy', lifetime, ({ certPem, keyPem }) => network.useCertificate(certPem, keyPem));
  const informers = openInformers(network, { clock, random: systemRandom, log });
  lifetime.defer(() => informers[Symbol.dispose]());
  policies.follow(informers);
  const proxy = lifetime.own(
    await startServiceProxy({
      informers,
      nodeName: first.local.name,
      clusterId: agentId(agent),
      beside: nodes.slice(1).map(({ local }) => ({ nodeName: local.name, id: networkId(agent, local) })),
      clusterCidrs: [config.podCIDR],
      serviceCidrs: [config.serviceCIDR],
      ...nodePortRanges(config, first.local),
      clock,
      log,
    }),
  );
  const gateway = Promise.withResolvers<string>();
  const kubelets = nodes.map(node =>
    progress.run(`node ${node.local.name}`, () => startNode(agent, node, lifetime, gateway.resolve)),
  );
  const dns = progress.run('services, DNS', async () => {
    const address = await untilAborted(gateway.promise, lifetime.signal);
    lifetime.own(
      await startDns({
        informers,
        address,
        port: 53,
        clusterDomain: config.clusterDomain,
        healthPort: 8080,
        metricsPort: 9153,
        configMaps: informers.of(ConfigMap, {
          namespace: corefileConfigMap.namespace,
          fieldSelector: `metadata.name=${corefileConfigMap.name}`,
        }),
        clock,
        log,
        random: systemRandom,
      }),
    );
    await proxy.ready;
    await joinNodes(agent, first, informers, lifetime);
    // The first node answers for the addresses of the pool: it is where the machine is.
    if (config.loadBalancerPool === undefined || place) return;
    const netlink = lifetime.own(new Netlink());
    lifetime.own(
      announceLoadBalancers({
        services: informers.of(Service),
        pool: config.loadBalancerPool,
        link: bridgeName(dir.id),
        netlink,
        clock,
        log,
      }),
    );
  });
  const parts = [...kubelets, dns];
  try {
    await Promise.all(parts);
  } catch (error) {
    await lifetime[Symbol.asyncDispose]();
    await Promise.allSettled(parts);
    throw error;
  }
  role.ready();
}

/** Leads to the pods of the machine's other nodes, where those have networks of their own. */
async function joinNodes(
  agent: Agent,
  { local, network }: NodeParts,
  informers: Informers,
  lifetime: Lifetime,
): Promise<void> {
  const { dir, config, clock, log } = agent;
  const machine = machineNetwork(dir, config);
  if (!machine || local.address === undefined) return;
  const { keepMachineNetwork } = await import('#network/between/machine.ts');
  if (!local.place) lifetime.own(await keepMachineNetwork(machine, { podCidrs: [config.podCIDR], clock, log }));
  const routes = startNodeRoutes({
    mode: config.network ?? 'vxlan',
    clusterId: dir.id,
    // Simulated nodes have no pods that could be reached.
    nodes: informers.of(Node, { labelSelector: `${dnsNodeLabel}=true` }),
    nodeName: local.name,
    nodeAddress: local.address,
    nodesChanged: change => network.nodesChanged(change),
    clock,
    log,
  });
  lifetime.own(routes);
  await untilAborted(routes.settled(), lifetime.signal);
}

/** Where node ports answer, when that was said. */
function nodePortRanges(config: ClusterConfig, local: LocalNode): { readonly nodePortAddresses?: readonly string[] } {
  const given = argumentsOf('kube-proxy', config.components)['nodeport-addresses'];
  if (!given) return {};
  const isPrimary = given[0] === 'primary';
  return { nodePortAddresses: isPrimary ? [`${local.address ?? machineAddress()}/32`] : given };
}

/** What things on the network carry that are there once for all nodes of a process. */
function agentId(agent: Agent): string {
  const [first] = agent.locals;
  return first?.place ? networkId(agent, first) : agent.dir.id;
}

function untilAborted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/** The runtime of a node with the pod network under it, as they were left. */
async function openNode(
  agent: Agent,
  local: LocalNode,
  lifetime: Lifetime,
  policies?: NetworkPolicies,
): Promise<NodeParts> {
  const { dir, clock, log } = agent;
  const root = dir.nodeDir(local.name);
  const common = {
    clusterId: networkId(agent, local),
    stateDir: join(root, 'network'),
    ...(policies && { gate: policies }),
    clock,
    log,
  };
  const network = lifetime.own(await openNetwork(agent, local, common));
  return { local, network, runtime: lifetime.own(await openRuntime(agent, local, network, lifetime)) };
}

async function openNetwork(
  { dir, config }: Agent,
  local: LocalNode,
  common: Pick<BridgeNetworkOptions, 'clusterId' | 'stateDir' | 'gate'> & Pick<Agent, 'clock' | 'log'>,
): Promise<NodeNetwork> {
  if (config.cni && config.runtime === 'oci') {
    const { pluginNetwork } = await import('#network/cni/plugins/network.ts');
    return pluginNetwork({
      ...common,
      confDirectory: config.cni.confDir,
      binDirectories: config.cni.binDirs,
      // Only those that clean up ask for no policies.
      isLeaving: common.gate === undefined,
    });
  }
  const tunnel = local.address === undefined ? undefined : tunnelOf(config.network ?? 'vxlan', dir.id);
  return bridgeNetwork({
    ...common,
    podCidrs: [],
    clusterCidrs: [config.podCIDR],
    connectedByOthers: config.runtime === 'cri',
    ...(tunnel && { tunnel }),
  });
}

async function openRuntime(
  agent: Agent,
  local: LocalNode,
  network: NodeNetwork,
  lifetime: Lifetime,
): Promise<Runtime & NodeImages> {
  const { dir, config, clock, log } = agent;
  if (config.runtime === 'cri') return openCriRuntime({ endpoint: config.runtimeEndpoint, clock, log });
  const registries = join(dir.path, 'registries.json');
  return openOciRuntime({
    root: join(dir.nodeDir(local.name), 'runtime'),
    network,
    clock,
    random: systemRandom,
    log,
    version: programVersion(),
    ...(existsSync(registries) && { registries: readRegistries(registries) }),
    ...(local.place && { connectLoopback: machineLoopback(lifetime) }),
  });
}

/** `localhost:5000` in an image's name means the machine; its supervisor, whose child this process is, is there. */
function machineLoopback(lifetime: Lifetime): (port: number) => Promise<Duplex> {
  const namespaces = lifetime.own(new Namespaces());
  const machine = `/proc/${process.ppid}/ns/net`;
  return port => namespaces.connect(machine, port);
}

/** Where a runtime that speaks CRI looks for its network. */
const cniDirectory = '/etc/cni/net.d';

/** Connects the runtime's pods to the node's bridge, unless somebody has configured a network for it already. */
async function configureCni(
  agent: Agent,
  local: LocalNode,
  network: NodeNetwork,
  podCidrs: readonly string[],
): Promise<void> {
  await network.updatePodCidrs?.(podCidrs);
  const own = cniFile(agent, local);
  mkdirSync(cniDirectory, { recursive: true });
  const others = readdirSync(cniDirectory).filter(
    name => /\.(conf|conflist|json)$/.test(name) && join(cniDirectory, name) !== own,
  );
  if (others.length > 0) return agent.log.info('the runtime has a network of its own', { files: others });
  const name = bridgeName(networkId(agent, local));
  const dataDirectory = join(agent.dir.nodeDir(local.name), 'cni');
  writeAtomically(own, cniConfig({ podCidr: podCidrs.join(','), name, dataDirectory }));
}

function cniFile(agent: Agent, local: LocalNode): string {
  return join(cniDirectory, `10-windlass-${networkId(agent, local)}.conflist`);
}

async function startNode(
  agent: Agent,
  { local, runtime, network }: NodeParts,
  lifetime: Lifetime,
  gatewayKnown: (address: string) => void,
): Promise<void> {
  const { dir, config, clock, log } = agent;
  const file = `kubelet-${encodeURIComponent(local.name)}`;
  const client = lifetime.own(clientOf(agent, `${file}-client`));
  const serving = readPair(dir, `${file}-serving`);
  const isFirst = local.name === agent.locals[0]?.name;
  const kubelet = await startKubelet(
    {
      client,
      runtime,
      nodeName: local.name,
      nodeIPs: [local.address ?? machineAddress()],
      rootDir: join(dir.nodeDir(local.name), 'kubelet'),
      clock,
      random: systemRandom,
      log,
      clusterDNS: [config.clusterDNS],
      clusterDomain: config.clusterDomain,
      cgroupParent: `/windlass-${networkId(agent, local)}`,
      configuration: kubeletConfiguration(argumentsOf('kubelet', config.components), log),
      ...credentialProviders(argumentsOf('kubelet', config.components)),
      shutdownNotice: () => awaitShutdown('kubelet', 'Kubelet needs time to handle node shutdown'),
      // DNS runs once for a process, on the bridge of its first node.
      ...(isFirst && { labels: { [dnsNodeLabel]: 'true' } }),
      ...(config.runtime === 'cri' && {
        podCIDRs(podCidrs: readonly string[]) {
          configureCni(agent, local, network, podCidrs).catch((error: unknown) =>
            log.error('cannot give the runtime a network', { error }),
          );
        },
      }),
      server: {
        port: (await isFree(local.kubeletPort)) ? local.kubeletPort : anyPort,
        tls: { key: serving.keyPem, cert: serving.certPem, clientCa: readFileSync(join(dir.pki, 'ca.crt')) },
      },
    },
    lifetime.signal,
  );
  lifetime.own(kubelet);
  followCertificate(agent, `${file}-client`, lifetime, ({ certPem, keyPem }) => client.useCertificate(certPem, keyPem));
  followCertificate(agent, `${file}-serving`, lifetime, ({ certPem, keyPem }) =>
    kubelet.renewServing({ key: keyPem, cert: certPem, clientCa: readFileSync(join(dir.pki, 'ca.crt')) }),
  );
  if (isFirst) {
    while (network.gateways.length === 0) await clock.sleep(5, lifetime.signal);
    gatewayKnown(network.gateways[0] ?? '');
  }
}

function credentialProviders({
  'image-credential-provider-config': file,
  'image-credential-provider-bin-dir': programs,
}: KubeletArguments): Pick<KubeletOptions, 'credentialProviders'> {
  if (file === undefined) return {};
  if (programs === undefined)
    throw new Error('kubelet image-credential-provider-config needs image-credential-provider-bin-dir');
  return { credentialProviders: { config: file, programs } };
}

/** The API server reads the port from the node's status: a taken one is no reason to fail. */
const anyPort = 0;

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, () => probe.close(() => resolve(true)));
  });
}

/** Ends what runs, and takes everything of this process's nodes off the machine; their images stay. */
async function clean(agent: Agent): Promise<void> {
  const { dir, config, locals } = agent;
  const all = localNodes(dir, config);
  // One that was killed may have had more nodes, or another host name: the first takes care of those.
  const names = existsSync(dir.nodeDir('')) ? readdirSync(dir.nodeDir('')) : [];
  const forgotten = locals.some(({ place }) => place)
    ? []
    : names.filter(name => !all.some(each => each.name === name));
  await cleanNodes(agent, [
    ...locals.filter(({ name }) => names.includes(name)),
    ...forgotten.map(name => ({ name, kubeletPort: 0 })),
  ]);
}

/** The same for all nodes of the machine, whose processes have ended: the namespaces of nodes are taken away, too. */
async function cleanMachine(agent: Agent): Promise<void> {
  await clean(agent);
  const paths = nodeNamespaces(agent.dir);
  if (paths.length === 0) return;
  const { removeMachineNetwork } = await import('#network/between/machine.ts');
  await removeMachineNetwork(agent.dir.id, paths, agent.log);
}

async function cleanNodes(agent: Agent, nodes: readonly LocalNode[]): Promise<void> {
  const { dir, config } = agent;
  await removeServiceProxy(agentId(agent));
  await removeNetworkPolicies(agentId(agent));
  await removeNodeRoutes(dir.id);
  if (!nodes.some(({ name }) => name === agent.locals[0]?.name)) await removeBridgeNetwork(agentId(agent));
  await Promise.all(
    nodes.map(async local => {
      try {
        await endSandboxes(agent, local);
      } catch (error) {
        // What runs in a runtime that cannot be reached is out of our hands; the rest is not.
        if (config.runtime !== 'cri' || !isRuntimeError(error, 'Unavailable')) throw error;
        agent.log.warn('cannot end the pods of a node', { node: local.name, error });
      }
      rmSync(cniFile(agent, local), { force: true });
      await removeBridgeNetwork(networkId(agent, local));
      // Volumes of pods that were not deleted; they are mounted anew when their pods start again.
      await unmountTree(dir.nodeDir(local.name));
      rmSync(join(dir.nodeDir(local.name), 'kubelet', 'pods'), { recursive: true, force: true });
    }),
  );
}

async function endSandboxes(agent: Agent, local: LocalNode): Promise<void> {
  await using lifetime = new Lifetime();
  const { runtime } = await openNode(agent, local, lifetime);
  // A runtime that speaks CRI may serve others beside us.
  const sandboxes = await runtime.listPodSandbox({ labelSelector: { [nodeLabel]: local.name } });
  await Promise.all(
    sandboxes.map(async ({ id }) => {
      await endContainers(runtime, id);
      await runtime.stopPodSandbox(id);
      await runtime.removePodSandbox(id);
    }),
  );
}

/** A moment for those that listen to SIGTERM; `down` is no graceful deletion of pods, which live on in the API. */
const graceSeconds = 2;

async function endContainers(runtime: Runtime, podSandboxId: string): Promise<void> {
  const containers = await runtime.listContainers({ podSandboxId });
  await Promise.all(containers.map(({ id }) => runtime.stopContainer(id, graceSeconds)));
}

/** The first node's things carry the cluster's id, those of others one of their own: names on a host are short. */
function networkId({ dir, config }: Agent, local: LocalNode): string {
  if (local.name === localNodes(dir, config)[0]?.name) return dir.id;
  return createHash('sha256').update(`${dir.path}\0${local.name}`).digest('hex').slice(0, 6);
}

function clientOf({ dir, config, clock, locals: [first] }: Agent, identity: string): HttpsClient {
  const machine = first?.place ? localNodes(dir, config)[0]?.address : undefined;
  const { certPem, keyPem } = readPair(dir, identity);
  const caPem = readFileSync(join(dir.pki, 'ca.crt'), 'utf8');
  return httpsClient({
    server: `https://${machine ?? '127.0.0.1'}:${config.port}`,
    caPem,
    certPem,
    keyPem,
    clock,
    userAgent: userAgentOf(identity === 'kube-proxy' ? 'kube-proxy' : 'kubelet'),
  });
}

/** The control plane renews the certificates of this machine's nodes; here they come into use. */
function followCertificate(
  { dir, clock, log }: Agent,
  file: string,
  lifetime: Lifetime,
  use: (pair: CertifiedKey) => void,
): void {
  lifetime.own(followPair(dir.pki, file, use, { clock, log }));
}

function readPair(dir: DataDir, name: string): { readonly certPem: string; readonly keyPem: string } {
  const read = (ending: string) => readFileSync(join(dir.pki, `${name}.${ending}`), 'utf8');
  return { certPem: read('crt'), keyPem: read('key') };
}
