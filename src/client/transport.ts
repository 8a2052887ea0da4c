import type { Duplex } from 'node:stream';

/**
 * A request as the API server's handler chain sees it, whatever carried it. HTTP fills `body` with bytes; a client in the
 * same process hands the object itself.
 */
export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'HEAD' | 'OPTIONS';
  readonly path: string;
  readonly query: URLSearchParams;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Reads the whole body (bounded; 413 beyond the limit), or the object of a client in this process. */
  body(): Promise<RequestBody>;
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal;
}

export type RequestBody =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array; readonly contentType: string }
  /** Already a value. The chain may keep and change it: the client gives it away. */
  | { readonly kind: 'object'; readonly object: unknown; readonly contentType: string };

/** An answer before it is put on the wire. */
export type ApiResponse = {
  readonly code: number;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
} & (
  | { readonly kind: 'bytes'; readonly bytes: readonly Uint8Array[] }
  /** An object or list; `bytes` is its encoding where a client wants bytes. In-process clients take the object. */
  | { readonly kind: 'object'; readonly object: unknown; bytes(): readonly Uint8Array[] }
  /** A watch: each chunk is one or more encoded events; in-process clients take the events. */
  | { readonly kind: 'watch'; readonly watch: WatchResponse }
  /** A body of unknown length: logs, proxied answers. */
  | { readonly kind: 'stream'; readonly stream: AsyncIterable<Uint8Array> }
  /** 101: the handler takes over the connection. `head` is what the client already sent. */
  | { readonly kind: 'upgrade'; take(socket: Duplex, head: Uint8Array): Promise<void> }
);

/** Pushes to a sink, so that one event object (and one encoding) serves all watchers. */
export interface WatchResponse {
  /** Starts the flow. Exactly one of the two forms is called. */
  toObjects(sink: WatchSink<unknown>): void;
  toBytes(sink: WatchSink<Uint8Array>): void;
}

export interface WatchSink<Item> {
  /** False: the sink is full, and the watch will be ended for it. */
  push(item: Item): boolean;
  end(): void;
  /**
   * Resolves when there is room again. The state at the beginning of a watch can be larger than any buffer: it is sent at
   * the client's pace where the sink has this.
   */
  room?(): Promise<void>;
}
