import { createHash, hash } from 'node:crypto';
import type { ApiObject } from '#api/machinery/kind.ts';
import type { ApiRequest } from '#client/transport.ts';
import type { Storage, StorageEvent } from '#storage/storage.ts';
import type { VirtualTime } from './virtual-time.ts';

/** One change as the store made it. */
export interface Change {
  readonly type: 'put' | 'delete';
  /** `pods`, `deployments.apps` */
  readonly resource: string;
  /** `namespace/name` or `name` */
  readonly key: string;
  readonly revision: number;
  readonly object: ApiObject;
  /** What it was before. */
  readonly previous: ApiObject | undefined;
  readonly atMs: number;
}

type Listener = (change: Change) => void;

const prefix = '/registry/';

/**
 * Sees every change the moment the store makes it, ahead of everybody in the simulation: the truth that the rest is held
 * against. Keeps what is there, and the revisions of every resource.
 */
export class History {
  readonly problems: string[] = [];
  readonly #time: VirtualTime;
  readonly #current = new Map<string, Map<string, ApiObject>>();
  /** What the store has to have, by its keys. */
  readonly #stored = new Map<string, { readonly revision: number; readonly bytes: Buffer }>();
  readonly #revisions = new Map<string, number[]>();
  readonly #listeners: Listener[] = [];
  readonly #digest = createHash('sha256');
  readonly #tail: string[] = [];
  #revision = 1;
  /** Until when components may act by what they saw long ago, because watches were late. */
  staleUntilMs = 0;
  /** How many lines the log of the run has. */
  lines = 0;

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  /** Sees what the store makes from now on, and what it has made since the last was seen; before anybody else watches it. */
  async follow(storage: Storage): Promise<void> {
    const seen = this.#revision;
    await storage.watch(
      '',
      seen,
      {
        onEvents: events => {
          for (const event of events) this.#see(event);
        },
        onEnd: error => this.problem(`the store's own watch ended: ${error.message}`),
      },
      new AbortController().signal,
    );
    if (seen > 1) await this.#compare(storage);
  }

  /** What a store that was opened again has is what it has told of, and nothing else. */
  async #compare(storage: Storage): Promise<void> {
    const { entries, revision } = await storage.range('');
    if (revision !== this.#revision)
      this.problem(`the store was at revision ${this.#revision}, and is at ${revision} after it was opened again`);
    const missing = new Map(this.#stored);
    for (const { key, modRevision, value } of entries) {
      const known = missing.get(key);
      missing.delete(key);
      if (known?.revision !== modRevision || !known.bytes.equals(value.bytes))
        this.problem(`the store has ${key} of ${modRevision}, and not as it was told of (${known?.revision})`);
    }
    for (const [key, { revision: lost }] of missing)
      this.problem(`the store has lost ${key} of ${lost}, which was acknowledged`);
  }

  /** The objects of a resource by their keys. */
  of<Type extends ApiObject>(resource: string): ReadonlyMap<string, Type> {
    return (this.#current.get(resource) ?? emptyMap) as ReadonlyMap<string, Type>;
  }

  get resources(): Iterable<string> {
    return this.#current.keys();
  }

  get revision(): number {
    return this.#revision;
  }

  listen(listener: Listener): void {
    this.#listeners.push(listener);
  }

  /** A line of the log of the run. Two runs of one seed have the same lines. */
  note(line: string): void {
    const text = `${(this.#time.elapsedMs / 1000).toFixed(3)} ${line}`;
    this.#digest.update(`${text}\n`);
    this.lines++;
    this.#tail.push(text);
    if (this.#tail.length > 4000) this.#tail.splice(0, 2000);
  }

  problem(what: string): void {
    this.note(`PROBLEM ${what}`);
    if (this.problems.length < 50) this.problems.push(`${(this.#time.elapsedMs / 1000).toFixed(3)}s: ${what}`);
  }

  /** Of all lines so far. */
  get digest(): string {
    return this.#digest.copy().digest('hex');
  }

  get tail(): readonly string[] {
    return this.#tail;
  }

  /** Whether the write that was acknowledged with this revision is one of those that happened. */
  holds(resource: string, revision: number): boolean {
    const revisions = this.#revisions.get(resource) ?? [];
    return revisions[firstAfter(revisions, revision - 1)] === revision;
  }

  /**
   * Follows what a server answers to one watch: in order, nothing twice, nothing left out. Only of watches of everything of
   * a resource from a revision on: what a selection leaves out cannot be told from what is missing.
   */
  watchObserver(server: string, client: string, request: ApiRequest): ((event: unknown) => void) | undefined {
    const { query } = request;
    const resource = resourceOf(request.path);
    if (resource === undefined || query.has('labelSelector') || query.has('fieldSelector')) return undefined;
    const from = query.get('resourceVersion') ?? '';
    // Before the bookmark that ends the initial state, events are in no order.
    let last = /^[1-9]\d*$/.test(from) && !query.has('sendInitialEvents') ? Number(from) : undefined;
    return item => {
      const event = item as { readonly type: string; readonly object: ApiObject };
      const revision = Number(event.object?.metadata?.resourceVersion);
      if (event.type === 'ERROR') return;
      if (last === undefined) {
        if (event.type === 'BOOKMARK') last = revision;
        return;
      }
      const revisions = this.#revisions.get(resource) ?? [];
      const next = revisions[firstAfter(revisions, last)];
      const what = `${server} tells ${client} of ${resource}`;
      if (event.type === 'BOOKMARK') {
        if (revision < last) this.problem(`${what}: a bookmark of ${revision} after ${last}`);
        else if (next !== undefined && next <= revision)
          this.problem(`${what}: a bookmark of ${revision} but not the change of ${next}`);
      } else if (revision !== next)
        this.problem(`${what}: ${event.type} of ${revision} after ${last}, where ${next ?? 'nothing'} comes next`);
      last = Math.max(last, revision);
    };
  }

  #see(event: StorageEvent): void {
    if (event.revision !== this.#revision + 1)
      this.problem(`the store's revision goes from ${this.#revision} to ${event.revision}`);
    this.#revision = event.revision;
    const bytes = Buffer.from(event.value.bytes.buffer, event.value.bytes.byteOffset, event.value.bytes.byteLength);
    if (event.type === 'put') this.#stored.set(event.key, { revision: event.revision, bytes });
    else this.#stored.delete(event.key);
    if (!event.key.startsWith(prefix)) return;
    const slash = event.key.indexOf('/', prefix.length);
    const resource = event.key.slice(prefix.length, slash);
    const key = event.key.slice(slash + 1);
    const revisions = this.#revisions.get(resource);
    if (revisions) revisions.push(event.revision);
    else this.#revisions.set(resource, [event.revision]);
    let objects = this.#current.get(resource);
    if (!objects) this.#current.set(resource, (objects = new Map()));
    const previous = objects.get(key);
    const object = JSON.parse(bytes.toString()) as ApiObject;
    if (event.type === 'put') objects.set(key, object);
    else objects.delete(key);
    const digest = hash('sha1', bytes, 'hex').slice(0, 12);
    this.note(`${event.revision} ${event.type} ${resource}/${key} ${digest}`);
    const change: Change = {
      type: event.type,
      resource,
      key,
      revision: event.revision,
      object,
      previous,
      atMs: this.#time.nowMs,
    };
    for (const listener of this.#listeners) listener(change);
  }
}

const emptyMap: ReadonlyMap<string, never> = new Map<string, never>();

/** The index of the first that is greater. */
function firstAfter(sorted: readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as number) > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** `/apis/apps/v1/deployments` → `deployments.apps`; undefined for what is below a namespace or is one object. */
function resourceOf(path: string): string | undefined {
  const parts = path.split('/').filter(part => part !== '');
  if (parts[0] === 'api' && parts.length === 3) return parts[2];
  // Stored as those of the core.
  if (parts[1] === 'events.k8s.io') return 'events';
  if (parts[0] === 'apis' && parts.length === 4) return `${parts[3]}.${parts[1]}`;
  return undefined;
}
