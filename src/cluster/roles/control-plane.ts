import { hostname } from 'node:os';
import { Lifetime } from '#base/lifetime.ts';
import { openLog, type Log } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import { serverIdentity } from '#apiserver/identity-lease.ts';
import { keepCertificates } from '#auth/certificates/keep.ts';
import { openClusterPki, writeKubeconfig } from '../cluster-pki.ts';
import type { Flags } from '../commands.ts';
import { startControlPlane } from '../control-plane.ts';
import { dataDirFrom, readConfig, type ClusterConfig, type DataDir } from '../data-dir.ts';
import { keepDnsService } from '../dns-service.ts';
import { endGateway, serveGateway } from '../gateway.ts';
import { argumentsOf } from '../flags/components.ts';
import { openStore } from '../open-store.ts';
import { localNodes, machineAddress } from '../nodes.ts';
import { startNodes } from '../start-cluster.ts';
import { roleProcess, type RoleProcess } from './role.ts';

/** `windlass control-plane`: store, API server, controllers, scheduler and the simulated nodes, in one process. */
export async function controlPlane(flags: Flags): Promise<number> {
  const dir = dataDirFrom(flags);
  const config = readConfig(dir);
  if (!config) throw new Error(`cannot run the control plane: there is no cluster in ${dir.path}`);
  const role = roleProcess();
  const log = openLog();
  try {
    await using lifetime = new Lifetime();
    let isStopped = false;
    // The proxy outlives a control plane that another takes over from. It ends behind who would start it anew.
    lifetime.defer(() => isStopped && endGateway(dir, role.clock));
    await start(dir, config, role, log, lifetime);
    role.ready();
    isStopped = (await role.ended) === 'stop';
    return 0;
  } catch (error) {
    log.error('the control plane failed', { error });
    role.failed(error);
    return 1;
  } finally {
    role.release();
  }
}

/** What is under way is mostly done in milliseconds; the supervisor does not wait for ever. */
const drainMsMax = 2_000;
const sshPort = 22;

async function start(
  dir: DataDir,
  config: ClusterConfig,
  role: RoleProcess,
  log: Log,
  lifetime: Lifetime,
): Promise<void> {
  const { clock, progress } = role;
  const random = systemRandom;
  const pki = await progress.run('certificates', () => openClusterPki(dir, config, clock));
  const { storage, encryption } = await progress.run('store', () => openStore(dir, config, { clock, random, log }));
  if (encryption) lifetime.own(encryption);
  lifetime.own(storage);
  const real = config.nodes > 0;
  const plane = await progress.run('API server', async () => {
    const started = await startControlPlane({
      storage,
      encryption,
      credentials: {
        caCertPem: pki.ca.certPem,
        caKeyPem: pki.ca.keyPem,
        serviceAccountKeyPem: pki.serviceAccount.privateKeyPem,
        get kubeletClient() {
          return pki.apiserverKubeletClient;
        },
        get frontProxyClient() {
          return pki.frontProxyClient;
        },
        frontProxyCaPem: pki.frontProxyCa.certPem,
      },
      clock,
      random,
      log,
      podCIDR: config.podCIDR,
      serviceCIDR: config.serviceCIDR,
      serviceIP: config.serviceIP,
      clusterDomain: config.clusterDomain,
      ...(config.loadBalancerPool !== undefined && { loadBalancerPool: config.loadBalancerPool }),
      // A Service that took them would cut off the cluster, or whoever keeps the machine.
      reservedPorts: [sshPort, config.port, ...new Set(localNodes(dir, config).map(node => node.kubeletPort))],
      identity: { hostname: hostname(), identity: serverIdentity(hostname(), `:${config.port}`) },
      advertise: real ? { address: machineAddress(), port: config.port } : undefined,
      apiServerArguments: argumentsOf('kube-apiserver', config.components),
      controllerManagerArguments: argumentsOf('kube-controller-manager', config.components),
      schedulerArguments: argumentsOf('kube-scheduler', config.components),
    });
    lifetime.own(started);
    const given = argumentsOf('kube-apiserver', config.components);
    lifetime.defer(() =>
      started.apiServer.drain({
        delayMs: given['shutdown-delay-duration'] ?? 0,
        sendsRetryAfter: given['shutdown-send-retry-after'] ?? false,
        drainMsMax,
      }),
    );
    const listener = await started.apiServer.listen({
      // Pods reach it on the machine's address; where there are none, nobody outside needs it.
      host: real ? '0.0.0.0' : '127.0.0.1',
      port: config.port,
      tls: { ...pki.apiserver, ...started.trust },
      goAwayChance: given['goaway-chance'],
    });
    lifetime.own(
      keepCertificates(
        pki,
        files => {
          if (files.includes('apiserver')) listener.renew({ ...pki.apiserver, ...started.trust });
          if (files.includes('admin')) writeKubeconfig(dir, config, pki);
        },
        { clock, log },
      ),
    );
    return started;
  });
  await progress.run('controllers, scheduler', async () => {
    if (real) await keepDnsService({ ...plane, log }, config.clusterDNS);
    await plane.startActing();
    await serveGateway(plane, { dir, config, isShared: storage.shared !== undefined, clock, random, log }, lifetime);
  });
  const autoscaling = argumentsOf('cluster-autoscaler', config.components);
  if (autoscaling.nodes) {
    const { startAutoscaling } = await import('../autoscaling.ts');
    const ofScheduler = argumentsOf('kube-scheduler', config.components);
    await progress.run('autoscaler', () =>
      startAutoscaling(plane, autoscaling, ofScheduler, { clock, random, log, lifetime }),
    );
  }
  if (config.hollowNodes > 0) {
    const what = config.hollowNodes === 1 ? 'simulated node' : `${config.hollowNodes} simulated nodes`;
    lifetime.own(await progress.run(what, () => startNodes(plane, config.hollowNodes, { clock, random, log })));
  }
}
