import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Automaton } from './automaton.ts';
import type {
  BackendTls,
  Certificate,
  FieldMatch,
  Filters,
  HeaderChanges,
  HttpEntry,
  HttpListener,
  HttpRule,
  PathChange,
  ProxyBackend,
  ProxyListener,
  ProxyModel,
  ProxyPort,
  TlsEntry,
  WeightedBackend,
} from './model.ts';

/** What the proxy reads: names of files below its directory, and what is in them. */
export type ProxyFiles = ReadonlyMap<string, string>;

export interface ProxySettings {
  /** The address of this machine that all ports are on. */
  readonly address: string;
  /** By the port's id. */
  readonly localPorts: ReadonlyMap<string, number>;
  readonly metricsPort: number;
  readonly threads: number;
  /** Names the proxy's own sockets on this machine. */
  readonly clusterId: string;
  /** `ip:port` of the servers of a backend, by the backend's name. */
  servers(backend: ProxyBackend): readonly string[];
}

export const configurationFile = 'haproxy.cfg';
export const adminSocket = 'admin.sock';
const routerFile = 'router.lua';

/**
 * The proxy's configuration. What users write comes into it in two ways only: as Lua strings in which every byte that is not
 * a letter, a digit or one of `/._-` is a number, and as host names that are looked at once more here. So no value of
 * theirs can end a string, a line or a section.
 */
export function proxyFiles(model: ProxyModel, settings: ProxySettings): ProxyFiles {
  const files = new Map<string, string>();
  const lines = [...globalLines(settings), ...metricsLines(settings)];
  const rules = new Rules();
  const ports: string[] = [];
  for (const port of model.ports) {
    const local = settings.localPorts.get(port.id);
    if (local === undefined) continue;
    const frontends = frontendsOf(port, local, settings, files);
    lines.push(...frontends.lines);
    for (const { id, listeners, isTls, through } of frontends.tables)
      ports.push(`[${luaText(id)}]={number=${port.number},tls=${isTls},hosts=${hostsOf(listeners, rules, through)}}`);
  }
  for (const backend of model.backends.values()) lines.push(...backendLines(backend, settings, files));
  files.set(configurationFile, `${lines.join('\n')}\n`);
  const data = `local data = {ports={${ports.join(',\n')}},\nrules={${rules.emitted.join(',\n')}}}\n`;
  files.set(routerFile, data + routerSource());
  return files;
}

let source: string | undefined;
function routerSource(): string {
  source ??= readFileSync(join(import.meta.dirname, 'router.lua'), 'utf8');
  return source;
}

function globalLines({ threads }: ProxySettings): readonly string[] {
  return [
    'global',
    `  stats socket unix@${adminSocket} mode 600 level admin expose-fd listeners`,
    '  stats timeout 1m',
    // Sockets are handed on from worker to worker; another process must not get a share of them.
    '  noreuseport',
    `  nbthread ${threads}`,
    `  lua-load-per-thread ${routerFile}`,
    '  user haproxy',
    '  group haproxy',
    '  chroot empty',
    '  log stdout format raw daemon notice',
    '  hard-stop-after 10m',
    '  ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets',
    '  tune.ssl.default-dh-param 2048',
    'defaults',
    '  mode http',
    '  log global',
    '  option dontlog-normal',
    // A connection that idles through a reload is told with its next answer that it is the last.
    '  option idle-close-on-response',
    '  option redispatch 1',
    '  retries 3',
    '  timeout connect 3s',
    '  timeout client 5m',
    '  timeout server 5m',
    '  timeout tunnel 1h',
    '  timeout http-request 15s',
    '  timeout http-keep-alive 60s',
    'defaults connections',
    '  mode tcp',
    '  log global',
    '  option dontlog-normal',
    '  option redispatch 1',
    '  retries 3',
    '  timeout connect 3s',
    '  timeout client 1h',
    '  timeout server 1h',
    '  timeout tunnel 1h',
    'defaults requests',
    '  mode http',
    '  log global',
    '  option dontlog-normal',
    '  option idle-close-on-response',
    '  option redispatch 1',
    '  retries 3',
    '  retry-on conn-failure empty-response',
    '  timeout connect 3s',
    '  timeout client 5m',
    '  timeout server 5m',
    '  timeout tunnel 1h',
    '  timeout http-request 15s',
    '  timeout http-keep-alive 60s',
  ];
}

function metricsLines({ address, metricsPort }: ProxySettings): readonly string[] {
  return [
    'frontend metrics from requests',
    `  bind ${address}:${metricsPort} transparent`,
    '  http-request use-service prometheus-exporter if { path /metrics }',
    '  http-request return status 404',
  ];
}

interface Frontends {
  readonly lines: readonly string[];
  readonly tables: readonly {
    readonly id: string;
    readonly listeners: readonly ProxyListener[];
    readonly isTls: boolean;
    /** Where connections of listeners that end TLS are led, by the listener's type. */
    readonly through?: Readonly<Record<string, string>>;
  }[];
}

function frontendsOf(port: ProxyPort, local: number, settings: ProxySettings, files: Map<string, string>): Frontends {
  const { address, clusterId } = settings;
  const bind = `  bind ${address}:${local} transparent`;
  const name = `p${local}`;
  const of = (type: ProxyListener['type']) => port.listeners.filter(each => each.type === type);
  const plain = of('http');
  if (plain.length > 0)
    return {
      lines: [`frontend ${name} from requests`, bind, ...requestLines(name, 'http', port.number)],
      tables: [{ id: name, listeners: plain, isTls: false }],
    };
  const https = of('https');
  const ended = of('terminate');
  const crypt = (kind: string, listeners: readonly ProxyListener[], alpn: string) =>
    tlsWords(port, `${name}-${kind}`, listeners, alpn, files);
  if (https.length === port.listeners.length)
    return {
      lines: [
        `frontend ${name} from requests`,
        `${bind} ${crypt('https', https, 'h2,http/1.1')}`,
        ...requestLines(name, 'https', port.number),
      ],
      tables: [{ id: name, listeners: https, isTls: true }],
    };
  // Some connections are passed through: the name in their first message decides, before anything is decrypted.
  const inner = (kind: string) => `windlass-${clusterId}-${name}-${kind}`;
  const lines = [
    `frontend ${name} from connections`,
    bind,
    '  tcp-request inspect-delay 5s',
    `  tcp-request content lua.connect ${name} hello if { req.ssl_hello_type 1 }`,
    '  tcp-request content accept if { req.ssl_hello_type 1 } { var(txn.backend) -m found }',
    '  tcp-request content reject',
    '  use_backend %[var(txn.backend)]',
  ];
  const tables: Frontends['tables'][number][] = [
    {
      id: name,
      listeners: port.listeners,
      isTls: true,
      through: { https: `${name}-https`, terminate: `${name}-tls` },
    },
  ];
  const lead = (kind: string) => [
    `backend ${name}-${kind} from connections`,
    `  server inner abns@${inner(kind)} send-proxy-v2`,
  ];
  if (https.length > 0) {
    lines.push(
      ...lead('https'),
      `frontend ${name}-in-https from requests`,
      `  bind abns@${inner('https')} accept-proxy ${crypt('https', https, 'h2,http/1.1')}`,
      ...requestLines(`${name}-https`, 'https', port.number),
    );
    tables.push({ id: `${name}-https`, listeners: https, isTls: true });
  }
  if (ended.length > 0) {
    lines.push(
      ...lead('tls'),
      `frontend ${name}-in-tls from connections`,
      `  bind abns@${inner('tls')} accept-proxy ${crypt('tls', ended, '')}`,
      `  tcp-request content lua.connect ${name}-tls done`,
      '  tcp-request content reject if !{ var(txn.backend) -m found }',
      '  use_backend %[var(txn.backend)]',
    );
    tables.push({ id: `${name}-tls`, listeners: ended, isTls: true });
  }
  return { lines, tables };
}

function requestLines(id: string, scheme: string, port: number): readonly string[] {
  return [
    // What a client says of itself here is not believed.
    '  http-request del-header forwarded',
    '  http-request del-header x-real-ip',
    '  http-request set-header x-forwarded-for %[src]',
    `  http-request set-header x-forwarded-proto ${scheme}`,
    '  http-request set-header x-forwarded-host %[req.hdr(host)]',
    `  http-request set-header x-forwarded-port ${port}`,
    `  http-request lua.route ${id}`,
    '  http-request wait-for-body time 2s if { var(txn.mirrors) -m found }',
    '  http-request lua.mirror if { var(txn.mirrors) -m found }',
    '  http-response lua.answer if { var(txn.answers) -m found }',
    '  use_backend %[var(txn.backend)]',
  ];
}

/** A certificate for each name; without one for any, connections that ask for another name are refused. */
function tlsWords(
  port: ProxyPort,
  name: string,
  listeners: readonly ProxyListener[],
  alpn: string,
  files: Map<string, string>,
): string {
  const lines: string[] = [];
  let takesAny = false;
  // The first is for who asks for no name.
  for (const listener of listeners.toSorted((left, right) => left.hostname.length - right.hostname.length))
    for (const certificate of listener.certificates) {
      const names = certificate.names ?? namesOf(listener);
      if (names.length === 0) takesAny = true;
      lines.push(`${pemFile(certificate, files)} ${(names.length === 0 ? ['*'] : names).map(hostWord).join(' ')}`);
    }
  const list = `${name}.list`;
  files.set(list, `${lines.join('\n')}\n`);
  const words = [`ssl crt-list ${list}`];
  if (alpn !== '') words.push(`alpn ${alpn}`);
  if (!takesAny) words.push('strict-sni');
  if (port.clientValidation) {
    const { caPem, optional } = port.clientValidation;
    const file = contentFile(caPem, 'ca', files);
    words.push(`ca-file ${file} verify ${optional ? 'optional crt-ignore-err all ca-ignore-err all' : 'required'}`);
  }
  return words.join(' ');
}

/** A wildcard of TLS stands for one label: names further down are listed one by one, as far as routes name them. */
function namesOf(listener: ProxyListener): readonly string[] {
  const { hostname } = listener;
  if (!hostname.startsWith('*.')) return hostname === '' ? [] : [hostname];
  const below = listener.entries
    .map(entry => entry.hostname)
    .filter(each => each.endsWith(hostname.slice(1)) && each !== hostname);
  return [hostname, ...new Set(below)];
}

function pemFile(certificate: Certificate, files: Map<string, string>): string {
  return contentFile(`${certificate.certPem.trim()}\n${certificate.keyPem.trim()}\n`, 'pem', files);
}

/** Named after what is in it: an unchanged certificate is an unchanged file. */
function contentFile(text: string, ending: string, files: Map<string, string>): string {
  const name = `${createHash('sha256').update(text).digest('hex').slice(0, 32)}.${ending}`;
  files.set(name, text);
  return name;
}

function backendLines(backend: ProxyBackend, settings: ProxySettings, files: Map<string, string>): readonly string[] {
  const isTcp = backend.protocol === 'tcp';
  const words = serverWords(backend, files);
  return [
    `backend ${wordOf(backend.name)} from ${isTcp ? 'connections' : 'requests'}`,
    '  balance roundrobin',
    ...(isTcp
      ? []
      : [
          // Others must not be sent twice.
          '  http-request disable-l7-retry if !{ method GET HEAD OPTIONS PUT DELETE TRACE }',
          '  http-request set-timeout server var(txn.timeout) if { var(txn.timeout) -m found }',
        ]),
    ...settings.servers(backend).map(address => `  server ${serverName(address)} ${addressWord(address)}${words}`),
  ];
}

/** What stands behind the address of each server of a backend; `files` gets what it names. */
export function serverWords({ protocol, tls }: ProxyBackend, files?: Map<string, string>): string {
  const words = [''];
  if (tls) {
    words.push(...tlsServerWords(tls, files ?? new Map()));
    if (protocol === 'h2c') words.push('alpn h2');
  } else if (protocol === 'h2c') words.push('proto h2');
  return words.join(' ');
}

function tlsServerWords(tls: BackendTls, files: Map<string, string>): readonly string[] {
  const authorities = tls.caPem === undefined ? '@system-ca' : contentFile(tls.caPem, 'ca', files);
  const words = [`ssl verify required ca-file ${authorities} sni str(${hostWord(tls.hostname)})`];
  words.push(`verifyhost ${hostWord(tls.names?.[0] ?? tls.hostname)}`);
  if (tls.client) words.push(`crt ${pemFile(tls.client, files)}`);
  return words;
}

/** `ip:port` as a name of the proxy's. */
export function serverName(address: string): string {
  return `s_${address.replace(/[^0-9a-f]/g, '_')}`;
}

export function addressWord(address: string): string {
  if (!/^(\d+(\.\d+){3}|\[[0-9a-f:.]+\]):\d{1,5}$/.test(address))
    throw new Error(`cannot configure the proxy: ${JSON.stringify(address)} is no address`);
  return address;
}

function wordOf(name: string): string {
  if (!/^[a-z0-9-]+$/.test(name)) throw new Error(`cannot configure the proxy: ${JSON.stringify(name)} is no name`);
  return name;
}

function hostWord(host: string): string {
  if (host.length > 253 || !/^(\*|(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?)$/.test(host))
    throw new Error(`cannot configure the proxy: ${JSON.stringify(host)} is no host name`);
  return host;
}

/** A Lua string that has nothing but letters, digits and numbers of bytes between its quotes. */
export function luaText(text: string): string {
  if (/^[A-Za-z0-9/._-]*$/.test(text)) return `"${text}"`;
  let escaped = '';
  for (const code of Buffer.from(text)) {
    const char = String.fromCharCode(code);
    escaped += /[A-Za-z0-9/._-]/.test(char) ? char : `\\x${code.toString(16).padStart(2, '0')}`;
  }
  return `"${escaped}"`;
}

function hostsOf(
  listeners: readonly ProxyListener[],
  rules: Rules,
  through: Readonly<Record<string, string>> | undefined,
): string {
  return byHost(
    listeners,
    each => each.hostname,
    ([listener]) => {
      if (!listener) return '{}';
      const to = through?.[listener.type];
      if (to !== undefined) return `{to=${luaText(to)}}`;
      if (listener.type === 'http' || listener.type === 'https') return `{hosts=${httpHosts(listener, rules)}}`;
      const names = byHost<TlsEntry>(
        listener.entries as readonly TlsEntry[],
        each => each.hostname,
        entries => {
          const oldest = entries.toSorted((left, right) => (left.age < right.age ? -1 : 1))[0] as TlsEntry;
          return `{r=${rules.idOf({ backends: oldest.backends, filters: {} })}}`;
        },
      );
      return `{names=${names}}`;
    },
  );
}

function byHost<Value>(
  values: readonly Value[],
  hostOf: (value: Value) => string,
  emit: (values: readonly Value[]) => string,
): string {
  const groups = Map.groupBy(values, hostOf);
  const exact: string[] = [];
  const wild: string[] = [];
  let any = '';
  for (const [host, members] of groups) {
    const text = emit(members);
    if (host === '') any = `any=${text}`;
    else if (host.startsWith('*.')) wild.push(`[${luaText(host.slice(2))}]=${text}`);
    else exact.push(`[${luaText(host)}]=${text}`);
  }
  return `{exact={${exact.join(',')}},wild={${wild.join(',')}}${any && `,${any}`}}`;
}

function httpHosts({ entries }: HttpListener, rules: Rules): string {
  return byHost(
    entries,
    each => each.hostname,
    members => tablesOf(members, rules),
  );
}

function tablesOf(entries: readonly HttpEntry[], rules: Rules): string {
  const exact = new Map<string, HttpEntry[]>();
  const prefixes = new Map<string, HttpEntry[]>();
  const patterns: HttpEntry[] = [];
  const late: HttpEntry[] = [];
  let longest = 0;
  for (const entry of entries.toSorted(precedence)) {
    const { path } = entry;
    if (path.type === 'pattern') (path.late ? late : patterns).push(entry);
    else {
      const key = path.type === 'prefix' ? prefixKey(path.path) : path.path;
      const lists = path.type === 'prefix' ? prefixes : exact;
      if (path.type === 'prefix') longest = Math.max(longest, Buffer.byteLength(key));
      const list = lists.get(key);
      if (list) list.push(entry);
      else lists.set(key, [entry]);
    }
  }
  const list = (members: readonly HttpEntry[]) => `{${members.map(each => matchOf(each, rules)).join(',')}}`;
  const table = (lists: ReadonlyMap<string, readonly HttpEntry[]>) =>
    `{${[...lists].map(([key, members]) => `[${luaText(key)}]=${list(members)}`).join(',')}}`;
  const parts = [`n=${longest}`];
  if (entries.some(each => each.oneLabel)) parts.push('one=true');
  if (exact.size > 0) parts.push(`e=${table(exact)}`);
  if (patterns.length > 0) parts.push(`r=${list(patterns)}`);
  if (prefixes.size > 0) parts.push(`p=${table(prefixes)}`);
  if (late.length > 0) parts.push(`l=${list(late)}`);
  return `{${parts.join(',')}}`;
}

/** `/a/` and `/a` are one prefix, and `/` is none at all. */
function prefixKey(path: string): string {
  return path.replace(/\/+$/, '');
}

/** The specification's order among matches of one path, then the age of what they come from. */
function precedence(left: HttpEntry, right: HttpEntry): number {
  const length = (entry: HttpEntry) => (entry.path.type === 'pattern' ? entry.path.length : 0);
  return (
    length(right) - length(left) ||
    Number(left.last ?? false) - Number(right.last ?? false) ||
    Number(right.method !== undefined) - Number(left.method !== undefined) ||
    right.headers.length - left.headers.length ||
    right.query.length - left.query.length ||
    (left.age < right.age ? -1 : left.age > right.age ? 1 : 0)
  );
}

function matchOf({ path, method, headers, query, rule }: HttpEntry, rules: Rules): string {
  const parts = [`r=${rules.idOf(rule)}`];
  if (method !== undefined) parts.push(`m=${luaText(method)}`);
  if (headers.length > 0) parts.push(`h={${headers.map(each => fieldOf(each, each.name.toLowerCase())).join(',')}}`);
  if (query.length > 0) parts.push(`q={${query.map(each => fieldOf(each, each.name)).join(',')}}`);
  if (path.type === 'prefix') parts.push(`p=${Buffer.byteLength(prefixKey(path.path))}`);
  if (path.type === 'pattern') parts.push(`x=${automatonOf(path.pattern)}`);
  return `{${parts.join(',')}}`;
}

function fieldOf({ value }: FieldMatch, name: string): string {
  const wanted = typeof value === 'string' ? `v=${luaText(value)}` : `x=${automatonOf(value)}`;
  return `{n=${luaText(name)},${wanted}}`;
}

function automatonOf({ classes, classCount, moves, accepts }: Automaton): string {
  return `{c={${classes.join(',')}},k=${classCount},t={${moves.join(',')}},a={${accepts.map(Number).join(',')}}}`;
}

/** Rules are many matches' and are written once. */
class Rules {
  readonly emitted: string[] = [];
  readonly #ids = new Map<HttpRule, number>();

  idOf(rule: HttpRule): number {
    const known = this.#ids.get(rule);
    if (known !== undefined) return known;
    const parts = [`b={${rule.backends.map(weighted).join(',')}}`];
    const filters = filtersOf(rule.filters);
    if (filters !== '{}') parts.push(`f=${filters}`);
    if (rule.timeoutMs !== undefined) parts.push(`t=${rule.timeoutMs}`);
    if (rule.failure === 503) parts.push('g=true');
    const id = this.emitted.push(`{${parts.join(',')}}`);
    this.#ids.set(rule, id);
    return id;
  }
}

function weighted({ weight, backend, filters }: WeightedBackend): string {
  const parts = [`w=${weight}`];
  if (backend !== undefined) parts.push(`b=${luaText(backend)}`);
  const own = filtersOf(filters);
  if (own !== '{}') parts.push(`f=${own}`);
  return `{${parts.join(',')}}`;
}

function filtersOf({ request, response, redirect, rewrite, mirrors, cors }: Filters): string {
  const parts: string[] = [];
  if (request) parts.push(`h=${changesOf(request)}`);
  if (response) parts.push(`a=${changesOf(response)}`);
  if (redirect) {
    const { scheme, host, port, path, code } = redirect;
    const words = [`code=${code}`];
    if (scheme !== undefined) words.push(`scheme=${luaText(scheme)}`);
    if (host !== undefined) words.push(`host=${luaText(host)}`);
    if (port !== undefined) words.push(`port=${port}`);
    if (path) words.push(`path=${pathOf(path)}`);
    parts.push(`r={${words.join(',')}}`);
  }
  if (rewrite) {
    const words: string[] = [];
    if (rewrite.host !== undefined) words.push(`host=${luaText(rewrite.host)}`);
    if (rewrite.path) words.push(`path=${pathOf(rewrite.path)}`);
    parts.push(`w={${words.join(',')}}`);
  }
  if (mirrors && mirrors.length > 0)
    parts.push(
      `m={${mirrors.map(each => `{b=${luaText(each.backend)},share=${each.share},of=${each.of}}`).join(',')}}`,
    );
  if (cors) {
    const words = [`o=${texts(cors.origins)}`, `k=${cors.credentials}`, `x=${cors.maxAgeSeconds}`];
    if (cors.methods.length > 0) words.push(`m=${texts(cors.methods)}`);
    if (cors.headers.length > 0) words.push(`h=${texts(cors.headers)}`);
    if (cors.exposed.length > 0) words.push(`e=${texts(cors.exposed)}`);
    parts.push(`c={${words.join(',')}}`);
  }
  return `{${parts.join(',')}}`;
}

function changesOf({ set, add, remove }: HeaderChanges): string {
  const pairs = (list: readonly (readonly [string, string])[]) =>
    `{${list.map(([name, value]) => `{${luaText(name)},${luaText(value)}}`).join(',')}}`;
  return `{s=${pairs(set)},a=${pairs(add)},d=${texts(remove)}}`;
}

function pathOf(change: PathChange): string {
  return 'full' in change ? `{full=${luaText(change.full)}}` : `{prefix=${luaText(change.prefix)}}`;
}

function texts(values: readonly string[]): string {
  return `{${values.map(luaText).join(',')}}`;
}
