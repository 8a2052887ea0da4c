import { isReason } from '#api/machinery/errors.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import type { OwnerReference } from '#api/meta/v1/object-meta.ts';
import { openEventRecorder, referenceTo, type EventRecorder } from '#client/events.ts';
import { keyFrom, keyOf, type Index, type Informer } from '#client/informer.ts';
import { WorkQueue } from '#client/workqueue.ts';
import { allSynced, type Controller, type ControllerEnvironment } from '../controller.ts';
import { kindId, openServedKinds, type ServedKinds } from './kinds.ts';

const foreground = 'foregroundDeletion';
const orphan = 'orphan';
const workers = 20;
/** Owners known not to exist, so that a thousand dependents ask for one once. */
const absentOwnersMax = 500;

/**
 * Deletes what has lost its owners, and holds owners back or lets dependents go as the deletion asked for. See
 * docs/adr/0010: this is an incremental graph over all kinds, not a function of one object.
 */
export const garbageCollector: Controller = {
  name: 'generic-garbage-collector',
  start: environment => new GarbageCollector(environment),
};

/** An object in the graph: its kind and key are enough to find the rest in the informer. */
interface Node {
  readonly kind: Kind;
  readonly key: string;
}

interface Watched {
  readonly kind: Kind;
  readonly informer: Informer<ApiObject>;
  /** Dependents by the uid of each of their owners. */
  readonly byOwner: Index<ApiObject>;
  readonly unsubscribe: () => void;
}

class GarbageCollector implements AsyncDisposable {
  readonly #environment: ControllerEnvironment;
  readonly #events: EventRecorder;
  readonly #served: ServedKinds;
  readonly #watched = new Map<string, Watched>();
  /** `kind id` + `key` → node, so that a queue of strings dedupes. */
  readonly #nodes = new Map<string, Node>();
  readonly #queue: WorkQueue<string>;
  readonly #absentOwners = new Set<string>();
  readonly #stop = new AbortController();
  readonly #working: Promise<unknown>;

  constructor(environment: ControllerEnvironment) {
    const { client, clock, observe } = environment;
    const log = environment.log.child('generic-garbage-collector');
    this.#environment = { ...environment, log };
    const observer = observe?.('garbage_collector');
    this.#queue = new WorkQueue({ clock, ...(observer && { observer }) });
    this.#events = openEventRecorder({ client, component: 'garbage-collector-controller', clock, log });
    const discovered = Promise.withResolvers<void>();
    this.#served = openServedKinds(this.#environment, kinds => {
      this.#watch(kinds);
      discovered.resolve();
    });
    this.#stop.signal.addEventListener('abort', () => discovered.resolve(), { once: true });
    this.#working = discovered.promise.then(() => this.#start());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the garbage collector was stopped'));
    this.#queue[Symbol.dispose]();
    await this.#served[Symbol.asyncDispose]();
    for (const { unsubscribe } of this.#watched.values()) unsubscribe();
    await this.#working;
    await this.#events[Symbol.asyncDispose]();
  }

  #watch(kinds: readonly Kind[]): void {
    const collectable = new Map(kinds.filter(isCollectable).map(kind => [kindId(kind), kind]));
    const { informers } = this.#environment;
    for (const [id, watched] of this.#watched)
      if (!collectable.has(id)) {
        watched.unsubscribe();
        informers.forget(watched.kind);
        this.#watched.delete(id);
      }
    for (const [id, kind] of collectable) if (!this.#watched.has(id)) this.#watched.set(id, this.#follow(kind));
  }

  #follow(kind: Kind): Watched {
    const informer = this.#environment.informers.of(kind);
    const byOwner = informer.index('owner', ({ metadata }) => (metadata.ownerReferences ?? []).map(({ uid }) => uid));
    const unsubscribe = informer.subscribe({
      added: object => {
        this.#absentOwners.delete(object.metadata.uid ?? '');
        this.#seen(kind, object);
      },
      updated: (object, old) => this.#changed(kind, object, old),
      deleted: object => this.#deleted(object),
    });
    return { kind, informer, byOwner, unsubscribe };
  }

  #seen(kind: Kind, object: ApiObject): void {
    if ((object.metadata.ownerReferences ?? []).length > 0 || isHeldBack(object)) this.#enqueue(kind, object);
  }

  #changed(kind: Kind, object: ApiObject, old: ApiObject): void {
    const { ownerReferences, deletionTimestamp } = object.metadata;
    if (ownerReferences !== old.metadata.ownerReferences && !sameOwners(object, old)) {
      this.#enqueue(kind, object);
      // Whoever waited for this dependent need not any more.
      for (const { uid } of old.metadata.ownerReferences ?? []) this.#enqueueOwner(object, uid, old);
    }
    if (deletionTimestamp !== undefined && isHeldBack(object)) this.#enqueue(kind, object);
  }

  #deleted(object: ApiObject): void {
    const { uid = '' } = object.metadata;
    for (const { kind, byOwner } of this.#watched.values())
      for (const dependent of byOwner.get(uid).values()) this.#enqueue(kind, dependent);
    for (const owner of object.metadata.ownerReferences ?? []) this.#enqueueOwner(object, owner.uid, object);
  }

  /** An owner that waits for its dependents looks again. */
  #enqueueOwner(dependent: ApiObject, uid: string, had: ApiObject): void {
    const reference = had.metadata.ownerReferences?.find(owner => owner.uid === uid);
    const kind = reference && this.#served.find(reference.apiVersion, reference.kind);
    if (!reference || !kind) return;
    const owner = this.#watched
      .get(kindId(kind))
      ?.informer.get(reference.name, kind.namespaced ? dependent.metadata.namespace : undefined);
    if (owner && owner.metadata.uid === uid && isHeldBack(owner)) this.#enqueue(kind, owner);
  }

  #enqueue(kind: Kind, object: ApiObject): void {
    const key = keyOf(object);
    const id = `${kindId(kind)}\n${key}`;
    this.#nodes.set(id, { kind, key });
    this.#queue.add(id);
  }

  /** Before all is known, every owner would look absent, and the server be asked for each. */
  async #start(): Promise<void> {
    const informers = [...this.#watched.values()].map(({ informer }) => informer);
    if (await allSynced(informers, this.#stop.signal))
      await Promise.all(Array.from({ length: workers }, () => this.#work()));
  }

  async #work(): Promise<void> {
    for (let id = await this.#queue.take(); id !== undefined; id = await this.#queue.take()) {
      const node = this.#nodes.get(id);
      this.#nodes.delete(id);
      try {
        if (node) await this.#look(node);
        this.#queue.forget(id);
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        if (!isReason(error, 'Conflict', 'NotFound'))
          this.#environment.log.warn('cannot collect', { object: id.replace('\n', ' '), error });
        if (node) this.#nodes.set(id, node);
        this.#queue.retry(id);
      } finally {
        this.#queue.done(id);
      }
    }
  }

  async #look({ kind, key }: Node): Promise<void> {
    const object = this.#watched.get(kindId(kind))?.informer.objects.get(key);
    if (!object) return;
    const { deletionTimestamp, finalizers = [], ownerReferences = [] } = object.metadata;
    if (deletionTimestamp !== undefined) {
      if (finalizers.includes(orphan)) await this.#orphanDependents(kind, object);
      else if (finalizers.includes(foreground)) await this.#awaitDependents(kind, object);
      return;
    }
    if (ownerReferences.length > 0) await this.#judge(kind, object, ownerReferences);
  }

  /** Foreground: the dependents that block go first, the object itself last. */
  async #awaitDependents(kind: Kind, owner: ApiObject): Promise<void> {
    const { uid = '' } = owner.metadata;
    const blocking = this.#dependentsOf(uid).filter(({ object }) =>
      object.metadata.ownerReferences?.some(
        reference => reference.uid === uid && reference.blockOwnerDeletion === true,
      ),
    );
    if (blocking.length === 0) {
      // Those that do not block lose their owner now, and go when it is gone.
      await this.#withoutFinalizer(kind, owner, foreground);
      return;
    }
    for (const { kind: dependentKind, object } of blocking)
      if (object.metadata.deletionTimestamp === undefined) this.#enqueue(dependentKind, object);
  }

  /** Orphan: nobody goes with the object. */
  async #orphanDependents(kind: Kind, owner: ApiObject): Promise<void> {
    const { uid = '' } = owner.metadata;
    await Promise.all(
      this.#dependentsOf(uid).map(dependent => this.#dropOwners(dependent.kind, dependent.object, new Set([uid]))),
    );
    await this.#withoutFinalizer(kind, owner, orphan);
  }

  async #judge(kind: Kind, object: ApiObject, references: readonly OwnerReference[]): Promise<void> {
    const absent = new Set<string>();
    const waiting = new Set<string>();
    let solid = 0;
    for (const reference of references) {
      const state = await this.#ownerState(kind, object, reference);
      if (state === 'unknowable') return;
      if (state === 'absent') absent.add(reference.uid);
      else if (state === 'waiting') waiting.add(reference.uid);
      else solid++;
    }
    if (absent.size + waiting.size === 0) return;
    if (solid > 0) {
      await this.#dropOwners(kind, object, new Set([...absent, ...waiting]));
      return;
    }
    const dependents = waiting.size > 0 ? this.#dependentsOf(object.metadata.uid ?? '') : [];
    if (dependents.length > 0) {
      // Owners that wait for each other would wait for ever.
      if (dependents.some(dependent => isHeldBack(dependent.object))) await this.#unblock(kind, object);
      await this.#delete(kind, object, 'Foreground');
      return;
    }
    const { finalizers = [] } = object.metadata;
    const policy = finalizers.includes(orphan)
      ? 'Orphan'
      : finalizers.includes(foreground)
        ? 'Foreground'
        : 'Background';
    await this.#delete(kind, object, policy);
  }

  async #ownerState(
    kind: Kind,
    object: ApiObject,
    reference: OwnerReference,
  ): Promise<'solid' | 'waiting' | 'absent' | 'unknowable'> {
    const { namespace } = object.metadata;
    const absentId = `${reference.uid}\n${namespace ?? ''}`;
    if (this.#absentOwners.has(absentId)) return 'absent';
    const ownerKind = await this.#resolve(reference);
    if (!ownerKind)
      throw new Error(`cannot find the owner: no kind ${reference.apiVersion} ${reference.kind} is served`);
    if (ownerKind.namespaced && !kind.namespaced) {
      this.#events.event(
        referenceTo(object, kind),
        'Warning',
        'OwnerRefInvalidNamespace',
        `ownerRef [${reference.apiVersion}/${reference.kind}, namespace: , name: ${reference.name}, uid: ${reference.uid}] does not exist in namespace ""`,
      );
      return 'unknowable';
    }
    const ownerNamespace = ownerKind.namespaced ? namespace : undefined;
    const cached = this.#watched.get(kindId(ownerKind))?.informer.objects.get(keyFrom(reference.name, ownerNamespace));
    if (cached?.metadata.uid === reference.uid) return isWaiting(cached) ? 'waiting' : 'solid';
    // Not in our copy: that may be late, so the server is asked before anything is deleted.
    const owner = await this.#read(ownerKind, reference.name, ownerNamespace);
    if (owner?.metadata.uid === reference.uid) return isWaiting(owner) ? 'waiting' : 'solid';
    this.#absentOwners.add(absentId);
    if (this.#absentOwners.size > absentOwnersMax)
      for (const oldest of this.#absentOwners) {
        this.#absentOwners.delete(oldest);
        break;
      }
    if (ownerKind.namespaced && owner === undefined && namespace !== undefined)
      this.#warnOfForeignOwner(kind, object, ownerKind, reference);
    return 'absent';
  }

  /** The commonest mistake with owner references: an owner in another namespace. */
  #warnOfForeignOwner(kind: Kind, object: ApiObject, ownerKind: Kind, reference: OwnerReference): void {
    const informer = this.#watched.get(kindId(ownerKind))?.informer;
    const foreign = informer?.index('uid', ({ metadata }) => [metadata.uid ?? '']).get(reference.uid).size ?? 0;
    if (foreign === 0) return;
    const { namespace } = object.metadata;
    this.#events.event(
      referenceTo(object, kind),
      'Warning',
      'OwnerRefInvalidNamespace',
      `ownerRef [${reference.apiVersion}/${reference.kind}, namespace: ${namespace}, name: ${reference.name}, uid: ${reference.uid}] does not exist in namespace ${JSON.stringify(namespace)}`,
    );
  }

  async #resolve({ apiVersion, kind }: OwnerReference): Promise<Kind | undefined> {
    const known = this.#served.find(apiVersion, kind);
    if (known) return known;
    await this.#served.refresh();
    return this.#served.find(apiVersion, kind);
  }

  async #read(kind: Kind, name: string, namespace: string | undefined): Promise<ApiObject | undefined> {
    try {
      return await this.#environment.client.get(kind, name, {
        ...(namespace !== undefined && { namespace }),
        signal: this.#stop.signal,
      });
    } catch (error) {
      if (isReason(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  #dependentsOf(uid: string): { readonly kind: Kind; readonly object: ApiObject }[] {
    const found: { kind: Kind; object: ApiObject }[] = [];
    for (const { kind, byOwner } of this.#watched.values())
      for (const object of byOwner.get(uid).values()) found.push({ kind, object });
    return found;
  }

  async #delete(
    kind: Kind,
    { metadata }: ApiObject,
    propagationPolicy: 'Foreground' | 'Background' | 'Orphan',
  ): Promise<void> {
    const { name = '', namespace, uid, resourceVersion } = metadata;
    try {
      await this.#environment.client.delete(kind, name, {
        ...(namespace !== undefined && { namespace }),
        propagationPolicy,
        // What we judged, and nothing newer.
        preconditions: { ...(uid !== undefined && { uid }), ...(resourceVersion !== undefined && { resourceVersion }) },
        signal: this.#stop.signal,
      });
    } catch (error) {
      if (!isReason(error, 'NotFound')) throw error;
    }
  }

  async #dropOwners(kind: Kind, object: ApiObject, uids: ReadonlySet<string>): Promise<void> {
    const ownerReferences = (object.metadata.ownerReferences ?? []).filter(({ uid }) => !uids.has(uid));
    await this.#patchMetadata(kind, object, { ownerReferences });
  }

  async #unblock(kind: Kind, object: ApiObject): Promise<void> {
    const ownerReferences = (object.metadata.ownerReferences ?? []).map(reference =>
      reference.blockOwnerDeletion ? { ...reference, blockOwnerDeletion: false } : reference,
    );
    await this.#patchMetadata(kind, object, { ownerReferences });
  }

  async #withoutFinalizer(kind: Kind, object: ApiObject, finalizer: string): Promise<void> {
    const finalizers = (object.metadata.finalizers ?? []).filter(each => each !== finalizer);
    await this.#patchMetadata(kind, object, { finalizers });
  }

  /** The version makes a conflict of a list that somebody changed meanwhile. */
  async #patchMetadata(kind: Kind, object: ApiObject, change: object): Promise<void> {
    const { name = '', namespace, uid, resourceVersion } = object.metadata;
    const patch = { metadata: { uid, resourceVersion, ...change } };
    try {
      await this.#environment.client.patch(
        kind,
        name,
        { type: 'merge', patch },
        { ...(namespace !== undefined && { namespace }), signal: this.#stop.signal },
      );
    } catch (error) {
      if (!isReason(error, 'NotFound')) throw error;
    }
  }
}

/** Events own nobody and are owned by nobody, and are many. */
function isCollectable(kind: Kind): boolean {
  if (kind.garbageCollected === false) return false;
  return (['list', 'watch', 'delete'] as const).every(verb => kind.verbs.includes(verb));
}

/** Deletion waits for what the collector does. */
function isHeldBack({ metadata: { deletionTimestamp, finalizers = [] } }: ApiObject): boolean {
  return deletionTimestamp !== undefined && (finalizers.includes(foreground) || finalizers.includes(orphan));
}

function isWaiting({ metadata: { deletionTimestamp, finalizers = [] } }: ApiObject): boolean {
  return deletionTimestamp !== undefined && finalizers.includes(foreground);
}

function sameOwners(a: ApiObject, b: ApiObject): boolean {
  const [left = [], right = []] = [a.metadata.ownerReferences, b.metadata.ownerReferences];
  return (
    left.length === right.length &&
    left.every(
      (reference, index) =>
        reference.uid === right[index]?.uid && reference.blockOwnerDeletion === right[index]?.blockOwnerDeletion,
    )
  );
}
