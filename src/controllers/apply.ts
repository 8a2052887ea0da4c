import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Slots } from '#base/slots.ts';
import { isReason } from '#api/machinery/errors.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import type { Client } from '#client/client.ts';
import type { EventRecorder } from '#client/events.ts';
import { keyOf, type Informer } from '#client/informer.ts';
import type { Action, EventAction, Outcome } from './actions.ts';

export interface ApplyEnvironment {
  readonly client: Client;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly log: Log;
  /** The copies that the next decision will read, for the kinds that it reads. */
  informerOf(kind: Kind): Informer<ApiObject> | undefined;
  /** How many writes the controller has under way. */
  readonly writes: Slots;
  readonly signal: AbortSignal;
}

export interface Applied {
  /** Something failed that may work later. */
  readonly again: boolean;
  readonly wakeAtMs: number | undefined;
}

/** How long a copy may take to show an own write, before we go on without it. */
const seenWithinMs = 10_000;

/** Does what was decided. Resolves when the informers show the writes, so that the next decision builds on them. */
export async function apply(actions: readonly Action[], environment: ApplyEnvironment): Promise<Applied> {
  const run = new Run(environment);
  await run.all(actions);
  await run.seen();
  return { again: run.again, wakeAtMs: run.wakeAtMs };
}

class Run {
  again = false;
  wakeAtMs: number | undefined;
  readonly #environment: ApplyEnvironment;
  readonly #failures: { action: Action; error: Error }[] = [];
  readonly #objects: ApiObject[] = [];
  readonly #unseen: Promise<void>[] = [];
  readonly #stop: AbortController;
  #skip = false;

  constructor(environment: ApplyEnvironment) {
    this.#environment = environment;
    this.#stop = new AbortController();
  }

  async all(actions: readonly Action[]): Promise<void> {
    for (const action of actions) {
      if (this.#environment.signal.aborted) return;
      switch (action.do) {
        case 'event':
          if (!this.#skip) this.#tell(action);
          break;
        case 'wake':
          this.wakeAtMs = Math.min(this.wakeAtMs ?? Number.POSITIVE_INFINITY, action.atMs);
          break;
        case 'retry':
          this.again = true;
          this.#environment.log.debug('to be tried again', { why: action.why });
          break;
        case 'batch':
          if (!this.#skip) await this.#batches(action.actions);
          break;
        case 'afterwards': {
          this.#skip = false;
          const outcome: Outcome = { failures: this.#failures, objects: this.#objects };
          await this.all(action.decide(outcome));
          break;
        }
        default:
          if (!this.#skip) await this.#write(action);
      }
    }
  }

  async seen(): Promise<void> {
    if (this.#unseen.length === 0) return;
    const { clock, log } = this.#environment;
    const cancel = clock.after(seenWithinMs, () => this.#stop.abort(new Error('the informer is late')));
    try {
      await Promise.all(this.#unseen);
    } catch (error) {
      if (!this.#environment.signal.aborted) log.warn('an own write has not been seen yet', { error });
    } finally {
      cancel();
    }
  }

  async #batches(actions: readonly Action[]): Promise<void> {
    for (let start = 0, size = 1; start < actions.length && !this.#skip; start += size, size = size * 2) {
      const batch = actions.slice(start, start + size);
      await Promise.all(batch.map(action => this.all([action])));
    }
  }

  async #write(action: Extract<Action, { do: 'create' | 'update' | 'patch' | 'delete' | 'post' }>): Promise<void> {
    try {
      const object = await this.#environment.writes.run(() => this.#send(action));
      this.#objects.push(object ?? (action.object as ApiObject));
      const said = action.succeeded?.(object ?? (action.object as ApiObject));
      if (said) this.#tell(said);
    } catch (error) {
      if (this.#environment.signal.aborted) return;
      this.#failed(action, error as Error);
    }
  }

  async #send(
    action: Extract<Action, { do: 'create' | 'update' | 'patch' | 'delete' | 'post' }>,
  ): Promise<ApiObject | undefined> {
    const { client, signal } = this.#environment;
    const { kind } = action;
    switch (action.do) {
      case 'create':
        return this.#written(kind, await client.create(kind, action.object, { signal }));
      case 'update': {
        const { subresource } = action;
        return this.#written(
          kind,
          await client.update(kind, action.object, { ...(subresource !== undefined && { subresource }), signal }),
        );
      }
      case 'patch': {
        const { subresource } = action;
        const { name = '', namespace } = action.object.metadata;
        const options = {
          ...(namespace !== undefined && { namespace }),
          ...(subresource !== undefined && { subresource }),
          signal,
        };
        return this.#written(kind, await client.patch(kind, name, action.patch, options));
      }
      case 'post': {
        const { name = '', namespace } = action.object.metadata;
        await client.createSubresource(kind, name, action.subresource, action.body, {
          ...(namespace !== undefined && { namespace }),
          signal,
        });
        return undefined;
      }
      case 'delete': {
        const { name = '', namespace, uid = '' } = action.object.metadata;
        try {
          await client.delete(kind, name, { ...action.options, ...(namespace !== undefined && { namespace }), signal });
        } catch (error) {
          // Somebody was faster.
          if (!isReason(error, 'NotFound')) throw error;
        }
        const gone = this.#environment.informerOf(kind)?.gone(keyOf(action.object), uid, this.#waiting);
        if (gone) this.#expect(gone);
        return undefined;
      }
    }
  }

  #written(kind: Kind, object: ApiObject): ApiObject {
    const seen = this.#environment.informerOf(kind)?.reached(object.metadata.resourceVersion ?? '0', this.#waiting);
    if (seen) this.#expect(seen);
    return object;
  }

  #expect(seen: Promise<void>): void {
    // Awaited together at the end.
    seen.catch(() => undefined);
    this.#unseen.push(seen);
  }

  get #waiting(): AbortSignal {
    return AbortSignal.any([this.#environment.signal, this.#stop.signal]);
  }

  #failed(action: Action & { failed?: (error: Error) => EventAction | undefined }, error: Error): void {
    this.#skip = true;
    this.#failures.push({ action, error });
    const said = action.failed?.(error);
    if (said) this.#tell(said);
    // Nothing can be made in a namespace that is going away, however often we try.
    if (isNamespaceTerminating(error)) return;
    this.again = true;
    const { log } = this.#environment;
    if (isReason(error, 'Conflict', 'AlreadyExists', 'NotFound')) log.debug('a write was too late', { error });
    else log.warn('a write failed', { error });
  }

  #tell({ about, type, reason, message }: EventAction): void {
    this.#environment.events.event(about, type, reason, message);
  }
}

export function isNamespaceTerminating(error: unknown): boolean {
  return (
    isReason(error, 'Forbidden') &&
    (error.status.details?.causes ?? []).some(({ reason }) => reason === 'NamespaceTerminating')
  );
}
