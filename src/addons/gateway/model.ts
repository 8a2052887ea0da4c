import type { Automaton } from './automaton.ts';

/** What the proxy is to do, in its own terms: nothing of the API's objects is left in it. */
export interface ProxyModel {
  readonly ports: readonly ProxyPort[];
  /** By name. */
  readonly backends: ReadonlyMap<string, ProxyBackend>;
}

/** A port that somebody from outside connects to. */
export interface ProxyPort {
  /** Whose it is and its number: `namespace/name:443`. */
  readonly id: string;
  readonly number: number;
  readonly listeners: readonly ProxyListener[];
  readonly clientValidation?: { readonly caPem: string; readonly optional: boolean };
}

export type ProxyListener = HttpListener | TlsListener;

export interface HttpListener {
  readonly type: 'http' | 'https';
  /** Empty: any. `*.example.com`: all below. */
  readonly hostname: string;
  readonly certificates: readonly Certificate[];
  readonly entries: readonly HttpEntry[];
}

export interface TlsListener {
  readonly type: 'passthrough' | 'terminate';
  readonly hostname: string;
  readonly certificates: readonly Certificate[];
  readonly entries: readonly TlsEntry[];
}

/** PEM, checked: the key is that of the first certificate. */
export interface Certificate {
  readonly certPem: string;
  readonly keyPem: string;
  /** Host names that it is for; absent: those of the listener. */
  readonly names?: readonly string[];
}

export interface HttpEntry {
  readonly hostname: string;
  /** A wildcard stands for one label only (Ingress). */
  readonly oneLabel?: boolean;
  readonly path: PathMatch;
  readonly method?: string;
  readonly headers: readonly FieldMatch[];
  readonly query: readonly FieldMatch[];
  readonly rule: HttpRule;
  /** Of two that match alike the lesser in this order decides. */
  readonly age: string;
  /** Behind every other of its path. */
  readonly last?: boolean;
}

export type PathMatch =
  | { readonly type: 'exact' | 'prefix'; readonly path: string }
  /** `late`: behind prefixes. */
  | { readonly type: 'pattern'; readonly pattern: Automaton; readonly length: number; readonly late?: boolean };

export interface FieldMatch {
  readonly name: string;
  readonly value: string | Automaton;
}

export interface HttpRule {
  readonly backends: readonly WeightedBackend[];
  readonly filters: Filters;
  readonly timeoutMs?: number;
  /** What a request gets whose backend cannot be used; gRPC clients know what 503 means. */
  readonly failure?: 503;
}

export interface WeightedBackend {
  readonly weight: number;
  /** Absent: what it refers to cannot be used, and its share of the requests fails. */
  readonly backend?: string;
  readonly filters: Filters;
}

export interface Filters {
  readonly request?: HeaderChanges;
  readonly response?: HeaderChanges;
  readonly redirect?: {
    readonly scheme?: string;
    readonly host?: string;
    readonly port?: number;
    readonly path?: PathChange;
    readonly code: number;
  };
  readonly rewrite?: { readonly host?: string; readonly path?: PathChange };
  /** `share` of `of` requests. */
  readonly mirrors?: readonly { readonly backend: string; readonly share: number; readonly of: number }[];
  readonly cors?: {
    readonly origins: readonly string[];
    readonly credentials: boolean;
    readonly methods: readonly string[];
    readonly headers: readonly string[];
    readonly exposed: readonly string[];
    readonly maxAgeSeconds: number;
  };
}

export interface HeaderChanges {
  readonly set: readonly (readonly [string, string])[];
  readonly add: readonly (readonly [string, string])[];
  readonly remove: readonly string[];
}

export type PathChange = { readonly full: string } | { readonly prefix: string };

export interface TlsEntry {
  readonly hostname: string;
  readonly backends: readonly WeightedBackend[];
  readonly age: string;
}

/** A port of a Service. */
export interface ProxyBackend {
  readonly name: string;
  readonly namespace: string;
  readonly service: string;
  /** The name of the Service's port, as its EndpointSlices have it. */
  readonly portName: string;
  readonly protocol: 'http' | 'h2c' | 'tcp';
  readonly tls?: BackendTls;
}

export interface BackendTls {
  /** Absent: the authorities that the system believes. */
  readonly caPem?: string;
  readonly hostname: string;
  /** Names of which the certificate must have one; absent: the host name. */
  readonly names?: readonly string[];
  readonly client?: Certificate;
}
