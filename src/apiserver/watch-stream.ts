import type { Clock } from '#base/clock.ts';
import { limits } from '#base/limits.ts';
import { ApiError, type Status } from '#api/machinery/errors.ts';
import type { ApiObject } from '#api/machinery/kind.ts';
import type { WatchSink } from '#client/transport.ts';
import type { CachedObject } from './cache/entry.ts';
import type { CacheEvent, CacheWatcher } from './cache/resource-cache.ts';
import { everything, type Selection } from './cache/selection.ts';
import type { EventType, WatchForm } from './encoding/watch-form.ts';
import { adoptView, type Resource, viewOf, viewsReady } from './registry.ts';

export interface WatchPlan {
  readonly resource: Resource;
  readonly prefix: string;
  readonly selection: Selection;
  /** What is sent before live events: the state, or what was missed; or why the watch cannot be served. */
  readonly beginning: () =>
    | { readonly state: readonly CachedObject[]; readonly revision: number }
    | { readonly missed: readonly CacheEvent[]; readonly revision: number }
    | { readonly refused: Status };
  readonly bookmarks: boolean;
  /** A bookmark that says the state is complete. */
  readonly marksInitialEnd: boolean;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly currentRevision: () => number;
  readonly signal: AbortSignal;
  readonly onSent?: (bytes: number) => void;
  /** The state at the beginning is sent. */
  readonly onReady?: (() => void) | undefined;
  readonly onEnd?: (() => void) | undefined;
}

/** Upstream sends one about every minute, and one shortly before the watch times out. */
const bookmarkIntervalMs = 60_000;
const bookmarkBeforeTimeoutMs = 2_000;
/** Events of the state at the beginning that are sent in one turn of the event loop. */
const eventsPerTurn = 128;

/** One watch: feeds a sink until the client, the timeout or a full buffer ends it. */
export class WatchStream<Item> implements CacheWatcher {
  readonly prefix: string;
  /** What the cache has to tell of. */
  readonly selection: Selection;
  readonly #selection: Selection;
  readonly #plan: WatchPlan;
  readonly #form: WatchForm<Item>;
  readonly #names: EncodingNames;
  readonly #sink: WatchSink<Item>;
  /** Live events that wait until the beginning is sent; undefined from then on. */
  #pending: CacheEvent[] | undefined = [];
  /** Live events that wait until somebody has converted their objects; undefined where nobody has to be asked. */
  #unconverted: CacheEvent[] | undefined;
  #converting = false;
  /** Live events up to here are in the beginning. */
  #after = 0;
  #first = true;
  #ended = false;
  #leave: (() => void) | undefined;
  #cancelTimeout: (() => void) | undefined;
  #cancelBookmark: (() => void) | undefined;
  readonly #abort = () => this.#end();

  constructor(plan: WatchPlan, form: WatchForm<Item>, sink: WatchSink<Item>) {
    this.#plan = plan;
    this.#form = form;
    this.#names = namesOf(form.name);
    this.#sink = sink;
    this.prefix = plan.prefix;
    this.#selection = plan.selection;
    const converts = plan.resource.kind.convert !== undefined;
    if (converts) this.#unconverted = [];
    this.selection = converts ? everything : plan.selection;
  }

  start(): void {
    const { signal, clock, timeoutMs, bookmarks, resource } = this.#plan;
    if (signal.aborted) return this.#end();
    signal.addEventListener('abort', this.#abort, { once: true });
    const beginning = this.#plan.beginning();
    if ('refused' in beginning) {
      this.#push(this.#form.error(beginning.refused));
      return this.#end();
    }
    this.#after = beginning.revision;
    this.#leave = resource.cache.watch(this);
    this.#cancelTimeout = clock.after(timeoutMs, () => this.#end());
    if (bookmarks) this.#scheduleBookmark(clock.monotonic() + timeoutMs);
    if ('missed' in beginning) {
      for (const event of beginning.missed) this.#live(event);
      this.#goLive();
    } else {
      void this.#sendState(beginning.state, beginning.revision);
    }
  }

  onEvent(event: CacheEvent): void {
    if (event.revision <= this.#after) return;
    if (!this.#pending) return this.#live(event);
    this.#pending.push(event);
    if (this.#pending.length > limits.watchBufferEventsMax) this.#end();
  }

  onEnd(): void {
    this.#end();
  }

  async #sendState(state: readonly CachedObject[], revision: number): Promise<void> {
    const { resource } = this.#plan;
    const { matches } = this.#selection;
    for (let index = 0; index < state.length && !this.#ended; index++) {
      const entry = state[index] as CachedObject;
      if (this.#unconverted && index % eventsPerTurn === 0)
        if (!(await this.#ready(state.slice(index, index + eventsPerTurn)))) return;
      if (!this.#unconverted || !matches || matches(viewOf(resource, entry))) this.#sendEntry('ADDED', entry);
      if ((index + 1) % eventsPerTurn !== 0) continue;
      await this.#sink.room?.();
      await new Promise(resolve => setImmediate(resolve));
    }
    if (this.#ended) return;
    if (this.#plan.marksInitialEnd) this.#push(this.#form.bookmark(revision, true));
    this.#goLive();
  }

  #goLive(): void {
    this.#plan.onReady?.();
    const pending = this.#pending ?? [];
    this.#pending = undefined;
    for (const event of pending) this.#live(event);
  }

  #live(event: CacheEvent): void {
    if (!this.#unconverted) return this.#send(event);
    this.#unconverted.push(event);
    if (this.#unconverted.length > limits.watchBufferEventsMax) return this.#end();
    if (!this.#converting) void this.#sendConverted(this.#unconverted);
  }

  async #sendConverted(waiting: CacheEvent[]): Promise<void> {
    this.#converting = true;
    while (waiting.length > 0 && !this.#ended) {
      const events = waiting.splice(0);
      const entries = events.flatMap(({ entry, previous }) => (previous ? [entry, previous] : [entry]));
      if (!(await this.#ready(entries))) return;
      for (const event of events) this.#send(event);
    }
    this.#converting = false;
  }

  /** False: they cannot be converted, and the watch has ended with the reason. */
  async #ready(entries: readonly CachedObject[]): Promise<boolean> {
    try {
      await viewsReady(this.#plan.resource, entries);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#push(this.#form.error(error.status));
      this.#end();
    }
    return !this.#ended;
  }

  #send(event: CacheEvent): void {
    if (this.#ended) return;
    const { matches } = this.#selection;
    const now = !event.deleted && (!matches || matches(this.#view(event.entry)));
    const before = event.previous !== undefined && (!matches || matches(this.#view(event.previous)));
    if (now) return this.#sendEvent(before ? 'MODIFIED' : 'ADDED', event, event.entry, '');
    if (!before) return;
    if (event.deleted) return this.#sendEvent('DELETED', event, event.entry, '');
    // It no longer matches: for this watch it is gone, as it was when it last matched.
    const { previous } = event;
    const gone = event.encoded('gone', () => (previous as CachedObject).deletedAt(event.revision));
    if (this.#unconverted) adoptView(this.#plan.resource, gone, previous as CachedObject);
    this.#sendEvent('DELETED', event, gone, 'gone');
  }

  #view(entry: CachedObject): ApiObject {
    return viewOf(this.#plan.resource, entry);
  }

  #sendEvent(type: EventType, event: CacheEvent, entry: CachedObject, note: '' | 'gone'): void {
    const form = this.#form;
    if (this.#first && form.first) return this.#sendEntry(type, entry);
    const name = this.#names[note === '' ? type : note];
    // Of thousands of watches only the first one encodes.
    const known = event.known(name) as Item | undefined;
    this.#push(known ?? event.encoded(name, () => form.event(type, entry)));
  }

  #sendEntry(type: EventType, entry: CachedObject): void {
    const form = this.#form;
    const item = this.#first && form.first ? form.first(type, entry) : form.event(type, entry);
    this.#first = false;
    this.#push(item);
  }

  #push(item: Item): void {
    if (this.#ended) return;
    if (!this.#sink.push(item)) return this.#end();
    this.#plan.onSent?.(item instanceof Uint8Array ? item.length : 0);
  }

  #scheduleBookmark(endMs: number): void {
    const { clock } = this.#plan;
    const leftMs = endMs - clock.monotonic() - bookmarkBeforeTimeoutMs;
    if (leftMs <= 0) return;
    this.#cancelBookmark = clock.after(Math.min(bookmarkIntervalMs, leftMs), () => {
      // While the state is being sent a bookmark would promise what is not there yet.
      if (!this.#pending && !this.#converting) this.#push(this.#form.bookmark(this.#plan.currentRevision(), false));
      this.#scheduleBookmark(endMs);
    });
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#plan.onReady?.();
    this.#plan.onEnd?.();
    this.#leave?.();
    this.#cancelTimeout?.();
    this.#cancelBookmark?.();
    this.#pending = [];
    this.#plan.signal.removeEventListener('abort', this.#abort);
    this.#sink.end();
  }
}

/** What the encodings of one form are called, by what they tell. */
type EncodingNames = Readonly<Record<EventType | 'gone', string>>;

/** The same strings for all watches of one form: they are looked up for every event of every watch. */
const names = new Map<string, EncodingNames>();
const namesMax = 1_024;

function namesOf(form: string): EncodingNames {
  let known = names.get(form);
  if (!known) {
    known = {
      ADDED: `${form}:ADDED`,
      MODIFIED: `${form}:MODIFIED`,
      DELETED: `${form}:DELETED`,
      gone: `${form}:gone`,
    };
    // Definitions come and go.
    if (names.size >= namesMax) names.clear();
    names.set(form, known);
  }
  return known;
}
