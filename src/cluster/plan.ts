import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { systemRandom } from '#base/random.ts';
import { ApiError, isReason } from '#api/machinery/errors.ts';
import { apiVersionOf, type ApiObject, type Kind } from '#api/machinery/kind.ts';
import type { LabelSelector } from '#api/meta/v1/label-selector.ts';
import { decodeYamlDocuments } from '#api/machinery/yaml.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ResourceQuota } from '#api/core/v1/resource-quota.ts';
import { milliValue, wholeValue } from '#api/machinery/quantity.ts';
import type { Client } from '#client/client.ts';
import { discover } from '#client/discovery.ts';
import { defaultConfiguration, type SchedulerConfiguration } from '#scheduler/configuration.ts';
import { SchedulingCycle } from '#scheduler/cycle.ts';
import { explainPod } from '#scheduler/explain/explain-pod.ts';
import { listAll, readSnapshot, type Snapshot } from '#scheduler/explain/snapshot.ts';
import { amountText, podInfo, type PodInfo } from '#scheduler/pod-info.ts';
import type { Flags } from './commands.ts';
import type { Reference } from './explain-object.ts';
import { clientFrom, configurationFrom, namespaceFrom, podOf, Unexplained } from './explain.ts';

/** What would come of one manifest. */
export interface PlannedObject {
  readonly object: Reference;
  readonly outcome: 'create' | 'change' | 'unchanged' | 'refused' | 'unknown';
  /** `spec.replicas: 1 → 3`. */
  readonly changes: readonly string[];
  /** Why it is refused, or cannot be judged. */
  readonly why?: string;
  /** How many running pods are replaced because their template changes. */
  readonly restarts?: number;
  readonly pods?: PlannedPods;
}

/** Where the pods of a manifest would go once everything has settled. */
export interface PlannedPods {
  readonly wanted: number;
  /** Node → number of its new pods. */
  readonly nodes: Readonly<Record<string, number>>;
  /** Why the others go nowhere, with their number. */
  readonly nowhere: Readonly<Record<string, number>>;
  /** What would help the first of those. */
  readonly advice: readonly string[];
  /** Pods that would have to make room. */
  readonly preempted: readonly string[];
}

export interface Plan {
  readonly objects: readonly PlannedObject[];
}

interface Manifest extends ApiObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly items?: readonly Manifest[];
  readonly spec?: Readonly<Record<string, unknown>>;
}

const manager = 'windlass-plan';
/** Pods beyond this number of one workload are not placed one by one. */
const podsMax = 10_000;

/** `windlass plan -f DIR`: 0 when everything would come to run, 1 when something would not, 2 for wrong words. */
export async function plan(flags: Flags): Promise<number> {
  const files = flags.texts('filename');
  if (files.length === 0) {
    process.stderr.write('windlass: --filename is missing: `windlass plan -f DIR`.\n');
    return 2;
  }
  try {
    const manifests = files.flatMap(manifestsAt);
    await using client = await clientFrom(flags);
    const made = await planFor(client, manifests, await namespaceFrom(flags), configurationFrom(flags));
    process.stdout.write(flags.text('output') === 'json' ? `${JSON.stringify(made, null, 2)}\n` : planText(made));
    return made.objects.some(fails) ? 1 : 0;
  } catch (error) {
    if (!(error instanceof Unexplained || error instanceof ApiError)) throw error;
    process.stderr.write(`windlass: ${error.message.replace(/\.$/, '')}.\n`);
    return 1;
  }
}

function fails({ outcome, pods }: PlannedObject): boolean {
  return outcome === 'refused' || Object.keys(pods?.nowhere ?? {}).length > 0;
}

/** All manifests of a file or of the files of a folder, in the order of their names. */
export function manifestsAt(path: string): readonly Manifest[] {
  let files: readonly string[];
  try {
    files =
      path !== '-' && statSync(path).isDirectory()
        ? readdirSync(path, { recursive: true, encoding: 'utf8' })
            .filter(name => /\.(ya?ml|json)$/.test(name))
            .toSorted()
            .map(name => join(path, name))
        : [path];
    return files.flatMap(file => {
      const text = readFileSync(file === '-' ? 0 : file, 'utf8');
      return decodeYamlDocuments(text).flatMap(each => expanded(each, file));
    });
  } catch (error) {
    if (error instanceof Unexplained) throw error;
    throw new Unexplained(`cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function expanded(document: unknown, file: string): readonly Manifest[] {
  if (document === null) return [];
  const manifest = document as Manifest;
  if (typeof document !== 'object' || !manifest.apiVersion || !manifest.kind)
    throw new Unexplained(`cannot read ${file}: an object has no apiVersion or kind`);
  if (manifest.items && manifest.kind.endsWith('List')) return manifest.items.flatMap(each => expanded(each, file));
  return [manifest];
}

/** Asks the server by dry runs what it would make of each manifest, and the scheduler's plugins where its pods would go. */
export async function planFor(
  client: Client,
  manifests: readonly Manifest[],
  namespace: string,
  configuration: SchedulerConfiguration = defaultConfiguration,
): Promise<Plan> {
  const { kinds } = await discover(client);
  const snapshot = await readSnapshot(client);
  const room = new Room(snapshot, await listAll(client, ResourceQuota), configuration);
  const made = new Set(manifests.filter(each => each.kind === 'Namespace').map(each => each.metadata.name ?? ''));
  const definitions = new Set(
    manifests
      .filter(each => each.kind === 'CustomResourceDefinition')
      .map(each => {
        const { group, names } = each.spec as { readonly group?: string; readonly names?: { readonly kind?: string } };
        return `${group}/${names?.kind}`;
      }),
  );
  const objects: PlannedObject[] = [];
  for (const manifest of manifests) {
    const kind = kinds.find(each => each.kind === manifest.kind && apiVersionOf(each) === manifest.apiVersion);
    const own = manifest.metadata?.namespace ?? namespace;
    const object = {
      kind: manifest.kind,
      ...(kind?.namespaced !== false && { namespace: own }),
      name: manifest.metadata?.name ?? manifest.metadata?.generateName ?? '',
    };
    if (!kind) {
      const group = manifest.apiVersion.split('/')[0] ?? '';
      objects.push(
        definitions.has(`${group}/${manifest.kind}`)
          ? { object, outcome: 'unknown', changes: [], why: 'its kind is defined by this plan' }
          : {
              object,
              outcome: 'refused',
              changes: [],
              why: `no matches for kind "${manifest.kind}" in version "${manifest.apiVersion}"`,
            },
      );
      continue;
    }
    const outcome = await outcomeOf(client, kind, manifest, kind.namespaced ? own : undefined, made);
    const planned = { object, ...outcome };
    objects.push(
      planned.outcome === 'refused' || planned.outcome === 'unchanged'
        ? planned
        : { ...planned, ...(await podsFor(client, room, manifest, planned, own, made)) },
    );
  }
  return { objects };
}

type Outcome = Pick<PlannedObject, 'outcome' | 'changes' | 'why'>;

async function outcomeOf(
  client: Client,
  kind: Kind,
  manifest: Manifest,
  namespace: string | undefined,
  made: ReadonlySet<string>,
): Promise<Outcome> {
  const where = namespace === undefined ? {} : { namespace };
  const options = { ...where, dryRun: true, fieldManager: manager };
  const { name } = manifest.metadata;
  const draft = namespace === undefined ? manifest : { ...manifest, metadata: { ...manifest.metadata, namespace } };
  try {
    const before = name === undefined ? undefined : await existing(client, kind, name, where);
    if (!before) {
      await client.create(kind, draft as ApiObject, options);
      return { outcome: 'create', changes: [] };
    }
    const patch = { type: 'apply', object: draft } as const;
    const after = await client.patch(kind, name ?? '', patch, { ...options, force: true });
    const changes = differences(stripped(before), stripped(after));
    return { outcome: changes.length > 0 ? 'change' : 'unchanged', changes };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (isReason(error, 'NotFound') && namespace !== undefined && made.has(namespace))
      return {
        outcome: 'create',
        changes: [],
        why: `not asked of the server: namespace ${namespace} is made by this plan`,
      };
    return { outcome: 'refused', changes: [], why: error.message };
  }
}

async function existing(
  client: Client,
  kind: Kind,
  name: string,
  where: { readonly namespace?: string },
): Promise<ApiObject | undefined> {
  try {
    return await client.get(kind, name, where);
  } catch (error) {
    if (isReason(error, 'NotFound')) return undefined;
    throw error;
  }
}

/** Without what the server keeps for itself. */
function stripped(object: ApiObject): unknown {
  const { managedFields: _, resourceVersion: __, generation: ___, ...metadata } = object.metadata;
  const { status: ____, ...rest } = object as ApiObject & { readonly status?: unknown };
  return { ...rest, metadata };
}

function differences(before: unknown, after: unknown, path = ''): readonly string[] {
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  if (isObject(before) && isObject(after)) {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...keys].toSorted().flatMap(key => {
      const [left, right] = [before, after].map(each => (Object.hasOwn(each, key) ? each[key] : undefined));
      const step = Array.isArray(after) ? `[${key}]` : path === '' ? key : `.${key}`;
      return differences(left, right, `${path}${step}`);
    });
  }
  return [`${path}: ${shown(before)} → ${shown(after)}`];
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function shown(value: unknown): string {
  if (value === undefined) return 'absent';
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

/** What of a plan concerns the pods of a workload. */
async function podsFor(
  client: Client,
  room: Room,
  manifest: Manifest,
  { outcome, changes }: Outcome,
  namespace: string,
  made: ReadonlySet<string>,
): Promise<Pick<PlannedObject, 'pods' | 'restarts' | 'outcome' | 'why'> | undefined> {
  const wanted = podsWanted(manifest);
  if (wanted === undefined || (manifest.kind === 'Pod' && outcome === 'change')) return undefined;
  const template = changes.some(each => each.startsWith('spec.template.') || each.startsWith('spec.jobTemplate.'));
  const running = outcome === 'create' ? [] : room.podsOf(manifest, namespace);
  if (outcome === 'change' && !template && !changes.some(each => each.startsWith('spec.replicas'))) return undefined;
  let pod = podOf({ ...manifest, metadata: { ...manifest.metadata, namespace } });
  try {
    // What admission makes of it: priority, limits, tolerations.
    if (!made.has(namespace)) pod = await client.create(Pod, nameless(pod), { namespace, dryRun: true });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return { outcome: 'refused', why: `its pods: ${error.message}` };
  }
  if (template) room.free(running);
  const missing = template ? wanted : wanted === 'everywhere' ? wanted : Math.max(0, wanted - running.length);
  if (!template && wanted !== 'everywhere') room.free(running.slice(wanted));
  return {
    outcome,
    ...(template && running.length > 0 && { restarts: running.length }),
    pods: room.spreading(manifest, () => room.place(pod, namespace, manifest.metadata.name ?? '', missing)),
  };
}

function nameless(pod: Pod): Pod {
  const { name, ...metadata } = pod.metadata;
  return name === undefined ? pod : { ...pod, metadata: { ...metadata, generateName: `${name}-` } };
}

/** How many pods a manifest asks for; `undefined` when it is no workload. */
function podsWanted({ kind, apiVersion, spec = {} }: Manifest): number | 'everywhere' | undefined {
  const number = (name: string) => (typeof spec[name] === 'number' ? spec[name] : 1);
  switch (`${apiVersion}/${kind}`) {
    case 'v1/Pod':
      return 1;
    case 'apps/v1/Deployment':
    case 'apps/v1/ReplicaSet':
    case 'apps/v1/StatefulSet':
    case 'v1/ReplicationController':
      return number('replicas');
    case 'batch/v1/Job':
      return spec['suspend'] === true ? 0 : number('parallelism');
    case 'apps/v1/DaemonSet':
      return 'everywhere';
    default:
      return undefined;
  }
}

/** The nodes with what is on them, filled by the plan as it goes. */
class Room {
  readonly #snapshot: Snapshot;
  readonly #configuration: SchedulerConfiguration;
  readonly #quotas: Quotas;
  readonly #cycles = new Map<string, SchedulingCycle>();
  #placed = 0;

  constructor(snapshot: Snapshot, quotas: readonly ResourceQuota[], configuration: SchedulerConfiguration) {
    this.#snapshot = snapshot;
    this.#quotas = new Quotas(quotas);
    this.#configuration = configuration;
  }

  /** The running pods of a workload: by the names that its controllers give them. */
  podsOf({ kind, metadata }: Manifest, namespace: string): readonly PodInfo[] {
    const sets = kind === 'Deployment' ? new RegExp(`^${escaped(metadata.name ?? '')}-[a-z0-9]+$`) : undefined;
    const owned = this.#snapshot.pods.filter(pod => {
      if (pod.metadata.namespace !== namespace || !pod.spec.nodeName) return false;
      const owner = pod.metadata.ownerReferences?.find(each => each.controller === true);
      if (!owner) return false;
      return sets
        ? owner.kind === 'ReplicaSet' && sets.test(owner.name)
        : owner.kind === kind && owner.name === metadata.name;
    });
    return owned.map(podInfo);
  }

  free(pods: readonly PodInfo[]): void {
    for (const pod of pods) {
      this.#snapshot.cluster.removePod(pod.key);
      this.#quotas.count(pod, pod.pod.metadata.namespace ?? '', -1);
    }
  }

  /** Pods of a plan have no owner yet; by default they are spread like those of their workload all the same. */
  spreading<Result>({ kind, spec = {} }: Manifest, work: () => Result): Result {
    const { cluster } = this.#snapshot;
    const { workloads } = cluster;
    const spreads = ['Deployment', 'ReplicaSet', 'StatefulSet', 'ReplicationController'].includes(kind);
    const selector =
      kind === 'ReplicationController' && spec['selector']
        ? { matchLabels: spec['selector'] as Readonly<Record<string, string>> }
        : (spec['selector'] as LabelSelector | undefined);
    if (spreads && selector) cluster.workloads = { selectorOf: () => selector };
    try {
      return work();
    } finally {
      cluster.workloads = workloads;
    }
  }

  place(pod: Pod, namespace: string, name: string, count: number | 'everywhere'): PlannedPods {
    const { cluster, budgets } = this.#snapshot;
    const { profiles } = this.#configuration;
    const profile = profiles.find(each => each.schedulerName === pod.spec.schedulerName) ?? profiles[0];
    if (!profile) throw new Unexplained('the scheduler has no profile');
    const cycle =
      this.#cycles.get(profile.schedulerName) ??
      new SchedulingCycle(profile.plugins, profile.clusterPlugins, cluster, systemRandom);
    this.#cycles.set(profile.schedulerName, cycle);
    const nodes: Record<string, number> = Object.create(null) as Record<string, number>;
    const nowhere: Record<string, number> = Object.create(null) as Record<string, number>;
    const preempted: string[] = [];
    let advice: readonly string[] = [];
    const infoOf = () => {
      const metadata = { ...pod.metadata, namespace, name: `${name}-${this.#placed++}` };
      return podInfo({ ...pod, metadata, status: {} } as Pod);
    };
    const put = (info: PodInfo, node: string) => {
      cluster.setPod(info, node);
      this.#quotas.count(info, namespace, 1);
      nodes[node] = (nodes[node] ?? 0) + 1;
    };
    if (count === 'everywhere') {
      const { spec } = pod;
      for (const node of cluster.nodes) {
        const own = infoOf();
        const tolerations = [...(spec.tolerations ?? []), ...daemonTolerations];
        const info = { ...own, pod: { ...own.pod, spec: { ...spec, tolerations } } };
        if (cycle.fits(info, node)) put(info, node.name);
      }
      return { wanted: Object.keys(nodes).length, nodes, nowhere, advice, preempted };
    }
    for (let index = 0; index < Math.min(count, podsMax); index++) {
      const info = infoOf();
      const excess = this.#quotas.excess(info, namespace);
      if (excess !== undefined) {
        nowhere[excess] = count - index;
        break;
      }
      const { node } = cycle.place(info);
      if (node) {
        put(info, node.name);
        continue;
      }
      const explained = explainPod(info, cluster, profile, budgets);
      if (explained.preemption) {
        for (const victim of explained.preemption.victims) cluster.removePod(victim);
        preempted.push(...explained.preemption.victims);
        put(info, explained.preemption.node);
        continue;
      }
      // All that follow are like this one.
      nowhere[explained.message ?? 'no nodes available to schedule pods'] = count - index;
      advice = explained.advice.map(each => `on ${each.nodes.join(', ')} if ${each.changes.join(', and ')}`);
      break;
    }
    return { wanted: count, nodes, nowhere, advice, preempted };
  }
}

/** What the DaemonSet controller adds to its pods. */
const daemonTolerations = [
  ...['not-ready', 'unreachable'].map(name => [name, 'NoExecute'] as const),
  ...['disk-pressure', 'memory-pressure', 'pid-pressure', 'unschedulable'].map(name => [name, 'NoSchedule'] as const),
].map(([name, effect]) => ({ key: `node.kubernetes.io/${name}`, operator: 'Exists' as const, effect }));

/**
 * The server judges each pod of a dry run alone; together they may be too many. Counts what the scheduler knows of a pod,
 * for quotas without scopes.
 */
class Quotas {
  readonly #quotas: readonly ResourceQuota[];
  /** Beyond what the quota's status says is used: quota → resource → amount. */
  readonly #more = new Map<ResourceQuota, Map<string, number>>();

  constructor(quotas: readonly ResourceQuota[]) {
    this.#quotas = quotas.filter(({ spec }) => !spec.scopes?.length && spec.scopeSelector === undefined);
  }

  /** What one more pod would break, in upstream's words. */
  excess(pod: PodInfo, namespace: string): string | undefined {
    for (const quota of this.#in(namespace)) {
      const broken = amountsOf(pod).flatMap(({ name, amount, parse }) => {
        const hard = quota.status.hard?.[name];
        if (hard === undefined || amount === 0) return [];
        const used = parse(quota.status.used?.[name] ?? '0') + (this.#more.get(quota)?.get(name) ?? 0);
        return used + amount > parse(hard) ? { name, amount, used, hard } : [];
      });
      if (broken.length === 0) continue;
      const said = (of: (each: (typeof broken)[number]) => string) =>
        broken.map(each => `${each.name}=${of(each)}`).join(',');
      const text = ({ name }: { readonly name: string }, amount: number) =>
        amountText(name.replace(/^requests\./, ''), amount);
      return `exceeded quota: ${quota.metadata.name}, requested: ${said(each => text(each, each.amount))}, used: ${said(each => text(each, each.used))}, limited: ${said(each => each.hard)}`;
    }
    return undefined;
  }

  count(pod: PodInfo, namespace: string, sign: 1 | -1): void {
    for (const quota of this.#in(namespace)) {
      const more = this.#more.get(quota) ?? new Map<string, number>();
      this.#more.set(quota, more);
      for (const { name, amount } of amountsOf(pod)) more.set(name, (more.get(name) ?? 0) + sign * amount);
    }
  }

  #in(namespace: string): readonly ResourceQuota[] {
    return this.#quotas.filter(each => each.metadata.namespace === namespace);
  }
}

function amountsOf({ requests }: PodInfo) {
  const cpu = { amount: requests.milliCPU, parse: milliValue };
  const memory = { amount: requests.memoryBytes, parse: wholeValue };
  const one = { amount: 1, parse: wholeValue };
  return [
    { name: 'pods', ...one },
    { name: 'count/pods', ...one },
    { name: 'cpu', ...cpu },
    { name: 'requests.cpu', ...cpu },
    { name: 'memory', ...memory },
    { name: 'requests.memory', ...memory },
  ];
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

const signs = { create: '+', change: '~', unchanged: ' ', refused: '!', unknown: '?' } as const;

export function planText({ objects }: Plan): string {
  const lines: string[] = [];
  const counts = { create: 0, change: 0, unchanged: 0, refused: 0, unknown: 0 };
  for (const { object, outcome, changes, why, restarts, pods } of objects) {
    counts[outcome]++;
    const name = object.namespace === undefined ? object.name : `${object.namespace}/${object.name}`;
    lines.push(`${signs[outcome]} ${object.kind} ${name}${why === undefined ? '' : `: ${why}`}`);
    lines.push(...changes.map(each => `    ${each}`));
    if (restarts !== undefined) lines.push(`    replaces ${restarts} running pod(s)`);
    if (!pods) continue;
    const where = Object.entries(pods.nodes).map(([node, count]) => (count === 1 ? node : `${node} ×${count}`));
    if (where.length > 0) lines.push(`    pods go to ${where.join(', ')}`);
    for (const victim of pods.preempted) lines.push(`    pushes out pod ${victim}`);
    for (const [reason, count] of Object.entries(pods.nowhere)) lines.push(`    ${count} pod(s) go nowhere: ${reason}`);
    for (const each of pods.advice) lines.push(`      fits ${each}`);
  }
  const { create, change, unchanged, refused, unknown } = counts;
  const total = [
    `${create} to create`,
    `${change} to change`,
    `${unchanged} unchanged`,
    ...(refused > 0 ? [`${refused} refused`] : []),
    ...(unknown > 0 ? [`${unknown} unknown`] : []),
  ];
  return `${[...lines, '', total.join(', ')].join('\n')}\n`;
}
