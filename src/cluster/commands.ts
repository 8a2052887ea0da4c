import { componentArgumentFlags } from './flags/components.ts';

/** The commands of `windlass`, in the order in which help lists them. Each is loaded only when it is asked for. */
export interface Command {
  readonly name: string;
  readonly usage: string;
  /** One line for the list of commands. */
  readonly does: string;
  readonly flags: readonly Flag[];
  /** How many words beside flags: at least, at most. */
  readonly arguments?: readonly [number, number];
  /** Run by other commands, not by people. */
  readonly hidden?: boolean;
  /** Resolves with the exit code. */
  run(flags: Flags): Promise<number>;
}

export interface Flag {
  readonly name: string;
  readonly short?: string;
  readonly type: 'text' | 'number' | 'boolean';
  readonly value?: string;
  readonly choices?: readonly string[];
  /** May be given several times; see `Flags.texts`. */
  readonly repeated?: boolean;
  readonly does: string;
}

export interface Flags {
  readonly words: readonly string[];
  text(name: string): string | undefined;
  texts(name: string): readonly string[];
  number(name: string): number | undefined;
  has(name: string): boolean;
  given(name: string): boolean;
}

const dataDir: Flag = {
  name: 'data-dir',
  type: 'text',
  value: 'DIR',
  does: 'where the cluster keeps everything (default ~/.windlass, or $WINDLASS_DATA_DIR)',
};

const kubeconfig: Flag = {
  name: 'kubeconfig',
  type: 'text',
  value: 'FILE',
  does: 'asks the cluster of a kubeconfig file instead of the one in the data directory',
};

const shapeFlags: readonly Flag[] = [
  dataDir,
  { name: 'port', type: 'number', value: 'PORT', does: 'the port of the API server (default 6443)' },
  { name: 'nodes', type: 'number', does: 'nodes with real containers (default 1, or 0 where there can be none)' },
  {
    name: 'hollow-nodes',
    type: 'number',
    does: 'simulated nodes beside them (default 0, or 1 where there are no real ones)',
  },
  {
    name: 'runtime',
    type: 'text',
    choices: ['oci', 'cri', 'hollow'],
    does: 'what runs containers: the built-in runtime, one that speaks CRI, or none at all (default oci)',
  },
  {
    name: 'runtime-endpoint',
    type: 'text',
    value: 'ADDRESS',
    does: 'where the CRI runtime listens (default unix:///run/containerd/containerd.sock)',
  },
  {
    name: 'network',
    type: 'text',
    choices: ['vxlan', 'hostgw'],
    does: "how nodes reach each other's pods: packed into UDP, or by routes, where nodes are neighbours (default vxlan)",
  },
  {
    name: 'cni-conf-dir',
    type: 'text',
    value: 'DIR',
    does: "connects pods by the CNI plugins that a file of this folder names; 'none': by the built-in network (default)",
  },
  {
    name: 'cni-bin-dir',
    type: 'text',
    value: 'DIR,…',
    does: 'where those plugins are (default /opt/cni/bin,/usr/lib/cni)',
  },
  {
    name: 'load-balancer-pool',
    type: 'text',
    value: 'CIDR,…',
    does: "addresses for Services of the type LoadBalancer, which this machine answers for; 'nodes': its own (default)",
  },
  { name: 'ingress', type: 'boolean', does: 'serve Ingresses with a built-in proxy (--no-ingress: not any more)' },
  {
    name: 'gateway',
    type: 'boolean',
    does: 'install the Gateway API and serve it with a built-in proxy (--no-gateway: not any more)',
  },
  {
    name: 'datastore',
    type: 'text',
    value: 'URL',
    does: 'where objects are kept: sqlite, or etcd://HOST:PORT[,HOST:PORT] (etcds:// with TLS) (default sqlite)',
  },
];

export const commands: readonly Command[] = [
  {
    name: 'up',
    usage: 'up [flags]',
    does: 'starts a cluster, or the one that is in the data directory',
    flags: [
      ...shapeFlags,
      ...componentArgumentFlags,
      { name: 'detach', short: 'd', type: 'boolean', does: 'return when the cluster is ready, and leave it running' },
    ],
    run: async flags => (await import('./up.ts')).up(flags),
  },
  {
    name: 'down',
    usage: 'down [flags]',
    does: 'stops a cluster; its state stays for the next `up`',
    flags: [dataDir, { name: 'delete', type: 'boolean', does: 'delete the data directory too' }],
    run: async flags => (await import('./down.ts')).down(flags),
  },
  {
    name: 'status',
    usage: 'status [flags]',
    does: 'tells whether the cluster runs, and its nodes',
    flags: [
      dataDir,
      { name: 'output', short: 'o', type: 'text', choices: ['text', 'json'], does: 'as text or as JSON' },
    ],
    run: async flags => (await import('./status.ts')).status(flags),
  },
  {
    name: 'certs',
    usage: 'certs [list | renew] [flags]',
    does: 'lists the certificates of the cluster and when they expire, or renews them',
    arguments: [0, 1],
    flags: [
      dataDir,
      { name: 'output', short: 'o', type: 'text', choices: ['text', 'json'], does: 'as text or as JSON' },
    ],
    run: async flags => (await import('./certs.ts')).certs(flags),
  },
  {
    name: 'image',
    usage: 'image load FILE | list | pull NAME | rm NAME [flags]',
    does: 'loads, lists, pulls and removes container images of the built-in runtime',
    arguments: [1, 2],
    flags: [dataDir],
    run: async flags => (await import('./image.ts')).image(flags),
  },
  {
    name: 'explain',
    usage: 'explain [KIND NAME | -f FILE] [flags]',
    does: 'tells why a pod is where it is or nowhere, why an object stays Terminating, what is not ready',
    arguments: [0, 2],
    flags: [
      dataDir,
      kubeconfig,
      { name: 'namespace', short: 'n', type: 'text', does: 'the namespace of the object (default default)' },
      {
        name: 'filename',
        short: 'f',
        type: 'text',
        value: 'FILE',
        does: 'a manifest of a pod or a workload: where it would go (- reads standard input)',
      },
      { name: 'output', short: 'o', type: 'text', choices: ['text', 'json'], does: 'as text or as JSON' },
    ],
    run: async flags => (await import('./explain.ts')).explain(flags),
  },
  {
    name: 'plan',
    usage: 'plan -f DIR [flags]',
    does: 'tells what manifests would create, change, restart and push out, and where pods would go; changes nothing',
    flags: [
      dataDir,
      kubeconfig,
      {
        name: 'filename',
        short: 'f',
        type: 'text',
        value: 'DIR',
        repeated: true,
        does: 'a folder, a file, or - for standard input; may be given several times',
      },
      { name: 'namespace', short: 'n', type: 'text', does: 'for objects that name none (default default)' },
      { name: 'output', short: 'o', type: 'text', choices: ['text', 'json'], does: 'as text or as JSON' },
    ],
    run: async flags => (await import('./plan.ts')).plan(flags),
  },
  {
    name: 'version',
    usage: 'version',
    does: 'prints the version',
    flags: [],
    run: async () => (await import('./version.ts')).version(),
  },
  {
    name: 'supervise',
    usage: 'supervise [flags]',
    does: 'keeps the processes of a cluster running',
    hidden: true,
    flags: shapeFlags,
    run: async flags => (await import('./supervise.ts')).supervise(flags),
  },
  {
    name: 'control-plane',
    usage: 'control-plane --data-dir DIR',
    does: 'is the control plane process of a cluster',
    hidden: true,
    flags: [dataDir],
    run: async flags => (await import('./roles/control-plane.ts')).controlPlane(flags),
  },
  {
    name: 'node-agent',
    usage: 'node-agent --data-dir DIR',
    does: 'runs the nodes of a cluster that are on this machine',
    hidden: true,
    flags: [
      dataDir,
      { name: 'node', type: 'text', does: 'the node that has the network namespace in which this is started' },
      { name: 'clean', type: 'boolean', does: 'only remove what the nodes left on this machine' },
    ],
    run: async flags => (await import('./roles/node-agent.ts')).nodeAgent(flags),
  },
];
