import type { Clock } from '#base/clock.ts';
import { Lifetime } from '#base/lifetime.ts';
import type { Log } from '#base/log.ts';
import type { APIServiceSpec } from '#api/apiregistration/v1/api-service.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { formatGoDuration } from '#api/machinery/duration.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { formatQuantity } from '#api/machinery/quantity.ts';
import { formatTime } from '#api/machinery/time.ts';
import { NodeMetrics } from '#api/metrics/v1beta1/node-metrics.ts';
import { PodMetrics } from '#api/metrics/v1beta1/pod-metrics.ts';
import type { Client } from '#client/client.ts';
import type { Informers } from '#client/informers.ts';
import { hollowNodeUsage, hollowUsage, isHollow } from './hollow-usage.ts';
import { readingOf, usageBetween, type Reading, type Usage } from './measurements.ts';

/** What `kubectl top` and autoscalers read: the resource metrics of nodes and pods. */
export interface MetricsServer extends AsyncDisposable {
  readonly resources: readonly MetricsResource[];
  readonly apiService: APIServiceSpec;
  /** Begins to ask the node agents. */
  start(): void;
}

interface MetricsResource {
  readonly kind: Kind;
  list(namespace: string): readonly ApiObject[];
  get(namespace: string, name: string): ApiObject | undefined;
}

/** Upstream's `--metric-resolution`; a node that is new is asked again sooner, because one reading is none. */
const resolutionMs = 15_000;
const firstPauseMs = 3_000;
const askTimeoutMs = 10_000;
/** What a node last said is no longer true after so many misses (upstream: two readings are kept). */
const staleMs = 3 * resolutionMs;
/** The window of a pretended measurement. */
const hollowWindowMs = resolutionMs;

interface NodeState {
  before: Reading | undefined;
  last: Reading | undefined;
  lastMs: number;
  /** In a row. */
  failures: number;
  cancel: () => void;
}

export function openMetricsServer(options: {
  /** Acts as `metricsServerAccount`. */
  readonly client: Client;
  readonly informers: Informers;
  readonly clock: Clock;
  readonly log: Log;
}): MetricsServer {
  const { client, informers, clock, log } = options;
  const lifetime = new Lifetime();
  const nodes = informers.of(Node);
  const pods = informers.of(Pod);
  const byNode = pods.index('node', pod => [pod.spec?.nodeName ?? '']);
  const states = new Map<string, NodeState>();

  const ask = async (name: string, state: NodeState) => {
    try {
      const text = await within(clock, askTimeoutMs, lifetime.signal, limited =>
        client.raw(`/api/v1/nodes/${encodeURIComponent(name)}/proxy/metrics/resource`, { signal: limited }),
      );
      state.before = state.last;
      state.last = readingOf(text, clock.now());
      state.lastMs = clock.monotonic();
      state.failures = 0;
    } catch (error) {
      if (lifetime.signal.aborted) return;
      state.failures++;
      log.debug('cannot read the metrics of a node', { node: name, error });
    }
    if (states.get(name) !== state || lifetime.signal.aborted) return;
    // A node that does not answer is not worth more than one that does.
    const pauseMs = state.before ? resolutionMs : Math.min(resolutionMs, firstPauseMs * 2 ** state.failures);
    state.cancel = clock.after(pauseMs, () => void ask(name, state));
  };
  const follow = (node: Node) => {
    const { name = '' } = node.metadata;
    if (isHollow(node) || states.has(name)) return;
    const state: NodeState = { before: undefined, last: undefined, lastMs: 0, failures: 0, cancel: () => {} };
    states.set(name, state);
    void ask(name, state);
  };
  const leave = ({ metadata: { name = '' } }: Node) => {
    states.get(name)?.cancel();
    states.delete(name);
  };

  const current = (name: string) => {
    const state = states.get(name);
    return state?.last && clock.monotonic() - state.lastMs <= staleMs ? state : undefined;
  };
  const podUsage = (pod: Pod): PodUsage | undefined => {
    const { name = '', namespace = '' } = pod.metadata;
    const nodeName = pod.spec?.nodeName ?? '';
    if (pod.status?.phase !== 'Running') return undefined;
    const node = nodes.get(nodeName);
    if (node && isHollow(node)) {
      const atMs = clock.now();
      return (pod.spec?.containers ?? []).map(container => ({
        name: container.name,
        usage: { atMs, windowMs: hollowWindowMs, ...hollowUsage(pod, container) },
      }));
    }
    const state = current(nodeName);
    const running = (pod.status.containerStatuses ?? []).filter(each => each.state?.running).map(each => each.name);
    const sidecars = (pod.status.initContainerStatuses ?? []).filter(each => each.state?.running);
    const containers = [...running, ...sidecars.map(each => each.name)].map(container => {
      const key = `${namespace}/${name}/${container}`;
      return {
        name: container,
        usage: usageBetween(state?.before?.containers.get(key), state?.last?.containers.get(key)),
      };
    });
    // Half a pod would look like a pod at rest.
    const measured = containers.filter((each): each is PodUsage[number] => each.usage !== undefined);
    return measured.length > 0 && measured.length === containers.length ? measured : undefined;
  };
  const podMetrics = (pod: Pod): ApiObject | undefined => {
    const usage = podUsage(pod);
    if (!usage) return undefined;
    const { name = '', namespace = '', labels } = pod.metadata;
    const metrics: PodMetrics = {
      apiVersion: 'metrics.k8s.io/v1beta1',
      kind: 'PodMetrics',
      metadata: {
        name,
        namespace,
        ...(labels && { labels }),
        creationTimestamp: formatTime(clock.now()),
      } as PodMetrics['metadata'],
      ...momentOf(usage.map(each => each.usage)),
      containers: usage.map(each => ({ name: each.name, usage: quantitiesOf(each.usage) })),
    };
    return metrics;
  };
  const nodeUsage = (node: Node): Usage | undefined => {
    const { name = '' } = node.metadata;
    if (!isHollow(node)) {
      const state = current(name);
      return usageBetween(state?.before?.node, state?.last?.node);
    }
    let { cpuCores, memoryBytes } = hollowNodeUsage;
    for (const pod of byNode.get(name).values())
      for (const { usage } of podUsage(pod) ?? []) {
        cpuCores += usage.cpuCores;
        memoryBytes += usage.memoryBytes;
      }
    return { atMs: clock.now(), windowMs: hollowWindowMs, cpuCores, memoryBytes };
  };
  const nodeMetrics = (node: Node): ApiObject | undefined => {
    const usage = nodeUsage(node);
    if (!usage) return undefined;
    const { name = '', labels } = node.metadata;
    const metrics: NodeMetrics = {
      apiVersion: 'metrics.k8s.io/v1beta1',
      kind: 'NodeMetrics',
      metadata: {
        name,
        ...(labels && { labels }),
        creationTimestamp: formatTime(clock.now()),
      } as NodeMetrics['metadata'],
      ...momentOf([usage]),
      usage: quantitiesOf(usage),
    };
    return metrics;
  };

  return {
    resources: [
      {
        kind: NodeMetrics as unknown as Kind,
        list: () => [...nodes.objects.values()].flatMap(each => nodeMetrics(each) ?? []),
        get(_namespace, name) {
          const node = nodes.get(name);
          return node && nodeMetrics(node);
        },
      },
      {
        kind: PodMetrics as unknown as Kind,
        list(namespace) {
          const there = namespace === '' ? pods.objects : pods.inNamespace(namespace);
          return [...there.values()].flatMap(each => podMetrics(each) ?? []);
        },
        get(namespace, name) {
          const pod = pods.get(name, namespace);
          return pod && podMetrics(pod);
        },
      },
    ],
    apiService: { group: 'metrics.k8s.io', version: 'v1beta1', groupPriorityMinimum: 100, versionPriority: 100 },
    start() {
      lifetime.defer(nodes.subscribe({ added: follow, updated: follow, deleted: leave }));
      lifetime.defer(() => {
        for (const { cancel } of states.values()) cancel();
      });
    },
    [Symbol.asyncDispose]: () => lifetime[Symbol.asyncDispose](),
  };
}

type PodUsage = readonly { readonly name: string; readonly usage: Usage }[];

/** Whoever may look at a namespace may look at what its pods use. */
const readers = {
  metadata: {
    name: 'system:aggregated-metrics-reader',
    labels: {
      'k8s-app': 'metrics-server',
      'rbac.authorization.k8s.io/aggregate-to-admin': 'true',
      'rbac.authorization.k8s.io/aggregate-to-edit': 'true',
      'rbac.authorization.k8s.io/aggregate-to-view': 'true',
    },
  },
  rules: [{ apiGroups: ['metrics.k8s.io'], resources: ['pods', 'nodes'], verbs: ['get', 'list', 'watch'] }],
};

/** The service account that it acts as, in kube-system. */
export const metricsServerAccount = 'metrics-server';

const own = {
  metadata: { name: 'system:metrics-server', labels: { 'k8s-app': 'metrics-server' } },
  rules: [{ apiGroups: [''], resources: ['nodes/metrics', 'nodes/proxy'], verbs: ['get'] }],
};

const ownBinding = {
  metadata: { name: 'system:metrics-server', labels: { 'k8s-app': 'metrics-server' } },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'system:metrics-server' },
  subjects: [{ kind: 'ServiceAccount', name: metricsServerAccount, namespace: 'kube-system' }],
};

/** The roles that the readers, and it itself, need. */
export const metricsServerPolicy = { clusterRoles: [readers, own], clusterRoleBindings: [ownBinding] };

/** The oldest moment and the longest window of all that was measured together. */
function momentOf(usages: readonly Usage[]) {
  const atMs = Math.min(...usages.map(each => each.atMs));
  const windowMs = Math.max(...usages.map(each => each.windowMs));
  return { timestamp: formatTime(atMs), window: formatGoDuration(Math.round(windowMs)) };
}

function quantitiesOf({ cpuCores, memoryBytes }: Usage) {
  return {
    cpu: formatQuantity({ nano: BigInt(Math.max(0, Math.round(cpuCores * 1e9))), format: 'decimal' }),
    memory: formatQuantity({ nano: BigInt(Math.round(memoryBytes)) * 1_000_000_000n, format: 'binary' }),
  };
}

async function within<Value>(
  clock: Clock,
  timeoutMs: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<Value>,
): Promise<Value> {
  const late = new AbortController();
  const cancel = clock.after(timeoutMs, () => late.abort(new Error('the time is up')));
  try {
    return await work(AbortSignal.any([signal, late.signal]));
  } finally {
    cancel();
  }
}
