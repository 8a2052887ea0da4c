import { isReason } from '#api/machinery/errors.ts';
import { Namespace, type NamespaceCondition } from '#api/core/v1/namespace.ts';
import { Pod } from '#api/core/v1/pod.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { WorkQueue } from '#client/workqueue.ts';
import { withCondition } from '../conditions.ts';
import type { Controller, ControllerEnvironment } from '../controller.ts';
import { openServedKinds, type ServedKinds } from '../meta/kinds.ts';
import { sameApartFromZeros } from '../same.ts';
import { timeText } from '../time.ts';

const workers = 10;
const listPageSize = 500;
/** Pods that shut down are looked after again at this pace, everything else with a finalizer too. */
const lookAgainMs = 1_000;

/**
 * Empties namespaces that are being deleted, and lets them go when they are empty. See docs/adr/0010: what there is to
 * delete has to be asked of the server, kind by kind, so this is no function of watched objects.
 */
export const namespaceController: Controller = {
  name: 'namespace-controller',
  start: environment => new NamespaceController(environment),
};

class NamespaceController implements AsyncDisposable {
  readonly #environment: ControllerEnvironment;
  readonly #served: ServedKinds;
  readonly #queue: WorkQueue<string>;
  readonly #stop = new AbortController();
  readonly #working: Promise<unknown>;
  readonly #unsubscribe: () => void;

  constructor(environment: ControllerEnvironment) {
    const { clock, informers, observe } = environment;
    this.#environment = { ...environment, log: environment.log.child('namespace-controller') };
    const observer = observe?.('namespace');
    this.#queue = new WorkQueue({ clock, ...(observer && { observer }) });
    this.#served = openServedKinds(this.#environment, () => undefined);
    const enqueue = (namespace: Namespace) => {
      if (namespace.metadata.deletionTimestamp !== undefined) this.#queue.add(namespace.metadata.name ?? '');
    };
    const namespaces = informers.of(Namespace);
    const pods = informers.of(Pod);
    const unsubscribe = [
      namespaces.subscribe({ added: enqueue, updated: enqueue }),
      pods.subscribe({
        // The last pod is what the rest of the content waits for.
        deleted({ metadata }) {
          const namespace = namespaces.get(metadata.namespace ?? '');
          if (namespace && pods.inNamespace(metadata.namespace ?? '').size === 0) enqueue(namespace);
        },
      }),
    ];
    this.#unsubscribe = () => {
      for (const each of unsubscribe) each();
    };
    this.#working = Promise.all(Array.from({ length: workers }, () => this.#work()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unsubscribe();
    this.#stop.abort(new Error('the namespace controller was stopped'));
    this.#queue[Symbol.dispose]();
    await this.#served[Symbol.asyncDispose]();
    await this.#working;
  }

  async #work(): Promise<void> {
    for (let name = await this.#queue.take(); name !== undefined; name = await this.#queue.take()) {
      try {
        if (await this.#empty(name)) this.#queue.forget(name);
        else this.#queue.addAfter(name, lookAgainMs);
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        if (!isReason(error, 'Conflict')) this.#environment.log.warn('cannot empty a namespace', { name, error });
        this.#queue.retry(name);
      } finally {
        this.#queue.done(name);
      }
    }
  }

  /** True when there is nothing more to do. */
  async #empty(name: string): Promise<boolean> {
    const { informers, client } = this.#environment;
    const namespace = informers.of(Namespace).get(name);
    if (!namespace || namespace.metadata.deletionTimestamp === undefined) return true;
    if ((namespace.spec?.finalizers ?? []).length === 0) return true;
    const found = await this.#deleteContent(name);
    const current = await this.#report(namespace, found);
    if (!current) return true;
    if (found.remaining.length > 0 || found.failures.length > 0 || found.undiscovered.length > 0) return false;
    const finalizers = (current.spec?.finalizers ?? []).filter(finalizer => finalizer !== 'kubernetes');
    const wanted = { ...current, spec: { ...current.spec, finalizers } };
    try {
      await client.update(Namespace, wanted, { subresource: 'finalize', signal: this.#stop.signal });
    } catch (error) {
      if (!isReason(error, 'NotFound')) throw error;
    }
    return true;
  }

  async #deleteContent(name: string): Promise<Content> {
    const content: Content = { remaining: [], failures: [], undiscovered: [] };
    try {
      if (this.#served.kinds.length === 0 || this.#served.stale.length > 0) await this.#served.refresh();
    } catch (error) {
      content.undiscovered.push((error as Error).message);
    }
    content.undiscovered.push(...this.#served.stale.map(version => `stale GroupVersion discovery: ${version}`));
    const kinds = this.#served.kinds.filter(kind => kind.namespaced && kind.verbs.includes('delete'));
    const isPods = (kind: Kind) => kind.group === '' && kind.plural === 'pods';
    // What pods stand on (secrets, volumes, network policies) stays until they are gone.
    await this.#deleteKind(kinds.filter(isPods), name, content);
    if (content.remaining.length > 0 || content.failures.length > 0) return content;
    await this.#deleteKind(
      kinds.filter(kind => !isPods(kind)),
      name,
      content,
    );
    return content;
  }

  async #deleteKind(kinds: readonly Kind[], namespace: string, content: Content): Promise<void> {
    await Promise.all(
      kinds.map(async kind => {
        try {
          const items = await this.#itemsAfterDelete(kind, namespace);
          if (items.length > 0) content.remaining.push({ kind, items });
        } catch (error) {
          if (this.#stop.signal.aborted) throw error;
          // A kind that went away while we looked, or cannot be deleted, holds nothing back.
          if (!isReason(error, 'NotFound', 'MethodNotAllowed')) content.failures.push((error as Error).message);
        }
      }),
    );
  }

  async #itemsAfterDelete(kind: Kind, namespace: string): Promise<readonly ApiObject[]> {
    const { client } = this.#environment;
    const { signal } = this.#stop;
    if (!kind.verbs.includes('list')) return [];
    const before = await client.list(kind, { namespace, limit: listPageSize, signal });
    if (before.items.length === 0) return [];
    if (kind.verbs.includes('deletecollection'))
      await client.deleteCollection(kind, { namespace, propagationPolicy: 'Background', signal });
    else
      for (const { metadata } of before.items)
        await client.delete(kind, metadata.name ?? '', { namespace, propagationPolicy: 'Background', signal });
    const after = await client.list(kind, { namespace, limit: listPageSize, signal });
    return after.items;
  }

  /** Writes the conditions that say what is left; undefined when the namespace is gone. */
  async #report(namespace: Namespace, found: Content): Promise<Namespace | undefined> {
    const { client, clock } = this.#environment;
    const conditions = conditionsOf(namespace, found, clock.now());
    const status = { ...namespace.status, phase: 'Terminating', conditions };
    if (sameApartFromZeros(status, namespace.status)) return namespace;
    // A namespace that is empty at once goes without a last word.
    const clean = found.remaining.length + found.failures.length + found.undiscovered.length === 0;
    if (clean && (namespace.status?.conditions ?? []).length === 0) return namespace;
    try {
      return await client.update(
        Namespace,
        { ...namespace, status },
        { subresource: 'status', signal: this.#stop.signal },
      );
    } catch (error) {
      if (isReason(error, 'NotFound')) return undefined;
      throw error;
    }
  }
}

interface Content {
  readonly remaining: { readonly kind: Kind; readonly items: readonly ApiObject[] }[];
  readonly failures: string[];
  readonly undiscovered: string[];
}

/** Upstream's five conditions: type, reasons and messages for good and bad. */
export function conditionsOf(namespace: Namespace, content: Content, nowMs: number): NamespaceCondition[] {
  const { remaining, failures, undiscovered } = content;
  const finalizers = new Map<string, number>();
  for (const { items } of remaining)
    for (const { metadata } of items)
      for (const finalizer of metadata.finalizers ?? [])
        finalizers.set(finalizer, (finalizers.get(finalizer) ?? 0) + 1);
  const counts = remaining
    .map(({ kind, items }) => `${resourceWithGroup(kind)} has ${items.length} resource instances`)
    .toSorted();
  const holders = [...finalizers].map(([finalizer, count]) => `${finalizer} in ${count} resource instances`).toSorted();
  const rows: readonly [
    type: string,
    bad: boolean,
    badReason: string,
    badText: string,
    goodReason: string,
    goodText: string,
  ][] = [
    [
      'NamespaceDeletionDiscoveryFailure',
      undiscovered.length > 0,
      'DiscoveryFailed',
      `Discovery failed for some groups, ${undiscovered.length} failing: ${undiscovered.join(', ')}`,
      'ResourcesDiscovered',
      'All resources successfully discovered',
    ],
    [
      'NamespaceDeletionGroupVersionParsingFailure',
      false,
      'GroupVersionParsingFailed',
      '',
      'ParsedGroupVersions',
      'All legacy kube types successfully parsed',
    ],
    [
      'NamespaceDeletionContentFailure',
      failures.length > 0,
      'ContentDeletionFailed',
      `Failed to delete all resource types, ${failures.length} remaining: ${failures.join(', ')}`,
      'ContentDeleted',
      'All content successfully deleted, may be waiting on finalization',
    ],
    [
      'NamespaceContentRemaining',
      remaining.length > 0,
      'SomeResourcesRemain',
      `Some resources are remaining: ${counts.join(', ')}`,
      'ContentRemoved',
      'All content successfully removed',
    ],
    [
      'NamespaceFinalizersRemaining',
      finalizers.size > 0,
      'SomeFinalizersRemain',
      `Some content in the namespace has finalizers remaining: ${holders.join(', ')}`,
      'ContentHasNoFinalizers',
      'All content-preserving finalizers finished',
    ],
  ];
  let conditions: NamespaceCondition[] = [...(namespace.status?.conditions ?? [])];
  for (const [type, bad, badReason, badText, goodReason, goodText] of rows)
    conditions = withCondition<NamespaceCondition>(conditions, {
      type,
      status: bad ? 'True' : 'False',
      reason: bad ? badReason : goodReason,
      message: bad ? badText : goodText,
      lastTransitionTime: timeText(nowMs),
    });
  return conditions;
}

/** Upstream writes `pods.` for the core group. */
function resourceWithGroup({ plural, group }: Kind): string {
  return `${plural}.${group}`;
}
