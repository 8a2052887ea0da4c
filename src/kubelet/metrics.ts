import { Counter, Histogram, Registry } from 'prom-client';
import type { Clock } from '#base/clock.ts';
import type { Runtime } from '#runtime/runtime.ts';

/** Of containers: what they are to their pod, in upstream's words. */
export type ContainerType = 'container' | 'init_container' | 'ephemeral_container';

/** What the node agent counts, under upstream's names. */
export class KubeletMetrics {
  readonly registry = new Registry();
  readonly #registers = [this.registry];
  readonly startedPods = this.#counter('kubelet_started_pods_total', 'Pods whose sandbox was made.');
  readonly startedPodsErrors = this.#counter('kubelet_started_pods_errors_total', 'Sandboxes that could not be made.');
  readonly startedContainers = this.#counter('kubelet_started_containers_total', 'Containers that were started.', [
    'container_type',
  ]);
  readonly startedContainersErrors = this.#counter(
    'kubelet_started_containers_errors_total',
    'Containers that could not be started, by the reason that their status says.',
    ['container_type', 'code'],
  );
  readonly terminatedContainers = this.#counter('kubelet_terminated_containers_total', 'Containers that have ended.', [
    'container_type',
    'exit_code',
    'reason',
  ]);
  readonly evictions = this.#counter('kubelet_evictions', 'Pods evicted, by the signal that asked for it.', [
    'eviction_signal',
  ]);
  readonly podStartDuration = new Histogram({
    name: 'kubelet_pod_start_duration_seconds',
    help: 'From a pod that is seen for the first time until it runs.',
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240, 300, 360, 480, 600, 900],
    registers: this.#registers,
  });
  readonly #operations = this.#counter('kubelet_runtime_operations_total', 'What was asked of the runtime.', [
    'operation_type',
  ]);
  readonly #operationErrors = this.#counter(
    'kubelet_runtime_operations_errors_total',
    'What was asked of the runtime and failed.',
    ['operation_type'],
  );
  readonly #operationDuration = new Histogram({
    name: 'kubelet_runtime_operations_duration_seconds',
    help: 'How long the runtime took.',
    labelNames: ['operation_type'],
    buckets: Array.from({ length: 14 }, (_, power) => 0.005 * 2.5 ** power),
    registers: this.#registers,
  });

  /** The same runtime, with everything that is asked of it counted. */
  metered(runtime: Runtime, clock: Clock): Runtime {
    const known = new Map<PropertyKey, unknown>();
    return new Proxy(runtime, {
      get: (target, name) => {
        if (known.has(name)) return known.get(name);
        const own: unknown = Reflect.get(target, name, target);
        if (typeof own !== 'function') return own;
        const method = own as (...args: unknown[]) => unknown;
        const operation = operations[name as keyof typeof operations];
        const called =
          operation === undefined
            ? method.bind(target)
            : (...args: unknown[]) => this.#measured(operation, clock, () => method.apply(target, args));
        known.set(name, called);
        return called;
      },
    });
  }

  async #measured(operation: string, clock: Clock, ask: () => unknown): Promise<unknown> {
    const labels = { operation_type: operation };
    const startMs = clock.monotonic();
    this.#operations.inc(labels);
    try {
      return await ask();
    } catch (error) {
      this.#operationErrors.inc(labels);
      throw error;
    } finally {
      this.#operationDuration.observe(labels, (clock.monotonic() - startMs) / 1000);
    }
  }

  #counter<Label extends string = never>(
    name: string,
    help: string,
    labelNames: readonly Label[] = [],
  ): Counter<Label> {
    return new Counter({ name, help, labelNames: [...labelNames], registers: this.#registers });
  }
}

/** Calls of the runtime, as upstream names them. */
const operations = {
  version: 'version',
  status: 'status',
  updateRuntimeConfig: 'update_runtime_config',
  runPodSandbox: 'run_podsandbox',
  stopPodSandbox: 'stop_podsandbox',
  removePodSandbox: 'remove_podsandbox',
  podSandboxStatus: 'podsandbox_status',
  listPodSandbox: 'list_podsandbox',
  podSandboxStats: 'podsandbox_stats',
  listPodSandboxStats: 'list_podsandbox_stats',
  createContainer: 'create_container',
  startContainer: 'start_container',
  stopContainer: 'stop_container',
  removeContainer: 'remove_container',
  listContainers: 'list_containers',
  containerStatus: 'container_status',
  updateContainerResources: 'update_container',
  reopenContainerLog: 'reopen_container_log',
  containerStats: 'container_stats',
  listContainerStats: 'list_container_stats',
  execSync: 'exec_sync',
  exec: 'exec',
  attach: 'attach',
  portForward: 'port_forward',
  listImages: 'list_images',
  imageStatus: 'image_status',
  pullImage: 'pull_image',
  removeImage: 'remove_image',
  imageFsInfo: 'image_fs_info',
} as const satisfies Partial<Record<keyof Runtime, string>>;
