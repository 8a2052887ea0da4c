import { readFileSync } from 'node:fs';
import { systemClock } from '#base/clock.ts';
import { ApiError, isReason } from '#api/machinery/errors.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { decodeYamlDocuments } from '#api/machinery/yaml.ts';
import { Pod } from '#api/core/v1/pod.ts';
import type { Client } from '#client/client.ts';
import { discover } from '#client/discovery.ts';
import { readKubeconfig } from '#client/kubeconfig.ts';
import { explainPod, type PodExplanation } from '#scheduler/explain/explain-pod.ts';
import { listAll, readSnapshot } from '#scheduler/explain/snapshot.ts';
import { podInfo } from '#scheduler/pod-info.ts';
import { defaultConfiguration, type SchedulerConfiguration } from '#scheduler/configuration.ts';
import { httpsClientFor } from './clients.ts';
import type { Flags } from './commands.ts';
import { dataDirFrom, readConfig } from './data-dir.ts';
import { argumentsOf } from './flags/components.ts';
import { schedulerConfigurationOf } from './scheduler-configuration.ts';
import {
  conditionsOf,
  explainDeletion,
  explainStart,
  terminating,
  warningsAbout,
  type Deletion,
  type Reference,
  type Warning,
} from './explain-object.ts';

/** Why one object is as it is. */
export interface ObjectReport {
  readonly object: Reference;
  /** In one sentence. */
  readonly summary: string;
  readonly scheduling?: PodExplanation;
  readonly deletion?: Deletion;
  /** Why it is not ready. */
  readonly notReady: readonly string[];
}

/** What in the cluster waits for something. */
export interface ClusterReport {
  readonly terminating: readonly (Reference & { readonly deletion: Deletion })[];
  readonly pending: readonly (Reference & { readonly why: string })[];
  readonly notReady: readonly (Reference & { readonly why: readonly string[] })[];
  readonly denied: readonly Warning[];
}

/** An answer that is a sentence: the question was wrong, or the API server refuses. */
export class Unexplained extends Error {}

/** How many nodes, candidates and lines are shown as text; JSON has all. */
const linesMax = 20;

/** `windlass explain`: 0 with an explanation, 1 when there is nothing to explain or nobody to ask, 2 for wrong words. */
export async function explain(flags: Flags): Promise<number> {
  const words = flags.words.length === 1 ? (flags.words[0] ?? '').split('/') : flags.words;
  const file = flags.text('filename');
  if (words.length === 1) return say('an argument is missing: `windlass explain KIND NAME`', 2);
  if (words.length > 0 && file !== undefined) return say('either a name or --filename, not both', 2);
  const namespace = await namespaceFrom(flags);
  const json = flags.text('output') === 'json';
  try {
    await using client = await clientFrom(flags);
    const configuration = configurationFrom(flags);
    const [resource = '', name = ''] = words;
    if (words.length === 0 && file === undefined) {
      const report = await explainCluster(client);
      write(json ? report : clusterText(report));
      return 0;
    }
    const report =
      file === undefined
        ? await explainObject(client, { resource, name, namespace }, configuration)
        : await explainManifest(client, readManifest(file), namespace, configuration);
    write(json ? report : objectText(report));
    return 0;
  } catch (error) {
    if (error instanceof Unexplained || error instanceof ApiError) return say(error.message, 1);
    throw error;
  }
}

function say(sentence: string, code: number): number {
  process.stderr.write(`windlass: ${sentence.replace(/\.$/, '')}.\n`);
  return code;
}

function write(answer: unknown): void {
  process.stdout.write(typeof answer === 'string' ? answer : `${JSON.stringify(answer, null, 2)}\n`);
}

/** The cluster of the data directory, or the one of `--kubeconfig`. */
export async function clientFrom(flags: Flags): Promise<Client & AsyncDisposable> {
  const given = flags.text('kubeconfig');
  const dir = dataDirFrom(flags);
  if (given === undefined && !readConfig(dir)) throw new Unexplained(`there is no cluster in ${dir.path}`);
  const client = await httpsClientFor(given ?? dir.kubeconfig, systemClock);
  try {
    await client.raw('/version');
  } catch (error) {
    await client[Symbol.asyncDispose]();
    const why = error instanceof Error ? error.message : String(error);
    throw new Unexplained(`cannot ask ${given === undefined ? `the cluster in ${dir.path}` : given}: ${why}`);
  }
  return client;
}

/** `--namespace`, or the one in which the context of `--kubeconfig` stands. */
export async function namespaceFrom(flags: Flags): Promise<string> {
  const file = flags.text('kubeconfig');
  const given = flags.text('namespace');
  if (given !== undefined || file === undefined) return given ?? 'default';
  return (await readKubeconfig(file)).namespace || 'default';
}

/** As the scheduler of the data directory's cluster has it; of another cluster nobody can know. */
export function configurationFrom(flags: Flags): SchedulerConfiguration {
  if (flags.given('kubeconfig')) return defaultConfiguration;
  return schedulerConfigurationOf(argumentsOf('kube-scheduler', readConfig(dataDirFrom(flags))?.components));
}

function readManifest(file: string): unknown {
  let text: string;
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new Unexplained(`cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  const documents = decodeYamlDocuments(text).filter(each => each !== null);
  if (documents.length !== 1)
    throw new Unexplained(`${file} has ${documents.length} objects, not one; see \`windlass plan\``);
  return documents[0];
}

export async function explainObject(
  client: Client,
  { resource, name, namespace }: { readonly resource: string; readonly name: string; readonly namespace: string },
  configuration: SchedulerConfiguration = defaultConfiguration,
): Promise<ObjectReport> {
  const kind = await kindNamed(client, resource);
  const where = kind.namespaced ? { namespace } : {};
  const known = kind.group === '' && kind.kind === 'Pod' ? (Pod as unknown as Kind) : kind;
  let object: ApiObject;
  try {
    object = await client.get(known, name, where);
  } catch (error) {
    if (!isReason(error, 'NotFound')) throw error;
    const at = kind.namespaced ? ` in namespace ${JSON.stringify(namespace)}` : '';
    throw new Unexplained(`there is no ${kind.singular} ${JSON.stringify(name)}${at}`);
  }
  const reference = { kind: kind.kind, ...where, name };
  const deletion = await explainDeletion(client, kind, object);
  const { uid } = object.metadata;
  const warnings = await warningsAbout(client, {
    ...(kind.namespaced && { namespace }),
    name,
    ...(uid !== undefined && { uid }),
  });
  if (known !== (Pod as unknown as Kind)) {
    const notReady = [...falseConditions(object), ...warningLines(warnings), ...(await belowOf(client, object))];
    return {
      object: reference,
      summary: deletion
        ? `is Terminating since ${deletion.since}`
        : notReady.length > 0
          ? 'has something in its way'
          : 'has nothing in its way',
      ...(deletion && { deletion }),
      notReady,
    };
  }
  const pod = object as Pod;
  const scheduling = await explainScheduling(client, pod, configuration);
  const failures = warnings.filter(each => each.reason !== 'FailedScheduling');
  const notReady = explainStart(pod, failures.slice(-3));
  return {
    object: reference,
    summary: deletion ? `is Terminating since ${deletion.since}` : podSummary(pod, scheduling, notReady, configuration),
    ...(deletion && { deletion }),
    scheduling,
    notReady,
  };
}

/** A dry run: what the API server would make of the manifest, and where its pod would go. */
export async function explainManifest(
  client: Client,
  manifest: unknown,
  namespace: string,
  configuration: SchedulerConfiguration = defaultConfiguration,
): Promise<ObjectReport> {
  const draft = podOf(manifest);
  const { name, generateName, namespace: own = namespace } = draft.metadata;
  let pod: Pod;
  try {
    pod = await client.create(Pod, draft, { namespace: own, dryRun: true });
  } catch (error) {
    if (!isReason(error, 'AlreadyExists')) throw error;
    // Asked as if it were not there: under a name that nobody has.
    const { name: _, ...metadata } = draft.metadata;
    const nameless = { ...draft, metadata: { ...metadata, generateName: `${name ?? generateName}-` } };
    pod = await client.create(Pod, nameless, { namespace: own, dryRun: true });
  }
  const scheduling = await explainScheduling(client, pod, configuration);
  return {
    object: { kind: 'Pod', namespace: own, name: name ?? pod.metadata.name ?? '' },
    summary: scheduling.candidates[0]
      ? `would go to ${scheduling.candidates[0].node}`
      : 'would be admitted, but would not be scheduled',
    scheduling,
    notReady: [],
  };
}

/** The pod of a manifest: itself, or the template of a workload. */
export function podOf(manifest: unknown): Pod {
  const object = manifest as {
    kind?: string;
    metadata?: { name?: string; namespace?: string };
    spec?: { template?: Pod; jobTemplate?: { spec?: { template?: Pod } } };
  } | null;
  if (object?.kind === 'Pod') return { ...(object as unknown as Pod), metadata: object.metadata ?? {} };
  const template = object?.spec?.template ?? object?.spec?.jobTemplate?.spec?.template;
  if (!template?.spec) throw new Unexplained(`${object?.kind ?? 'the manifest'} is no Pod and has no template of one`);
  const { name = 'pod', namespace } = object?.metadata ?? {};
  const metadata = { ...template.metadata, generateName: `${name}-`, ...(namespace && { namespace }) };
  return { apiVersion: 'v1', kind: 'Pod', metadata, spec: template.spec } as unknown as Pod;
}

async function explainScheduling(
  client: Client,
  pod: Pod,
  { profiles }: SchedulerConfiguration,
): Promise<PodExplanation> {
  // A pod of another scheduler is judged as if it were ours.
  const profile = profiles.find(each => each.schedulerName === pod.spec.schedulerName) ?? profiles[0];
  if (!profile) throw new Unexplained('the scheduler has no profile');
  const { cluster, budgets } = await readSnapshot(client);
  const info = podInfo({ ...pod, spec: { ...pod.spec, nodeName: undefined } } as unknown as Pod);
  cluster.removePod(info.key);
  return explainPod(info, cluster, profile, budgets);
}

function podSummary(
  pod: Pod,
  { candidates, message }: PodExplanation,
  notReady: readonly string[],
  { profiles }: SchedulerConfiguration,
): string {
  const { nodeName, schedulingGates = [], schedulerName } = pod.spec;
  if (nodeName) {
    if (pod.status.phase === 'Succeeded') return `has succeeded on ${nodeName}`;
    return notReady.length > 0 ? `is on ${nodeName} and is not ready` : `is on ${nodeName} and is ready`;
  }
  if (schedulingGates.length > 0)
    return `waits until its scheduling gates are removed: ${schedulingGates.map(each => each.name).join(', ')}`;
  if (!profiles.some(each => each.schedulerName === schedulerName))
    return `waits for the scheduler ${JSON.stringify(schedulerName)}`;
  return candidates.length > 0
    ? `waits to be bound, and fits on ${candidates.length} node(s)`
    : `cannot be scheduled: ${message}`;
}

function falseConditions({ status }: ApiObject & { readonly status?: unknown }): readonly string[] {
  const good = new Set(['Available', 'Progressing', 'Ready', 'Established', 'NamesAccepted']);
  const bad = new Set(['ReplicaFailure', 'Failed', 'MemoryPressure', 'DiskPressure', 'PIDPressure']);
  return conditionsOf(status)
    .filter(({ type, status: holds }) => (good.has(type) && holds !== 'True') || (bad.has(type) && holds === 'True'))
    .map(
      ({ type, status: holds, reason, message }) =>
        `${type} is ${holds}${reason ? ` (${reason})` : ''}: ${message ?? ''}`,
    );
}

function warningLines(warnings: readonly Warning[]): readonly string[] {
  return warnings
    .slice(-3)
    .map(({ reason, message, count }) => `${reason}: ${message}${count > 1 ? ` (${count} times)` : ''}`);
}

/** What is wrong with the ReplicaSets, Jobs and pods that an object owns. */
async function belowOf(client: Client, { metadata }: ApiObject): Promise<readonly string[]> {
  const { namespace, uid } = metadata;
  if (namespace === undefined) return [];
  const lines: string[] = [];
  const { kinds } = await discover(client);
  const owned = new Set([uid]);
  for (const plural of ['replicasets', 'jobs', 'pods']) {
    const kind = kinds.find(each => each.plural === plural && ['', 'apps', 'batch'].includes(each.group));
    if (!kind) continue;
    for (const item of (await client.list(kind, { namespace })).items) {
      if (!item.metadata.ownerReferences?.some(owner => owned.has(owner.uid))) continue;
      owned.add(item.metadata.uid);
      const { name = '' } = item.metadata;
      if (plural === 'pods') {
        const pod = item as Pod;
        const scheduled = pod.status.conditions?.find(each => each.type === 'PodScheduled');
        const why = pod.spec.nodeName ? explainStart(pod, [])[0] : (scheduled?.message ?? 'it has no node yet');
        if (why !== undefined) lines.push(`pod ${name}: ${why}`);
        continue;
      }
      const warnings = await warningsAbout(client, {
        namespace,
        name,
        ...(item.metadata.uid && { uid: item.metadata.uid }),
      });
      lines.push(...warningLines(warnings).map(line => `${kind.singular} ${name}: ${line}`));
    }
  }
  return lines;
}

export async function explainCluster(client: Client): Promise<ClusterReport> {
  const [stuck, pods, warnings] = await Promise.all([
    terminating(client),
    listAll(client, Pod),
    warningsAbout(client, {}),
  ]);
  const reference = ({ metadata: { name = '', namespace = '' } }: Pod) => ({ kind: 'Pod', namespace, name });
  const alive = pods.filter(pod => pod.metadata.deletionTimestamp === undefined);
  return {
    terminating: stuck,
    pending: alive
      .filter(({ spec, status }) => !spec.nodeName && status.phase === 'Pending')
      .map(pod => ({
        ...reference(pod),
        why:
          pod.status.conditions?.find(each => each.type === 'PodScheduled')?.message ??
          'the scheduler has not tried yet',
      })),
    notReady: alive.flatMap(pod => {
      const why = explainStart(pod, []);
      return why.length === 0 ? [] : [{ ...reference(pod), why }];
    }),
    denied: warnings.filter(({ reason }) => reason === 'FailedCreate' || reason.startsWith('Forbidden')),
  };
}

async function kindNamed(client: Client, resource: string): Promise<Kind> {
  const wanted = resource.toLowerCase();
  const { kinds } = await discover(client);
  const found = kinds.find(
    ({ plural, singular, shortNames, kind, group }) =>
      [plural, singular, kind.toLowerCase(), ...shortNames].includes(wanted) || `${plural}.${group}` === wanted,
  );
  if (!found) throw new Unexplained(`the server has no resource ${JSON.stringify(resource)}`);
  return found;
}

export function objectText({ object, summary, scheduling, deletion, notReady }: ObjectReport): string {
  const lines = [`${object.kind} ${titleOf(object)} ${summary}`];
  if (deletion) lines.push(...deletionLines(deletion, '  '));
  for (const line of notReady) lines.push(`  ${line}`);
  if (scheduling) lines.push(...schedulingLines(scheduling));
  return `${lines.join('\n')}\n`;
}

function titleOf({ namespace, name }: Reference): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

function deletionLines({ finalizers, waitsFor }: Deletion, indent: string): readonly string[] {
  return [
    ...finalizers.map(
      ({ name, remover, setBy }) =>
        `${indent}finalizer ${name}${setBy === undefined ? '' : ` (set by ${setBy})`} is removed by ${remover}`,
    ),
    ...limited(
      waitsFor.map(each => `${indent}waits for: ${each}`),
      indent,
    ),
  ];
}

function schedulingLines({ candidates, refusals, advice, preemption }: PodExplanation): readonly string[] {
  const lines: string[] = [];
  if (candidates.length > 0) {
    lines.push('', 'nodes that take it, the best first:', ...table(candidates));
  }
  if (refusals.length > 0) {
    lines.push('', 'nodes that refuse it:');
    const rows = refusals.flatMap(({ node, filters }) =>
      filters.map(({ plugin, reasons, details }, index) => {
        const why = details.length > 0 ? details.join('; ') : reasons.join(', ');
        return `  ${index === 0 ? node : ' '.repeat(node.length)}  ${plugin}: ${why}`;
      }),
    );
    lines.push(...limited(rows, '  '));
  }
  if (advice.length > 0) {
    lines.push('', 'it would fit');
    for (const { changes, nodes } of advice) {
      const [first] = nodes;
      const where =
        nodes.length === 1
          ? `on ${first}`
          : `on ${nodes.length} nodes (${nodes.slice(0, 3).join(', ')}${nodes.length > 3 ? ', …' : ''})`;
      lines.push(`  ${where} if ${changes.join(', and ')}`);
    }
  }
  if (preemption)
    lines.push(
      '',
      `it has a higher priority than others: on ${preemption.node} it would push out ${preemption.victims.join(', ')}${preemption.budgetViolations > 0 ? `, breaking ${preemption.budgetViolations} disruption budget(s)` : ''}`,
    );
  return lines;
}

function table(candidates: PodExplanation['candidates']): readonly string[] {
  const plugins = candidates[0]?.scores.map(each => each.plugin) ?? [];
  const heads =
    candidates[0]?.scores.map(each => (each.weight === 1 ? each.plugin : `${each.plugin}×${each.weight}`)) ?? [];
  const rows = [
    ['NODE', 'TOTAL', ...heads],
    ...candidates
      .slice(0, linesMax)
      .map(({ node, total, scores }) => [node, `${total}`, ...plugins.map((_, index) => `${scores[index]?.score}`)]),
  ];
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map(row => (row[column] ?? '').length)));
  const lines = rows.map(
    row =>
      `  ${row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd()}`,
  );
  return candidates.length > linesMax ? [...lines, `  and ${candidates.length - linesMax} more nodes`] : lines;
}

function limited(lines: readonly string[], indent: string): readonly string[] {
  return lines.length <= linesMax
    ? lines
    : [...lines.slice(0, linesMax), `${indent}and ${lines.length - linesMax} more (-o json has all)`];
}

export function clusterText({ terminating: stuck, pending, notReady, denied }: ClusterReport): string {
  const lines: string[] = [];
  const section = (title: string, rows: readonly string[]) => {
    if (rows.length > 0) lines.push(...(lines.length > 0 ? [''] : []), title, ...limited(rows, '  '));
  };
  section(
    'Terminating:',
    stuck.flatMap(each => [
      `  ${each.kind} ${titleOf(each)} since ${each.deletion.since}`,
      ...deletionLines(each.deletion, '    '),
    ]),
  );
  section(
    'without a node (`windlass explain pod NAME` tells more):',
    pending.map(each => `  ${titleOf(each)}: ${each.why}`),
  );
  section(
    'not ready:',
    notReady.flatMap(each => [`  ${titleOf(each)}`, ...each.why.map(why => `    ${why}`)]),
  );
  section(
    'refused:',
    denied.map(each => `  ${each.about.kind} ${titleOf(each.about)}: ${each.message}`),
  );
  return lines.length === 0
    ? 'nothing waits: no pod without a node or not ready, nothing Terminating\n'
    : `${lines.join('\n')}\n`;
}
