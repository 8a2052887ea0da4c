import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { limits } from '#base/limits.ts';
import type { Random } from '#base/random.ts';
import { Slots } from '#base/slots.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { resourceNameOf } from '#api/machinery/kind.ts';
import type { Client } from '#client/client.ts';
import { openEventRecorder } from '#client/events.ts';
import { keyOf, type Informer } from '#client/informer.ts';
import type { Informers } from '#client/informers.ts';
import { WorkQueue, type WorkQueueObserver } from '#client/workqueue.ts';
import type { Action } from './actions.ts';
import { apply, type ApplyEnvironment } from './apply.ts';
import type { Read } from './reads.ts';

/** Something that keeps a part of the cluster as it is wanted to be. */
export interface Controller {
  /** Upstream's name: `replicaset-controller`. Its queue and log are called so. */
  readonly name: string;
  /** Its service account in kube-system, when that has another name. */
  readonly account?: string;
  /** It works on a kind that most servers do not serve, and is started where one does. */
  readonly optional?: Kind;
  start(environment: ControllerEnvironment): AsyncDisposable;
}

export interface ControllerEnvironment {
  readonly client: Client;
  readonly informers: Informers;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Told of what happens in the queue of this name. */
  observe?(queue: string): WorkQueueObserver;
  readonly settings: ControllerSettings;
}

/** What an operator may choose; upstream's defaults are in `controllers.ts`. */
export interface ControllerSettings {
  readonly clusterCidrs: readonly string[];
  readonly nodeCidrPrefixLengthV4: number;
  readonly nodeCidrPrefixLengthV6: number;
  /** Published as `kube-root-ca.crt`. */
  readonly caCertPem: string;
  /** Signs what the built-in signers are asked for; without one, requests wait for somebody else. */
  readonly signer: CertificateSigner | undefined;
  /** Makes the token of a Secret for a service account; without it such Secrets wait for somebody else. */
  readonly accountToken: AccountTokens | undefined;
  readonly nodeMonitorGraceMs: number;
  readonly terminatedPodsMax: number;
}

export type AccountTokens = (
  account: { readonly namespace: string; readonly name: string; readonly uid: string },
  secret: string,
) => Promise<string>;

/** What a request for a certificate asks for. */
export interface RequestedCertificate {
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly hosts: readonly string[];
  readonly ips: readonly string[];
  readonly emails: readonly string[];
  readonly uris: readonly string[];
  /** Names of other sorts, which nobody signs. */
  readonly otherNames: readonly string[];
}

export interface CertificateSigner {
  /** Undefined when it is no PKCS #10 request. */
  describe(requestPem: string): Promise<RequestedCertificate | undefined>;
  /** With the usages as the API names them. */
  sign(requestPem: string, usages: readonly string[], validForMs: number): Promise<string>;
}

export interface Moment {
  readonly nowMs: number;
  readonly random: Random;
  readonly settings: ControllerSettings;
}

type ReadTable<Type extends ApiObject, Values> = { readonly [Name in keyof Values]: Read<Type, Values[Name]> };

/** What `ask` may use to find out what no watch tells. */
export interface Asking extends Moment {
  readonly client: Client;
  readonly signal: AbortSignal;
}

export interface Definition<Type extends ApiObject, Values extends object, Answer = undefined> {
  readonly name: string;
  readonly account?: string;
  /** The source of its Events, when that has another name. */
  readonly component?: string;
  readonly reconciles: Kind<Type>;
  /** What `decide` is given beside the object; its changes wake the object. */
  readonly reads: ReadTable<Type, Values>;
  readonly writes: readonly Kind[];
  /** How many objects are worked on at a time. */
  readonly concurrency?: number;
  /** Only these objects are worked on. */
  readonly concerns?: (object: Type) => boolean;
  /** False: a change of the object itself is no reason to look at it again. */
  readonly changed?: (object: Type, old: Type) => boolean;
  /** Observes what has to be asked for: a metric, a review. Its failures are retried; it changes nothing. */
  ask?(object: Type, observed: Values & Asking): Promise<Answer>;
  decide(object: Type, observed: Values & Moment & { readonly answer?: Answer }): readonly Action[];
  /** The object with this name is not there (any more). */
  decideGone?(name: string, namespace: string, observed: Moment): readonly Action[];
}

export type PureController<Type extends ApiObject, Values extends object, Answer = undefined> = Controller &
  Definition<Type, Values, Answer>;

/** A controller as one pure function: observe → decide → apply. The rest is here. */
export function defineController<Type extends ApiObject, Values extends object, Answer = undefined>(
  definition: Definition<Type, Values, Answer>,
): PureController<Type, Values, Answer> {
  return { ...definition, start: environment => start(definition, environment) };
}

/** A key rests nine times as long as its last decision took, so that a huge object with endless changes costs a tenth of a core at most. */
const restFactor = 9;
const restMsMin = 2;
const defaultConcurrency = 16;

function start<Type extends ApiObject, Values extends object, Answer>(
  definition: Definition<Type, Values, Answer>,
  environment: ControllerEnvironment,
): AsyncDisposable {
  const { name, component = name, concerns = () => true, changed } = definition;
  const { client, informers, clock, random, settings } = environment;
  const log = environment.log.child(name);
  const stop = new AbortController();
  const observer = environment.observe?.(name);
  const queue = new WorkQueue<string>({ clock, ...(observer && { observer }) });
  const events = openEventRecorder({ client, component, clock, log });
  const subject = informers.of(definition.reconciles);
  const read = openReads(definition.reads, {
    informers,
    subject,
    clock,
    wake: key => queue.add(key),
    wakeAfter: (key, delayMs) => queue.addAfter(key, delayMs),
  });
  const readKinds = new Map<string, Informer<ApiObject>>(
    [
      definition.reconciles,
      ...(Object.values(definition.reads) as Read<Type, unknown>[]).flatMap(each => each.kinds),
    ].map(kind => [resourceNameOf(kind), informers.of(kind) as unknown as Informer<ApiObject>]),
  );
  const applying: ApplyEnvironment = {
    client,
    events,
    clock,
    log,
    informerOf: kind => readKinds.get(resourceNameOf(kind)),
    writes: new Slots(limits.controllerWritesInFlightMax),
    signal: stop.signal,
  };
  const restUntilMs = new Map<string, number>();
  const unsubscribe = subject.subscribe({
    added: object => {
      if (concerns(object)) queue.add(keyOf(object));
    },
    updated: (object, old) => {
      if ((concerns(object) || concerns(old)) && (!changed || changed(object, old))) queue.add(keyOf(object));
    },
    deleted: object => {
      const key = keyOf(object);
      if (definition.decideGone) queue.add(key);
      else {
        restUntilMs.delete(key);
        queue.forget(key);
      }
    },
  });
  const reconcile = async (key: string): Promise<void> => {
    const startedMs = clock.monotonic();
    const leftMs = (restUntilMs.get(key) ?? 0) - startedMs;
    if (leftMs > 0) {
      queue.addAfter(key, leftMs);
      return;
    }
    restUntilMs.delete(key);
    const object = subject.objects.get(key);
    const moment: Moment = { nowMs: clock.now(), random, settings };
    let actions: readonly Action[] | undefined;
    if (object === undefined) actions = definition.decideGone?.(...nameAndNamespace(key), moment);
    else if (concerns(object)) {
      const observed = { ...read(object), ...moment };
      if (definition.ask) {
        const answer = await definition.ask(object, { ...observed, client, signal: stop.signal });
        actions = definition.decide(object, { ...observed, answer });
      } else actions = definition.decide(object, observed);
    }
    const tookMs = clock.monotonic() - startedMs;
    const { again, wakeAtMs } = await apply(actions ?? [], applying);
    if (tookMs > restMsMin && subject.objects.has(key)) restUntilMs.set(key, clock.monotonic() + tookMs * restFactor);
    if (again) queue.retry(key);
    else queue.forget(key);
    // A timer may come a little early; upstream's conditions count whole seconds.
    if (wakeAtMs !== undefined) queue.addAfter(key, Math.max(1, wakeAtMs - clock.now()));
  };
  const work = async (): Promise<void> => {
    for (let key = await queue.take(); key !== undefined; key = await queue.take()) {
      try {
        await reconcile(key);
      } catch (error) {
        if (stop.signal.aborted) return;
        log.error('reconcile failed', { key, error });
        queue.retry(key);
      } finally {
        queue.done(key);
      }
    }
  };
  const working = allSynced([...readKinds.values()], stop.signal).then(ready =>
    ready ? Promise.all(Array.from({ length: definition.concurrency ?? defaultConcurrency }, work)) : undefined,
  );
  return {
    async [Symbol.asyncDispose]() {
      unsubscribe();
      stop.abort(new Error(`${name} was stopped`));
      queue[Symbol.dispose]();
      await working;
      await events[Symbol.asyncDispose]();
    },
  };
}

/** False: they were closed, or the signal aborted, before. */
export function allSynced(informers: readonly Informer<ApiObject>[], signal: AbortSignal): Promise<boolean> {
  const stopped = new Promise<boolean>(resolve => {
    if (signal.aborted) resolve(false);
    signal.addEventListener('abort', () => resolve(false), { once: true });
  });
  const synced = Promise.all(informers.map(informer => informer.synced)).then(
    () => true,
    () => false,
  );
  return Promise.race([synced, stopped]);
}

function openReads<Type extends ApiObject, Values extends object>(
  reads: ReadTable<Type, Values>,
  source: Parameters<Read<Type, unknown>['open']>[0],
): (object: Type) => Values {
  const opened = (Object.entries(reads) as [string, Read<Type, unknown>][]).map(
    ([name, read]) => [name, read.open(source as never)] as const,
  );
  return object => Object.fromEntries(opened.map(([name, value]) => [name, value(object)])) as Values;
}

function nameAndNamespace(key: string): [name: string, namespace: string] {
  const at = key.indexOf('/');
  return at < 0 ? [key, ''] : [key.slice(at + 1), key.slice(0, at)];
}
