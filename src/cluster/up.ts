import { fork } from 'node:child_process';
import { closeSync, openSync, readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { systemClock } from '#base/clock.ts';
import { parseCidr } from '#base/ip.ts';
import { claimFreeRanges, rangeChoices, releaseRanges, type Ranges } from './addresses.ts';
import { clockProblem } from './certificate-files.ts';
import type { Flags } from './commands.ts';
import {
  dataDirFrom,
  livePid,
  makeDataDir,
  readConfig,
  writeConfig,
  type ClusterConfig,
  type DataDir,
} from './data-dir.ts';
import { decideComponentWords } from './flags/components.ts';
import { etcdServersIn } from './datastore.ts';
import type { FromRole } from './messages.ts';
import { endOrphans } from './orphans.ts';
import { nodesMax } from './nodes.ts';
import { installPackages, nodePackages, proxyPackages } from './packages.ts';
import { progressOn, type Progress } from './progress.ts';
import { startSupervisor } from './supervise.ts';
import { programVersion } from './version.ts';

/** `windlass up`: in the foreground until Ctrl-C, or detached. */
export async function up(flags: Flags): Promise<number> {
  const dir = dataDirFrom(flags);
  if (!flags.has('detach')) showDirectory(dir);
  if (livePid(dir, 'supervisor') !== undefined) {
    process.stdout.write(`windlass: the cluster in ${dir.path} runs already\n\n${nextSteps(dir)}`);
    return 0;
  }
  process.stdout.write(`windlass v${programVersion()}: starting a cluster in ${dir.path}\n`);
  makeDataDir(dir);
  await endOrphans(dir);
  const startMs = systemClock.monotonic();
  const progress = progressOn(process.stdout, systemClock);
  const { config, lacking } = await decideConfig(dir, flags);
  try {
    await checkPort(config.port);
  } catch (error) {
    releaseRanges(dir);
    throw error;
  }
  const oddClock = clockProblem(dir, systemClock.now());
  if (oddClock) process.stdout.write(`  ! ${oddClock}\n`);
  writeConfig(dir, config);
  if (lacking) process.stdout.write(`  ! ${lacking}\n`);

  const announce = () => {
    const took = ((systemClock.monotonic() - startMs) / 1000).toFixed(1);
    process.stdout.write(`\nThe cluster is ready after ${took} s.\n\n${nextSteps(dir)}`);
  };
  return flags.has('detach') ? detached(dir, progress, announce) : foreground(dir, config, progress, announce);
}

/** In the foreground this process is the supervisor: it begins anew with its directory among its arguments. */
function showDirectory(dir: DataDir): void {
  if (process.platform !== 'linux' || process.argv.includes(dir.path)) return;
  process.execve?.(process.execPath, [
    process.execPath,
    ...process.execArgv,
    ...process.argv.slice(1),
    '--data-dir',
    dir.path,
  ]);
}

async function foreground(
  dir: DataDir,
  config: ClusterConfig,
  progress: Progress,
  announce: () => void,
): Promise<number> {
  const supervisor = startSupervisor({ dir, config, progress, clock: systemClock });
  let interrupts = 0;
  const interrupted = new Promise<void>(resolve => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(signal, () => {
        interrupts++;
        if (interrupts === 2) process.stdout.write('windlass: still stopping …\n');
        resolve();
      });
  });
  let failure: unknown;
  await Promise.race([
    interrupted,
    supervisor.ready.then(
      () => {
        announce();
        process.stdout.write('Ctrl-C stops it.\n');
        return interrupted;
      },
      (error: unknown) => {
        failure = error;
      },
    ),
  ]);
  if (failure === undefined) process.stdout.write('\nStopping …\n');
  await progress.run('stop', () => supervisor.stop());
  if (failure !== undefined) throw failure;
  return 0;
}

/** The supervisor becomes a process of its own; this one tells its progress and ends when the cluster is ready. */
async function detached(dir: DataDir, progress: Progress, announce: () => void): Promise<number> {
  const log = openSync(join(dir.logs, 'supervisor.log'), 'a', 0o600);
  const child = fork(join(import.meta.dirname, 'cli.ts'), ['supervise', '--data-dir', dir.path], {
    execArgv: process.execArgv,
    stdio: ['ignore', log, log, 'ipc'],
    detached: true,
  });
  closeSync(log);
  let interrupted = false;
  const outcome = await new Promise<string | undefined>(resolve => {
    child.on('message', message => {
      const said = message as FromRole;
      if (said.type === 'step') progress.report(said.step);
      else if (!interrupted) resolve(said.type === 'failed' ? said.reason : undefined);
    });
    child.on('exit', () =>
      resolve(
        interrupted ? 'cannot start: interrupted' : `the supervisor ended; see ${join(dir.logs, 'supervisor.log')}`,
      ),
    );
    // An interrupted start is stopped whole: nothing half-started stays.
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => {
        interrupted = true;
        child.kill('SIGTERM');
      });
  });
  if (outcome !== undefined) throw new Error(outcome);
  if (child.connected) child.disconnect();
  child.unref();
  announce();
  return 0;
}

/** Flags over what the cluster was made with over defaults; and what this machine lacks, if anything, as a sentence. */
async function decideConfig(
  dir: DataDir,
  flags: Flags,
): Promise<{ config: ClusterConfig; lacking: string | undefined }> {
  const before = readConfig(dir);
  const runtime = (flags.text('runtime') as ClusterConfig['runtime'] | undefined) ?? before?.runtime ?? 'oci';
  const wantsReal = runtime !== 'hollow' && (flags.number('nodes') ?? before?.nodes ?? 1) > 0;
  const lacking = wantsReal ? whatIsMissing() : undefined;
  if (lacking && flags.given('nodes')) throw new Error(`cannot run real containers: ${lacking}`);
  const real = wantsReal && !lacking;
  const nodes = real ? (flags.number('nodes') ?? (before?.nodes || 1)) : 0;
  if (nodes > nodesMax) throw new Error(`cannot run ${nodes} nodes on one machine: at most ${nodesMax}`);
  const network = (flags.text('network') as ClusterConfig['network']) ?? before?.network;
  const cni = decideCni(flags, runtime, before);
  const datastore = decideDatastore(flags, before);
  const pool = decidePool(flags, before);
  const ranges =
    before ??
    (await rangesOf(dir)) ??
    (real ? claimFreeRanges(dir) : (rangeChoices[0] as NonNullable<(typeof rangeChoices)[0]>));
  const config: ClusterConfig = {
    port: flags.number('port') ?? before?.port ?? 6443,
    podCIDR: ranges.podCIDR,
    serviceCIDR: ranges.serviceCIDR,
    serviceIP: ranges.serviceIP,
    clusterDNS: ranges.clusterDNS,
    clusterDomain: before?.clusterDomain ?? 'cluster.local',
    nodes,
    hollowNodes: flags.number('hollow-nodes') ?? (before?.hollowNodes || (nodes === 0 ? 1 : 0)),
    runtime,
    runtimeEndpoint:
      flags.text('runtime-endpoint') ?? before?.runtimeEndpoint ?? 'unix:///run/containerd/containerd.sock',
    ...(network !== undefined && { network }),
    ...(cni !== undefined && { cni }),
    ...(datastore !== undefined && { datastore }),
    ...(pool !== undefined && { loadBalancerPool: pool }),
    ...switchOf('ingress', flags, before),
    ...switchOf('gateway', flags, before),
    components: decideComponentWords(flags, before?.components),
  };
  const proxyLack = real && (config.ingress || config.gateway) ? proxyIsMissing() : undefined;
  return { config, lacking: lacking ? `${lacking} Until then pods run on a simulated node.` : proxyLack };
}

/** What a cluster was made with may have been deleted while its store is here still. */
async function rangesOf(dir: DataDir): Promise<Ranges | undefined> {
  if (readdirSync(dir.store).length === 0) return undefined;
  const { rangesInStore } = await import('./ranges-in-store.ts');
  return rangesInStore(dir);
}

function switchOf(name: 'ingress' | 'gateway', flags: Flags, before: ClusterConfig | undefined) {
  const isOn = flags.given(name) ? flags.has(name) : (before?.[name] ?? false);
  return isOn ? { [name]: true } : {};
}

function proxyIsMissing(): string | undefined {
  const lack = installPackages(proxyPackages, 'Ingresses and Gateways');
  return lack && `${lack} Until then they are accepted, but nothing answers for them.`;
}

const pluginFolders = '/opt/cni/bin,/usr/lib/cni';

/** Undefined: the built-in network. */
function decideCni(
  flags: Flags,
  runtime: ClusterConfig['runtime'],
  before: ClusterConfig | undefined,
): ClusterConfig['cni'] {
  const given = flags.text('cni-conf-dir');
  if (given === 'none') return undefined;
  const confDir = given === undefined ? before?.cni?.confDir : resolve(given);
  const folders = flags.text('cni-bin-dir');
  if (confDir === undefined) {
    if (folders !== undefined) throw new Error('cannot use --cni-bin-dir alone: --cni-conf-dir names the network');
    return undefined;
  }
  if (runtime !== 'oci' && given === undefined) return undefined;
  if (runtime !== 'oci')
    throw new Error(`cannot connect pods by CNI plugins: the runtime ${runtime} connects its pods itself`);
  const binDirs = (folders ?? before?.cni?.binDirs.join() ?? pluginFolders)
    .split(',')
    .map(folder => resolve(folder.trim()));
  return { confDir, binDirs };
}

/** Undefined: the nodes' own addresses. */
function decidePool(flags: Flags, before: ClusterConfig | undefined): readonly string[] | undefined {
  const given = flags.text('load-balancer-pool');
  if (given === undefined) return before?.loadBalancerPool;
  if (given === 'nodes') return undefined;
  const cidrs = given.split(',').map(cidr => cidr.trim());
  const wrong = cidrs.find(cidr => parseCidr(cidr) === undefined);
  if (wrong !== undefined)
    throw new Error(
      `cannot give out load balancers' addresses: ${JSON.stringify(wrong)} is no CIDR like 192.0.2.64/27`,
    );
  return cidrs;
}

/** Undefined: the file in the data directory. */
function decideDatastore(flags: Flags, before: ClusterConfig | undefined): string | undefined {
  const given = flags.text('datastore');
  if (given === undefined) return before?.datastore;
  const datastore = given === 'sqlite' ? undefined : given;
  if (datastore !== undefined) etcdServersIn(datastore);
  // Members of an etcd come and go; another kind of store would be an empty one.
  if (before && (before.datastore === undefined) !== (datastore === undefined))
    throw new Error(
      `cannot keep the cluster's objects in ${given}: they are in ${before.datastore ?? 'its data directory'}; start a cluster of its own with another --data-dir`,
    );
  return datastore;
}

function whatIsMissing(): string | undefined {
  if (process.platform !== 'linux') return 'real containers need Linux.';
  if (process.getuid?.() !== 0) return 'real containers need root: start with sudo.';
  return installPackages(nodePackages);
}

async function checkPort(port: number): Promise<void> {
  const problem = await new Promise<NodeJS.ErrnoException | undefined>(resolve => {
    const probe = createServer();
    probe.once('error', resolve);
    probe.listen(port, () => probe.close(() => resolve(undefined)));
  });
  if (!problem) return;
  const why = problem.code === 'EADDRINUSE' ? 'another program uses it' : problem.message;
  throw new Error(`cannot listen on port ${port}: ${why}; choose another with --port`);
}

function nextSteps(dir: DataDir): string {
  return `  export KUBECONFIG=${dir.kubeconfig}

  kubectl get nodes -o wide
  kubectl get all --all-namespaces
  kubectl run hello --image=busybox --restart=Never -- echo hello
`;
}
