import type { Random } from '#base/random.ts';
import { DaemonSet } from '#api/apps/v1/daemon-set.ts';
import { Deployment } from '#api/apps/v1/deployment.ts';
import { StatefulSet } from '#api/apps/v1/stateful-set.ts';
import { Job } from '#api/batch/v1/job.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ResourceQuota } from '#api/core/v1/resource-quota.ts';
import { Service } from '#api/core/v1/service.ts';
import { isReason } from '#api/machinery/errors.ts';
import { resourceNameOf, type ApiObject, type Kind } from '#api/machinery/kind.ts';
import { PodDisruptionBudget } from '#api/policy/v1/pod-disruption-budget.ts';
import { between, happens, pick } from './chance.ts';
import { messageOf, type SimulatedCluster } from './cluster.ts';
import { specimenOf, specimens, storedKinds } from './specimens.ts';

/** A write that the user was told is done. */
export interface Acknowledged {
  readonly resource: string;
  readonly key: string;
  readonly revision: number;
}

const namespacesMax = 4;
const workloadsMax = 5;
/** Of one kind. */
const specimensMax = 3;
const specimenName = /specimen-|^192\.0\.2\./;
const propagations = ['Foreground', 'Background', 'Orphan'] as const;

/** What users do, drawn by chance: always valid, often at a bad moment. */
export class Workload {
  readonly acknowledged: Acknowledged[] = [];
  readonly #cluster: SimulatedCluster;
  readonly #random: Random;
  #count = 0;
  #underWay = 0;
  #stopped = false;

  constructor(cluster: SimulatedCluster, random: Random) {
    this.#cluster = cluster;
    this.#random = random;
  }

  /** Requests of the user without an answer yet. */
  get underWay(): number {
    return this.#underWay;
  }

  /** One action about every `everyMs`, until it is stopped. */
  start(everyMs: number): void {
    this.#cluster.time.after(this.#random.next() * 2 * everyMs, () => {
      if (this.#stopped) return;
      this.act();
      this.start(everyMs);
    });
  }

  stop(): void {
    this.#stopped = true;
  }

  /** One action; several may be under way at a time. */
  act(): void {
    const action = this.#choose();
    this.#underWay++;
    action()
      .catch((error: unknown) => this.#cluster.history.note(`user: ${messageOf(error)}`))
      .finally(() => {
        this.#underWay--;
      });
  }

  /** Gives nodes back what was taken from them, until that is done. */
  async restoreNodes(): Promise<void> {
    for (const name of this.#cluster.nodeNames)
      await this.#insist(() =>
        this.#do('restore', Node, name, () =>
          this.#cluster.user.patch(Node, name, {
            type: 'json',
            operations: [
              { op: 'add', path: '/spec/unschedulable', value: false },
              {
                op: 'add',
                path: '/spec/taints',
                value: this.#taintsOf(name).filter(
                  ({ key }) => key !== taintKey && key !== 'node.kubernetes.io/unschedulable',
                ),
              },
            ],
          }),
        ),
      );
  }

  #taintsOf(name: string) {
    return this.#cluster.history.of<Node>('nodes').get(name)?.spec?.taints ?? [];
  }

  async #insist(run: () => Promise<unknown>): Promise<void> {
    while (true) {
      try {
        await run();
        return;
      } catch (error) {
        this.#cluster.history.note(`user again: ${messageOf(error)}`);
        await this.#cluster.time.sleep(2_000);
      }
    }
  }

  #choose(): () => Promise<unknown> {
    const random = this.#random;
    const namespaces = this.#namespaces();
    const namespace = pick(random, namespaces);
    if (namespace === undefined || (namespaces.length < namespacesMax && happens(random, 0.1)))
      return () => this.#createNamespace();
    if (happens(random, 0.25)) return () => this.#anything(namespace);
    const workloads = this.#workloadsIn(namespace);
    const choice = random.next();
    if (workloads.length < workloadsMax && choice < 0.3) return () => this.#createWorkload(namespace);
    if (choice < 0.4) return () => this.#createPolicy(namespace);
    if (choice < 0.42 && namespaces.length > 1) return () => this.#delete(Namespace, '', namespace);
    if (choice < 0.55) return () => this.#scale(namespace);
    if (choice < 0.68) return () => this.#rollOut(namespace);
    if (choice < 0.75) return () => this.#deleteWorkload(namespace);
    if (choice < 0.82) return () => this.#deletePod(namespace);
    if (choice < 0.9) return () => this.#evict(namespace);
    if (choice < 0.95) return () => this.#configure(namespace);
    if (choice < 0.97) return () => this.#drain();
    return () => this.#taint();
  }

  /** Something of any kind: makes one, changes one, or takes one away. */
  async #anything(namespace: string): Promise<unknown> {
    const random = this.#random;
    const { user, history } = this.#cluster;
    const resource = pick(random, Object.keys(specimens)) ?? '';
    const kind = storedKinds.get(resource);
    if (!kind) throw new Error(`cannot make an object: nobody serves ${resource}`);
    const where = kind.namespaced ? { namespace } : {};
    const there = [...history.of<ApiObject>(resource).values()].filter(
      ({ metadata }) =>
        specimenName.test(metadata.name ?? '') &&
        metadata.deletionTimestamp === undefined &&
        (!kind.namespaced || metadata.namespace === namespace),
    );
    const target = pick(random, there);
    if (target && (there.length >= specimensMax || happens(random, 0.3)))
      return this.#delete(kind, kind.namespaced ? namespace : '', target.metadata.name ?? '');
    if (target && happens(random, 0.4)) {
      const { name = '' } = target.metadata;
      const patch = { metadata: { labels: { changed: String(between(random, 0, 99)) } } };
      return this.#do('label', kind, name, () => user.patch(kind, name, { type: 'merge', patch }, where));
    }
    const { plain, adorned } = specimenOf(kind, `specimen-${this.#count++}`, namespace, random);
    const make = (object: ApiObject) =>
      this.#do('create', kind, plain.metadata.name ?? '', () => user.create(kind, object, where));
    try {
      return await make(adorned);
    } catch (error) {
      if (!isReason(error, 'Invalid', 'BadRequest')) throw error;
    }
    // What the schema allows is not always valid together; what has to be there always is.
    try {
      return await make(plain);
    } catch (error) {
      if (isReason(error, 'Invalid', 'BadRequest'))
        history.problem(`a valid ${resource} is refused: ${messageOf(error)}`);
      throw error;
    }
  }

  #namespaces(): readonly string[] {
    return [...this.#cluster.history.of<Namespace>('namespaces').values()]
      .filter(({ metadata }) => metadata.name?.startsWith('sim-') && metadata.deletionTimestamp === undefined)
      .map(({ metadata }) => metadata.name ?? '');
  }

  #in<Type extends ApiObject>(kind: Kind<Type>, namespace: string): readonly Type[] {
    return [...this.#cluster.history.of<Type>(resourceNameOf(kind)).values()].filter(
      ({ metadata }) => metadata.namespace === namespace && metadata.deletionTimestamp === undefined,
    );
  }

  #workloadsIn(namespace: string) {
    return [
      ...this.#in(Deployment, namespace).map(object => ({
        kind: Deployment as unknown as Kind,
        object: object as ApiObject,
      })),
      ...this.#in(StatefulSet, namespace).map(object => ({
        kind: StatefulSet as unknown as Kind,
        object: object as ApiObject,
      })),
      ...this.#in(DaemonSet, namespace).map(object => ({
        kind: DaemonSet as unknown as Kind,
        object: object as ApiObject,
      })),
      ...this.#in(Job, namespace).map(object => ({ kind: Job as unknown as Kind, object: object as ApiObject })),
    ];
  }

  /** Runs one write, logs how it ended, and remembers it when it was acknowledged. */
  async #do<Type extends ApiObject>(
    what: string,
    kind: Kind<Type>,
    name: string,
    write: () => Promise<Type>,
  ): Promise<Type> {
    const { history } = this.#cluster;
    const resource = resourceNameOf(kind as unknown as Kind);
    history.note(`user ${what} ${resource} ${name}`);
    const object = await write();
    const { namespace, name: written = '', resourceVersion = '' } = object.metadata;
    const key = namespace ? `${namespace}/${written}` : written;
    const revision = Number(resourceVersion);
    if (revision > 0) {
      this.acknowledged.push({ resource, key, revision });
      if (!history.holds(resource, revision))
        history.problem(`the acknowledged ${what} of ${resource}/${key} at ${revision} did not happen`);
    }
    return object;
  }

  #createNamespace(): Promise<unknown> {
    const name = `sim-${this.#count++}`;
    return this.#do('create', Namespace, name, () => this.#cluster.user.create(Namespace, { metadata: { name } }));
  }

  #createWorkload(namespace: string): Promise<unknown> {
    const random = this.#random;
    const name = `w${this.#count++}`;
    const { user } = this.#cluster;
    const labels = { app: name };
    const selector = { matchLabels: labels };
    const template = templateOf(labels, 'image:1');
    const metadata = { name, namespace };
    const choice = random.next();
    if (choice < 0.4) {
      const replicas = between(random, 0, 6);
      const strategy = happens(random, 0.2)
        ? { type: 'Recreate' as const }
        : {
            type: 'RollingUpdate' as const,
            rollingUpdate: { maxSurge: between(random, 1, 2), maxUnavailable: between(random, 0, 1) },
          };
      return this.#do('create', Deployment, name, () =>
        user.create(Deployment, { metadata, spec: { replicas, selector, template, strategy } }),
      );
    }
    if (choice < 0.65) {
      const replicas = between(random, 0, 4);
      const podManagementPolicy = happens(random, 0.5) ? 'Parallel' : 'OrderedReady';
      return this.#do('create', StatefulSet, name, () =>
        user.create(StatefulSet, {
          metadata,
          spec: { replicas, selector, template, serviceName: name, podManagementPolicy },
        }),
      );
    }
    if (choice < 0.9) {
      const completions = between(random, 1, 6);
      const isIndexed = happens(random, 0.6);
      const spec = {
        completions,
        parallelism: between(random, 1, completions),
        completionMode: isIndexed ? ('Indexed' as const) : ('NonIndexed' as const),
        template: { ...template, spec: { ...template.spec, restartPolicy: 'Never' as const } },
        ...(happens(random, 0.3) && { ttlSecondsAfterFinished: between(random, 0, 120) }),
      };
      return this.#do('create', Job, name, () => user.create(Job, { metadata, spec }));
    }
    return this.#do('create', DaemonSet, name, () =>
      user.create(DaemonSet, { metadata, spec: { selector, template } }),
    );
  }

  #createPolicy(namespace: string): Promise<unknown> {
    const random = this.#random;
    const { user } = this.#cluster;
    const target = pick(random, this.#workloadsIn(namespace))?.object.metadata.name ?? 'nothing';
    const metadata = { name: `p${this.#count++}`, namespace };
    const choice = random.next();
    if (choice < 0.4)
      return this.#do('create', Service, metadata.name, () =>
        user.create(Service, { metadata, spec: { selector: { app: target }, ports: [{ port: 80 }] } }),
      );
    if (choice < 0.75) {
      // A pod of two budgets cannot be evicted at all.
      if (this.#in(PodDisruptionBudget, namespace).some(({ spec }) => spec?.selector?.matchLabels?.app === target))
        return Promise.resolve();
      const spec = {
        selector: { matchLabels: { app: target } },
        ...(happens(random, 0.5) ? { maxUnavailable: between(random, 0, 1) } : { minAvailable: between(random, 1, 3) }),
      };
      return this.#do('create', PodDisruptionBudget, metadata.name, () =>
        user.create(PodDisruptionBudget, { metadata, spec }),
      );
    }
    if (this.#in(ResourceQuota, namespace).length > 0) return Promise.resolve();
    const hard = { pods: String(between(random, 4, 20)), 'count/configmaps': String(between(random, 3, 6)) };
    return this.#do('create', ResourceQuota, metadata.name, () =>
      user.create(ResourceQuota, { metadata, spec: { hard } }),
    );
  }

  #scale(namespace: string): Promise<unknown> {
    const random = this.#random;
    const { user } = this.#cluster;
    const kind = happens(random, 0.6) ? Deployment : StatefulSet;
    const target = pick<ApiObject>(random, this.#in<ApiObject>(kind as unknown as Kind, namespace));
    if (!target) return Promise.resolve();
    const { name = '' } = target.metadata;
    const patch = { spec: { replicas: between(random, 0, 6) } };
    return this.#do(`scale to ${patch.spec.replicas}`, kind as unknown as Kind, name, () =>
      user.patch(kind as unknown as Kind, name, { type: 'merge', patch }, { namespace }),
    );
  }

  /** A new image; by patch, or by a PUT over the version that the user has seen. */
  async #rollOut(namespace: string): Promise<unknown> {
    const random = this.#random;
    const { user } = this.#cluster;
    const target = pick(
      random,
      this.#workloadsIn(namespace).filter(({ kind }) => (kind as unknown) !== Job),
    );
    if (!target) return;
    const { kind, object } = target;
    const { name = '' } = object.metadata;
    const image = `image:${between(random, 1, 9)}`;
    if (happens(random, 0.5)) {
      const patch = { spec: { template: { spec: { containers: [{ name: 'main', image }] } } } };
      return this.#do(`roll out ${image}`, kind, name, () =>
        user.patch(kind, name, { type: 'strategic', patch }, { namespace }),
      );
    }
    const seen = await user.get(kind, name, { namespace });
    await this.#cluster.time.sleep(between(random, 0, 500));
    const { spec } = seen as unknown as { readonly spec: { readonly template: ReturnType<typeof templateOf> } };
    const template = { ...spec.template, spec: { ...spec.template.spec, containers: [{ name: 'main', image }] } };
    return this.#do(`replace ${image}`, kind, name, () =>
      user.update(kind, { ...seen, spec: { ...spec, template } } as ApiObject, { namespace }),
    );
  }

  #delete<Type extends ApiObject>(kind: Kind<Type>, namespace: string, name: string): Promise<unknown> {
    const propagationPolicy = pick(this.#random, propagations) ?? 'Background';
    const { history, user } = this.#cluster;
    history.note(`user delete ${resourceNameOf(kind as unknown as Kind)} ${name} ${propagationPolicy}`);
    return user.delete(kind, name, { ...(namespace !== '' && { namespace }), propagationPolicy });
  }

  #deleteWorkload(namespace: string): Promise<unknown> {
    const target = pick(this.#random, this.#workloadsIn(namespace));
    if (!target) return Promise.resolve();
    return this.#delete(target.kind, namespace, target.object.metadata.name ?? '');
  }

  #deletePod(namespace: string): Promise<unknown> {
    const pod = pick(this.#random, this.#in(Pod, namespace));
    if (!pod) return Promise.resolve();
    return this.#delete(Pod, namespace, pod.metadata.name ?? '');
  }

  async #evict(namespace: string): Promise<void> {
    const pod = pick(this.#random, this.#in(Pod, namespace));
    if (pod) await this.#evictPod(pod);
  }

  async #evictPod({ metadata: { name = '', namespace = '' } }: Pod): Promise<void> {
    const { history, user } = this.#cluster;
    history.note(`user evict ${namespace}/${name}`);
    const body = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace } };
    await user.createSubresource(Pod, name, 'eviction', body, { namespace });
  }

  async #configure(namespace: string): Promise<unknown> {
    const random = this.#random;
    const { user } = this.#cluster;
    const known = this.#in(ConfigMap, namespace).filter(({ metadata }) => metadata.name?.startsWith('c'));
    const target = pick(random, known);
    if (target && happens(random, 0.2)) return this.#delete(ConfigMap, namespace, target.metadata.name ?? '');
    if (target && happens(random, 0.5)) {
      const { name = '' } = target.metadata;
      const patch = { data: { value: String(between(random, 0, 1000)) } };
      const changed = await this.#do('change', ConfigMap, name, () =>
        user.patch(ConfigMap, name, { type: 'merge', patch }, { namespace }),
      );
      if (changed.data?.value !== patch.data.value)
        this.#cluster.history.problem(`the acknowledged change of ${namespace}/${name} is not in the answer`);
      return changed;
    }
    const metadata = { name: `c${this.#count++}`, namespace };
    return this.#do('create', ConfigMap, metadata.name, () => user.create(ConfigMap, { metadata, data: {} }));
  }

  async #drain(): Promise<void> {
    const { history, user, nodeNames, time } = this.#cluster;
    const name = pick(this.#random, nodeNames) ?? '';
    const cordon = (unschedulable: boolean) =>
      this.#do(unschedulable ? 'drain' : 'uncordon', Node, name, () =>
        user.patch(Node, name, { type: 'merge', patch: { spec: { unschedulable } } }),
      );
    await cordon(true);
    for (const pod of [...history.of<Pod>('pods').values()].filter(({ spec }) => spec?.nodeName === name))
      await this.#evictPod(pod).catch((error: unknown) => {
        if (!isReason(error, 'TooManyRequests', 'NotFound')) throw error;
      });
    await time.sleep(30_000);
    await cordon(false);
  }

  async #taint(): Promise<void> {
    const { user, nodeNames, time } = this.#cluster;
    const name = pick(this.#random, nodeNames) ?? '';
    const effect = pick(this.#random, ['NoSchedule', 'NoExecute'] as const) ?? 'NoSchedule';
    const write = (taints: readonly unknown[]) =>
      this.#do('taint', Node, name, () => user.patch(Node, name, { type: 'strategic', patch: { spec: { taints } } }));
    await write([{ key: taintKey, value: 'yes', effect }]);
    await time.sleep(20_000);
    await write([{ $patch: 'delete', key: taintKey, effect }]);
  }
}

const taintKey = 'simulated';

function templateOf(labels: Readonly<Record<string, string>>, image: string) {
  return {
    metadata: { labels },
    spec: {
      containers: [{ name: 'main', image, resources: { requests: { cpu: '100m', memory: '64Mi' } } }],
      terminationGracePeriodSeconds: 5,
    },
  };
}
