import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { kubeconfigFor } from '#auth/certificates/kubeconfig.ts';
import { ensurePki } from '#auth/certificates/pki.ts';
import { nodeUser } from '#auth/user.ts';
import { systemClock } from '#base/clock.ts';
import { Lifetime } from '#base/lifetime.ts';
import { openLog } from '#base/log.ts';
import { unmountTree } from '#base/kernel/mount.ts';
import { spawnToEnd } from '#base/kernel/process.ts';
import { systemRandom } from '#base/random.ts';
import { startControlPlane } from '#cluster/control-plane.ts';
import type { Client } from '#client/client.ts';
import { defaultKubeletConfiguration, type KubeletConfiguration } from '#kubelet/configuration.ts';
import { startKubelet, type Kubelet } from '#kubelet/kubelet.ts';
import type { MachineTopology } from '#kubelet/resources/machine-topology.ts';
import { bridgeNetwork, removeBridgeNetwork } from '#network/cni/bridge.ts';
import { openOciRuntime } from '#runtime/oci/runtime.ts';
import { openMemoryStorage } from '#storage/memory/memory-storage.ts';
import { buildImages, dockerArchive } from '../../tools/images.ts';

export interface RealNode extends AsyncDisposable {
  readonly client: Client;
  readonly kubelet: Kubelet;
  readonly directory: string;
  readonly logFile: string;
  readonly kubeconfig: string;
  kubectl(
    args: readonly string[],
    options?: { readonly spdy?: boolean; readonly signal?: AbortSignal },
  ): Promise<{ readonly exitCode: number; readonly stdout: string; readonly stderr: string }>;
  /** Ends the agent with its runtime, does what is to be done meanwhile, and starts both again. */
  restartAgent(meanwhile?: () => Promise<void>): Promise<Kubelet>;
}

export interface RealNodeOptions {
  /** Over the defaults. */
  readonly configuration?: Partial<KubeletConfiguration>;
  readonly machine?: MachineTopology;
}

/** A control plane and one node with real containers, in this process, with the test images present. */
export async function startRealNode(options: RealNodeOptions = {}): Promise<RealNode> {
  const lifetime = new Lifetime();
  const outside = { clock: systemClock, random: systemRandom };
  const directory = await mkdtemp(join(tmpdir(), 'windlass-node-'));
  const logFile = process.env['KUBELET_TEST_LOG'] ?? join(directory, 'log');
  const log = openLog({ file: logFile, level: 'debug' });
  lifetime.defer(async () => {
    await unmountTree(directory);
    await rm(directory, { recursive: true, force: true });
  });
  try {
    const pki = await ensurePki(join(directory, 'pki'), { ...outside, ips: ['127.0.0.1'] });
    const controlPlane = await startControlPlane({
      ...outside,
      log: log.child('control-plane'),
      storage: lifetime.own(openMemoryStorage()),
      credentials: {
        caCertPem: pki.ca.certPem,
        caKeyPem: pki.ca.keyPem,
        serviceAccountKeyPem: pki.serviceAccount.privateKeyPem,
        kubeletClient: pki.apiserverKubeletClient,
      },
      podCIDR: '10.211.0.0/16',
      serviceCIDR: '10.111.0.0/16',
      serviceIP: '10.111.0.1',
      clusterDomain: 'cluster.local',
      advertise: undefined,
    });
    lifetime.own(controlPlane);
    const tls = { certPem: pki.apiserver.certPem, keyPem: pki.apiserver.keyPem, clientCaPem: pki.ca.certPem };
    const listener = await controlPlane.apiServer.listen({ host: '127.0.0.1', port: 0, tls });
    await controlPlane.startActing();
    const server = `https://127.0.0.1:${listener.port}`;
    const kubeconfig = join(directory, 'kubeconfig');
    const { certPem, keyPem } = pki.admin;
    await writeFile(kubeconfig, kubeconfigFor({ server, caPem: pki.ca.certPem, certPem, keyPem, name: 'test' }));

    const clusterId = createHash('sha256').update(directory).digest('hex').slice(0, 6);
    lifetime.defer(() => removeBridgeNetwork(clusterId));
    const serving = (await pki.node('node-1', { ips: ['127.0.0.1'] })).serving;
    const startAgent = async () => {
      const agent = new Lifetime();
      const network = await bridgeNetwork({
        clusterId,
        podCidrs: ['10.211.0.0/24'],
        stateDir: join(directory, 'network'),
        log,
      });
      agent.own(network);
      const runtime = agent.own(
        await openOciRuntime({
          ...outside,
          root: join(directory, 'runtime'),
          network,
          log,
          version: '0.0.0',
          cdiDirectories: [join(directory, 'cdi')],
        }),
      );
      const kubelet = await startKubelet({
        ...outside,
        client: controlPlane.clientOf(nodeUser('node-1')),
        runtime,
        nodeName: 'node-1',
        nodeIPs: ['127.0.0.1'],
        rootDir: join(directory, 'node'),
        log,
        clusterDNS: ['10.111.0.10'],
        clusterDomain: 'cluster.local',
        cgroupParent: `/windlass-${clusterId}`,
        configuration: { ...defaultKubeletConfiguration, ...options.configuration },
        ...(options.machine && { machine: options.machine }),
        server: {
          port: 0,
          address: '127.0.0.1',
          tls: { key: serving.keyPem, cert: serving.certPem, clientCa: pki.ca.certPem },
        },
      });
      return { agent, kubelet, runtime };
    };
    let running = await startAgent();
    lifetime.defer(async () => {
      await running.kubelet[Symbol.asyncDispose]();
      for (const { id } of await running.runtime.listPodSandbox()) await running.runtime.removePodSandbox(id);
      await running.agent[Symbol.asyncDispose]();
    });
    await running.runtime.loadImage(Readable.from(dockerArchive(await buildImages())));
    return {
      client: controlPlane.client,
      directory,
      logFile,
      kubeconfig,
      get kubelet() {
        return running.kubelet;
      },
      async kubectl(args, { spdy = false, signal } = {}) {
        const env = ['env', `KUBECTL_REMOTE_COMMAND_WEBSOCKETS=${!spdy}`, `KUBECTL_PORT_FORWARD_WEBSOCKETS=${!spdy}`];
        const words = [...env.slice(1), 'kubectl', '--kubeconfig', kubeconfig, ...args];
        const { exitCode, stdout, stderr } = await spawnToEnd('env', words, signal);
        return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
      },
      async restartAgent(meanwhile = async () => {}) {
        await running.kubelet[Symbol.asyncDispose]();
        await running.agent[Symbol.asyncDispose]();
        await meanwhile();
        running = await startAgent();
        return running.kubelet;
      },
      [Symbol.asyncDispose]: () => lifetime[Symbol.asyncDispose](),
    };
  } catch (error) {
    await lifetime[Symbol.asyncDispose]();
    throw error;
  }
}
