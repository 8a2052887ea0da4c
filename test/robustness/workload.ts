import type { Random } from '#base/random.ts';
import type { History, ListRead, Operation, Outcome, WatchEntry } from './history.ts';

/** A way to an API server: over HTTPS from another process, or straight to one in this process. */
export interface Api {
  /** Rejects with `NotSentError` when nobody can have heard it, and with anything else when that is not known. */
  send(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<Answer>;
  /** Gives the events of a watch until it ends. Rejects with `RefusedError` when it is refused. */
  watch(path: string, onEvent: (event: WatchEvent) => void, signal: AbortSignal): Promise<void>;
}

export interface Answer {
  readonly code: number;
  // Clients look into answers of every kind.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly body: any;
}

export interface WatchEvent {
  readonly type: string;
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly object: any;
}

export class NotSentError extends Error {
  override readonly name = 'NotSentError';
}

export class RefusedError extends Error {
  override readonly name = 'RefusedError';
  readonly code: number;

  constructor(code: number) {
    super(`refused with ${code}`);
    this.code = code;
  }
}

export interface ClientOptions {
  readonly api: Api;
  readonly name: string;
  readonly keys: readonly string[];
  readonly random: Random;
  /** Of a clock that all clients share. */
  now(): number;
  pause(ms: number): Promise<void>;
  readonly signal: AbortSignal;
}

const path = '/api/v1/namespaces/default/configmaps';

/** Makes requests one after the other until the signal aborts, and notes what came of them. */
export async function runRequests(options: ClientOptions): Promise<History> {
  const { api, name: client, keys, random, now, pause, signal } = options;
  const operations: Operation[] = [];
  const lists: ListRead[] = [];
  const known = new Map<string, number>();
  let count = 0;

  const outcomeOf = async (
    key: string,
    kind: Operation['kind'],
    request: () => Promise<Answer>,
  ): Promise<Outcome | undefined> => {
    try {
      const { code, body } = await request();
      if (code === 404) return { type: 'absent' };
      if (code === 409) return { type: body.reason === 'AlreadyExists' ? 'present' : 'conflict' };
      // Whoever is too busy, or on the way down, has not begun.
      if (code >= 400 && code < 500) return undefined;
      if (code >= 500) return { type: 'unknown' };
      if (kind === 'delete') return { type: 'done' };
      const revision = Number(body.metadata.resourceVersion);
      known.set(key, revision);
      return { type: 'done', revision, value: body.data.value };
    } catch (error) {
      if (error instanceof NotSentError) return undefined;
      return { type: 'unknown' };
    }
  };

  const operate = async (kind: Operation['kind'], key: string): Promise<boolean> => {
    const expected = kind === 'update' || kind === 'delete' ? known.get(key) : undefined;
    if ((kind === 'update' || kind === 'delete') && expected === undefined) return operate('get', key);
    const value = kind === 'create' || kind === 'update' ? `${client}-${count++}` : undefined;
    const metadata = { name: key, ...(expected !== undefined && { resourceVersion: String(expected) }) };
    const calledMs = now();
    const outcome = await outcomeOf(key, kind, () => {
      switch (kind) {
        case 'create':
          return api.send('POST', path, { metadata, data: { value } });
        case 'update':
          return api.send('PUT', `${path}/${key}`, { metadata, data: { value } });
        case 'delete':
          return api.send('DELETE', `${path}/${key}`, { preconditions: { resourceVersion: String(expected) } });
        case 'get':
          return api.send('GET', `${path}/${key}`);
      }
    });
    const returnedMs = now();
    if (outcome && outcome.type !== 'unknown' && outcome.type !== 'done') known.delete(key);
    if (!outcome || (outcome.type === 'unknown' && kind === 'get')) return false;
    operations.push({
      client,
      key,
      kind,
      calledMs,
      returnedMs,
      ...(value !== undefined && { value }),
      ...(expected !== undefined && { expected }),
      outcome,
    });
    return outcome.type !== 'unknown';
  };

  const list = async (): Promise<boolean> => {
    const calledMs = now();
    try {
      const { code, body } = await api.send('GET', path);
      if (code !== 200) return false;
      lists.push({ client, calledMs, returnedMs: now(), ...listOf(body, keys) });
      return true;
    } catch {
      // Nothing was asked for that could be half done.
      return false;
    }
  };

  while (!signal.aborted) {
    const dice = random.next();
    const key = keys[Math.floor(random.next() * keys.length)] as string;
    const isAnswered = await (dice < 0.04
      ? list()
      : operate(dice < 0.25 ? 'create' : dice < 0.6 ? 'update' : dice < 0.7 ? 'delete' : 'get', key));
    await pause(isAnswered ? random.next() * 4 : 40);
  }
  return { operations, lists, watches: [] };
}

/** Watches until the signal aborts, from where it was each time, and notes what it was told. */
export async function runWatch(options: ClientOptions & { readonly initialEvents: boolean }): Promise<History> {
  const { api, name: client, keys, now, pause, signal, initialEvents } = options;
  const lists: ListRead[] = [];
  const watches: { client: string; after: number; entries: WatchEntry[] }[] = [];
  let after: number | undefined;

  /** State and what follows in one watch: the bookmark behind the state says of which revision it is. */
  const begin = async () => {
    const calledMs = now();
    const entries: { key: string; revision: number; value: string }[] = [];
    let stream: (typeof watches)[0] | undefined;
    const query = 'watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true';
    await api.watch(
      `${path}?${query}`,
      event => {
        if (stream) return tell(stream, event);
        const { metadata } = event.object;
        const revision = Number(metadata.resourceVersion);
        if (event.type === 'BOOKMARK') {
          stream = { client, after: revision, entries: [] };
          watches.push(stream);
          after = revision;
          lists.push({ client, calledMs, returnedMs: now(), revision, entries });
        } else if (keys.includes(metadata.name)) {
          entries.push({ key: metadata.name, revision, value: event.object.data.value });
        }
      },
      signal,
    );
  };

  const tell = (stream: (typeof watches)[0], { type, object }: WatchEvent) => {
    if (type === 'ERROR') {
      after = undefined;
      return;
    }
    const revision = Number(object.metadata.resourceVersion);
    after = revision;
    if (type === 'BOOKMARK') stream.entries.push({ type: 'bookmark', revision });
    else
      stream.entries.push({
        type: type === 'DELETED' ? 'delete' : 'put',
        revision,
        key: object.metadata.name,
        value: object.data.value,
      });
  };

  while (!signal.aborted) {
    try {
      if (after === undefined && initialEvents) {
        await begin();
        continue;
      }
      if (after === undefined) {
        const calledMs = now();
        const { code, body } = await api.send('GET', path);
        if (code !== 200) throw new RefusedError(code);
        const found = listOf(body, keys);
        lists.push({ client, calledMs, returnedMs: now(), ...found });
        after = found.revision;
      }
      const stream = { client, after, entries: [] };
      watches.push(stream);
      await api.watch(
        `${path}?watch=true&allowWatchBookmarks=true&resourceVersion=${after}`,
        event => tell(stream, event),
        signal,
      );
    } catch (error) {
      if (error instanceof RefusedError && error.code === 410) after = undefined;
      if (!signal.aborted) await pause(40);
    }
  }
  return { operations: [], lists, watches };
}

// oxlint-disable-next-line typescript/no-explicit-any
function listOf(body: any, keys: readonly string[]): Pick<ListRead, 'revision' | 'entries'> {
  const items = body.items as { metadata: { name: string; resourceVersion: string }; data: { value: string } }[];
  return {
    revision: Number(body.metadata.resourceVersion),
    entries: items
      .filter(({ metadata }) => keys.includes(metadata.name))
      .map(({ metadata, data }) => ({
        key: metadata.name,
        revision: Number(metadata.resourceVersion),
        value: data.value,
      })),
  };
}
