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

export interface NetworkedSandbox {
  readonly id: string;
  readonly netnsPath: string;
  readonly config: { readonly portMappings?: readonly PortMapping[] };
}

export interface PortMapping {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly containerPort: number;
  /** 0: none. */
  readonly hostPort: number;
  readonly hostIp?: string;
}
