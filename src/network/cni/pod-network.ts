// What the runtime's contract asks of a pod network (`PodNetwork` in runtime/runtime.ts), in the words this layer needs:
// a network of this shape is one of that shape. The built-in bridge keeps it.

export interface PodNetwork {
  setup(sandbox: NetworkedSandbox, signal?: AbortSignal): Promise<{ readonly ips: readonly string[] }>;
  teardown(sandbox: { readonly id: string; readonly netnsPath: string | undefined }): Promise<void>;
  check(sandbox: NetworkedSandbox): Promise<void>;
  reconcile(sandboxes: readonly NetworkedSandbox[]): Promise<void>;
  notReady(): string | undefined;
  updatePodCidrs(podCidrs: readonly string[]): Promise<void>;
}

/** The pod network of a node, whoever connects its pods. */
export interface NodeNetwork extends PodNetwork, AsyncDisposable {
  /** The node's own address in its range, one a family: where DNS listens. */
  readonly gateways: readonly string[];
  /** The cluster's nodes: pods reach these addresses with their own, and the tunnel takes packets from nobody else. */
  nodesChanged(change: { readonly come?: readonly string[]; readonly gone?: readonly string[] }): Promise<void>;
}

export interface NetworkedSandbox {
  readonly id: string;
  readonly netnsPath: string;
  readonly config: {
    readonly metadata?: { readonly name: string; readonly namespace: string; readonly uid: string };
    readonly labels?: Readonly<Record<string, string>>;
    readonly portMappings?: readonly PortMapping[];
    readonly annotations?: Readonly<Record<string, string>>;
    readonly dnsConfig?: {
      readonly servers: readonly string[];
      readonly searches: readonly string[];
      readonly options: readonly string[];
    };
  };
}

/** The pod of a sandbox as it was when the sandbox was made. */
export interface LeasedPod {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Who judges pods' traffic. It hears of a sandbox before the first packet and after the last one. */
export interface PodGate {
  /** A sandbox from before the agent's start. */
  known(sandboxId: string, pod: LeasedPod, ips: readonly string[]): void;
  /** Resolves when the kernel judges the traffic of these addresses by today's policies. */
  admit(sandboxId: string, pod: LeasedPod, ips: readonly string[], signal?: AbortSignal): Promise<void>;
  dismiss(sandboxId: string): void;
}

export interface PortMapping {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly containerPort: number;
  /** 0: none. */
  readonly hostPort: number;
  readonly hostIp?: string;
}
