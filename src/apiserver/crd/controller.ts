import type { Clock } from '#base/clock.ts';
import { deepEqual } from '#base/deep-equal.ts';
import { Lifetime } from '#base/lifetime.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import {
  cleanupFinalizer,
  CustomResourceDefinition,
  type CustomResourceDefinitionStatus,
} from '#api/apiextensions/v1/custom-resource-definition.ts';
import { formatTime, timeMs } from '#api/machinery/time.ts';
import { isReason } from '#api/machinery/errors.ts';
import { resourceNameOf, type Kind } from '#api/machinery/kind.ts';
import type { Client } from '#client/client.ts';
import { openInformer, type Informer } from '#client/informer.ts';
import { WorkQueue } from '#client/workqueue.ts';
import type { WatchCache } from '../cache/watch-cache.ts';
import type { Registry } from '../registry.ts';
import { isTrue, observedStatus, terminating, withCondition } from './conditions.ts';
import { webhookConversion, type Conversion, type ConversionCaller, type ConversionFailure } from './conversion.ts';
import { customKindsOf, type CustomKinds } from './kinds.ts';

export interface CustomResourcesOptions {
  readonly client: Client;
  readonly registry: Registry;
  readonly cache: WatchCache;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly callWebhook: ConversionCaller;
  observeConversion(seconds: number, failure: ConversionFailure | undefined): void;
}

/** Serves what CustomResourceDefinitions define. Those that are established already are served when this resolves. */
export async function startCustomResources(options: CustomResourcesOptions): Promise<AsyncDisposable> {
  const { client, clock, random } = options;
  const log = options.log.child('crd');
  const lifetime = new Lifetime();
  const informer = openInformer(client, CustomResourceDefinition, { clock, random, log }, lifetime.signal);
  const conversionOf = ({ spec: { conversion } }: CustomResourceDefinition) =>
    conversion.strategy === 'Webhook' && conversion.webhook
      ? webhookConversion(conversion.webhook, {
          call: options.callWebhook,
          random,
          signal: lifetime.signal,
          monotonic: () => clock.monotonic(),
          observe: (seconds, failure) => options.observeConversion(seconds, failure),
        })
      : undefined;
  const served = new ServedDefinitions(options.registry, log, conversionOf);
  const queue = lifetime.own(new WorkQueue<string>({ clock, retryMaxMs: retryMsMax }));
  const reconciler = new Reconciler(options, informer, served);
  // A change of one may free names, or take them, for the others of its group.
  const changed = ({ metadata, spec }: CustomResourceDefinition) => {
    queue.add(metadata.name as string);
    for (const [name, other] of byGroup(informer).get(spec.group)) if (!isTrue(other, 'NamesAccepted')) queue.add(name);
  };
  informer.subscribe({
    added(definition) {
      served.follow(definition);
      changed(definition);
    },
    updated(definition) {
      served.follow(definition);
      changed(definition);
    },
    deleted(definition) {
      served.withdraw(definition.metadata.name as string);
      changed(definition);
    },
  });
  // The last object of a definition that is going away: it can go now.
  lifetime.defer(
    options.cache.listen(({ kind }, event) => {
      const waiting = event.deleted && kind.custom ? served.terminating(kind) : undefined;
      if (waiting !== undefined) queue.add(waiting);
    }),
  );
  const working = work(queue, reconciler, log);
  lifetime.defer(() => {
    queue[Symbol.dispose]();
    return working;
  });
  await informer.synced;
  return lifetime;
}

const retryMsMax = 10_000;
/** After that a definition says that its objects do not go. */
const patienceMs = 60_000;

function byGroup(informer: Informer<CustomResourceDefinition>) {
  return informer.index('group', ({ spec }) => [spec.group]);
}

async function work(queue: WorkQueue<string>, reconciler: Reconciler, log: Log): Promise<void> {
  for (let name = await queue.take(); name !== undefined; name = await queue.take()) {
    try {
      const again = await reconciler.reconcile(name);
      if (again === 'again') queue.retry(name);
      else queue.forget(name);
    } catch (error) {
      if (!isReason(error, 'Conflict', 'NotFound')) log.warn('cannot reconcile a definition', { name, error });
      queue.retry(name);
    } finally {
      queue.done(name);
    }
  }
}

interface Served {
  /** As it was when its kinds were made. */
  readonly definition: CustomResourceDefinition;
  readonly kinds: CustomKinds;
}

/** Which definitions are served now, and as which kinds. */
class ServedDefinitions {
  readonly #registry: Registry;
  readonly #log: Log;
  readonly #conversionOf: (definition: CustomResourceDefinition) => Conversion | undefined;
  readonly #served = new Map<string, Served>();
  readonly #terminating = new Set<string>();

  constructor(
    registry: Registry,
    log: Log,
    conversionOf: (definition: CustomResourceDefinition) => Conversion | undefined,
  ) {
    this.#registry = registry;
    this.#log = log;
    this.#conversionOf = conversionOf;
  }

  kindsOf(name: string): CustomKinds | undefined {
    return this.#served.get(name)?.kinds;
  }

  /** The definition of a kind, when it is going away. */
  terminating(kind: Kind): string | undefined {
    const name = resourceNameOf(kind);
    return this.#terminating.has(name) ? name : undefined;
  }

  /** Serves a definition that is established, as it is now. */
  follow(definition: CustomResourceDefinition): void {
    const name = definition.metadata.name as string;
    if (definition.metadata.deletionTimestamp === undefined) this.#terminating.delete(name);
    else this.#terminating.add(name);
    if (isTrue(definition, 'Established')) this.serve(definition);
  }

  serve(definition: CustomResourceDefinition): void {
    const name = definition.metadata.name as string;
    const before = this.#served.get(name);
    if (before && isSame(before.definition, definition)) return;
    try {
      const { group } = definition.spec;
      const { plural } = definition.status.acceptedNames;
      if (builtInsOf(this.#registry, group).some(kind => kind.plural === plural))
        throw new Error(`cannot take the place of ${plural}.${group}: it is built in`);
      const kinds = customKindsOf(definition, () => this.#terminating.has(name), this.#conversionOf(definition));
      this.#served.set(name, { definition, kinds });
      this.#registry.replace(before?.kinds.served ?? [], kinds.served, kinds.stored);
    } catch (error) {
      this.#log.error('cannot serve a definition', { name, error });
    }
  }

  withdraw(name: string): void {
    const before = this.#served.get(name);
    this.#terminating.delete(name);
    if (!before) return;
    this.#served.delete(name);
    this.#registry.replace([...before.kinds.served, before.kinds.stored], [], undefined);
  }
}

/** The kinds of a group that no definition may take the place of. */
function builtInsOf(registry: Registry, group: string): readonly Kind[] {
  return registry.kinds.filter(kind => kind.group === group && kind.custom !== true);
}

/** What the kinds are made of has not changed. */
function isSame(left: CustomResourceDefinition, right: CustomResourceDefinition): boolean {
  return (
    left.metadata.uid === right.metadata.uid &&
    deepEqual(left.spec, right.spec) &&
    deepEqual(left.status.acceptedNames, right.status.acceptedNames)
  );
}

class Reconciler {
  readonly #client: Client;
  readonly #registry: Registry;
  readonly #clock: Clock;
  readonly #informer: Informer<CustomResourceDefinition>;
  readonly #served: ServedDefinitions;

  constructor(
    { client, registry, clock }: CustomResourcesOptions,
    informer: Informer<CustomResourceDefinition>,
    served: ServedDefinitions,
  ) {
    this.#client = client;
    this.#registry = registry;
    this.#clock = clock;
    this.#informer = informer;
    this.#served = served;
  }

  async reconcile(name: string): Promise<'done' | 'again'> {
    const definition = this.#informer.get(name);
    if (!definition) return 'done';
    if (definition.metadata.deletionTimestamp !== undefined) return this.#finalize(definition);
    const names = [
      ...this.#othersOf(definition).map(other => other.status.acceptedNames),
      ...builtInsOf(this.#registry, definition.spec.group),
    ];
    const status = observedStatus(definition, names, this.#clock.now());
    if (deepEqual(status, definition.status)) return 'done';
    const observed = { ...definition, status };
    // Served before it says so: whoever waits for the condition finds the resource.
    if (isTrue(observed, 'Established')) this.#served.serve(observed);
    await this.#writeStatus(definition, status);
    return 'done';
  }

  #othersOf({ metadata, spec }: CustomResourceDefinition): readonly CustomResourceDefinition[] {
    const group = byGroup(this.#informer).get(spec.group);
    return [...group.values()].filter(other => other.metadata.name !== metadata.name);
  }

  #writeStatus(
    definition: CustomResourceDefinition,
    status: CustomResourceDefinitionStatus,
  ): Promise<CustomResourceDefinition> {
    return this.#client.update(CustomResourceDefinition, { ...definition, status }, { subresource: 'status' });
  }

  /** Deletes every object before the definition goes. */
  async #finalize(definition: CustomResourceDefinition): Promise<'done' | 'again'> {
    if (!(definition.metadata.finalizers ?? []).includes(cleanupFinalizer)) return 'done';
    if (!isTrue(definition, 'Established')) {
      return this.#release(definition, 'NeverEstablished', 'resource was never established');
    }
    const checks = definition.status.conditions?.some(({ reason }) => reason === 'InstanceDeletionCheck');
    const begun = checks
      ? definition
      : await this.#report(definition, 'True', 'InstanceDeletionInProgress', 'CustomResource deletion is in progress');
    let remaining: number;
    try {
      remaining = await this.#deleteObjects(begun);
    } catch (error) {
      await this.#report(begun, 'True', 'InstanceDeletionFailed', `could not list instances: ${String(error)}`);
      throw error;
    }
    if (remaining > 0) {
      const [begunAt] = (begun.status.conditions ?? []).filter(({ type }) => type === 'Terminating');
      const sinceMs = this.#clock.now() - timeMs(begunAt?.lastTransitionTime ?? formatTime(this.#clock.now()));
      const why = 'could not confirm zero CustomResources remaining: context deadline exceeded';
      if (sinceMs > patienceMs) await this.#report(begun, 'True', 'InstanceDeletionCheck', why);
      return 'again';
    }
    return this.#release(begun, 'InstanceDeletionCompleted', 'removed all instances');
  }

  /** Nothing keeps the definition any longer. */
  async #release(definition: CustomResourceDefinition, reason: string, message: string): Promise<'done'> {
    const { metadata, ...rest } = await this.#report(definition, 'False', reason, message);
    const finalizers = (metadata.finalizers ?? []).filter(each => each !== cleanupFinalizer);
    await this.#client.update(CustomResourceDefinition, { ...rest, metadata: { ...metadata, finalizers } });
    return 'done';
  }

  async #report(
    definition: CustomResourceDefinition,
    status: 'True' | 'False',
    reason: string,
    message: string,
  ): Promise<CustomResourceDefinition> {
    const known = definition.status.conditions ?? [];
    const conditions = withCondition(known, terminating(status, reason, message), this.#clock.now());
    if (deepEqual(conditions, known)) return definition;
    return this.#writeStatus(definition, { ...definition.status, conditions });
  }

  /** How many are left: those that finalizers keep. */
  async #deleteObjects({ metadata }: CustomResourceDefinition): Promise<number> {
    const kinds = this.#served.kindsOf(metadata.name as string);
    const kind = kinds?.served.find(each => each.version === kinds.stored.version) ?? kinds?.served[0];
    // What was never served has no objects, or none that anybody could reach.
    if (!kind) return 0;
    const { items } = await this.#client.list(kind);
    if (!kind.namespaced) {
      if (items.length > 0) await this.#client.deleteCollection(kind);
    } else {
      for (const namespace of new Set(items.map(item => item.metadata.namespace ?? '')))
        await this.#client.deleteCollection(kind, { namespace });
    }
    return items.length === 0 ? 0 : (await this.#client.list(kind)).items.length;
  }
}
