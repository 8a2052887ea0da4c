import { parseGoDuration } from '#api/machinery/duration.ts';
import { compilePattern, stepsMax, type Automaton } from './automaton.ts';
import type { Backends } from './backends.ts';
import type {
  BackendReference,
  GrpcMatch,
  HeaderModifier,
  HttpMatch,
  ParentReference,
  PathModifier,
  Route,
  RouteFilter,
  RouteRule,
  ValueMatch,
} from './kinds.ts';
import { gatewayGroup } from './listeners.ts';
import type {
  Certificate,
  FieldMatch,
  Filters,
  HeaderChanges,
  HttpEntry,
  HttpRule,
  PathChange,
  PathMatch,
  TlsEntry,
  WeightedBackend,
} from './model.ts';
import { ageOf, isPrintable, no, type Finding, type Referrer } from './world.ts';

/** What a route asks of the proxy, without host names: those depend on the listener. */
export interface CompiledRoute {
  readonly http: readonly Omit<HttpEntry, 'hostname'>[];
  readonly tls: readonly Omit<TlsEntry, 'hostname'>[];
  /** Why the route cannot be served at all. */
  readonly refused?: Finding;
  /** The first reference that leads nowhere. */
  readonly unresolved?: Finding;
}

export type RouteKindName = 'HTTPRoute' | 'GRPCRoute' | 'TLSRoute';

interface Context {
  readonly kind: RouteKindName;
  readonly from: Referrer;
  readonly backends: Backends;
  readonly ancestor: ParentReference;
  readonly client: Certificate | undefined;
  unresolved: Finding | undefined;
  /** Making automata takes time that others wait for. */
  patternSteps: number;
}

/** A value that the proxy cannot be given. */
class Unsupported extends Error {}

export function compileRoute(
  route: Route,
  kind: RouteKindName,
  how: { readonly backends: Backends; readonly ancestor: ParentReference; readonly client: Certificate | undefined },
): CompiledRoute {
  const from = { group: gatewayGroup, kind, namespace: route.metadata.namespace ?? '' };
  const context: Context = { ...how, kind, from, unresolved: undefined, patternSteps: 0 };
  const http: Omit<HttpEntry, 'hostname'>[] = [];
  const tls: Omit<TlsEntry, 'hostname'>[] = [];
  try {
    for (const [index, rule] of (route.spec.rules ?? []).entries()) {
      const age = (match: number) => `${ageOf(route)} ${ordinal(index)} ${ordinal(match)}`;
      if (kind === 'TLSRoute') tls.push({ backends: weightedOf(rule, context), age: age(0) });
      else http.push(...entriesOf(rule, context).map((entry, match) => ({ ...entry, age: age(match) })));
    }
  } catch (error) {
    if (!(error instanceof Unsupported)) throw error;
    return { http: [], tls: [], refused: no('Accepted', 'UnsupportedValue', error.message) };
  }
  return { http, tls, ...(context.unresolved && { unresolved: context.unresolved }) };
}

/** So that texts sort as numbers do. */
function ordinal(number: number): string {
  return String(number).padStart(5, '0');
}

type Entry = Omit<HttpEntry, 'hostname' | 'age'>;

function entriesOf(rule: RouteRule<unknown>, context: Context): readonly Entry[] {
  const compiled: HttpRule = {
    filters: filtersOf(rule.filters ?? [], context),
    backends: weightedOf(rule, context),
    ...timeoutOf(rule),
    ...(context.kind === 'GRPCRoute' && { failure: 503 as const }),
  };
  if (context.kind === 'GRPCRoute') {
    const matches = (rule.matches ?? []) as readonly GrpcMatch[];
    return (matches.length > 0 ? matches : [{}]).map(match => ({
      path: grpcPath(match, context),
      headers: fieldsOf(match.headers, context),
      query: [],
      rule: compiled,
    }));
  }
  const matches = (rule.matches ?? []) as readonly HttpMatch[];
  return (matches.length > 0 ? matches : [{}]).map(match => ({
    path: httpPath(match, context),
    headers: fieldsOf(match.headers, context),
    query: fieldsOf(match.queryParams, context),
    ...(match.method !== undefined && { method: match.method }),
    rule: compiled,
  }));
}

function httpPath({ path }: HttpMatch, context: Context): PathMatch {
  const { type = 'PathPrefix', value = '/' } = path ?? {};
  if (type === 'RegularExpression')
    return { type: 'pattern', pattern: patternOf(value, context), length: value.length };
  return { type: type === 'Exact' ? 'exact' : 'prefix', path: printable(value, 'path') };
}

/** A gRPC method is the path `/service/method`. */
function grpcPath({ method }: GrpcMatch, context: Context): PathMatch {
  const { type = 'Exact', service, method: name } = method ?? {};
  if (type === 'RegularExpression') {
    const pattern = `/(?:${service ?? '[^/]+'})/(?:${name ?? '[^/]+'})`;
    for (const each of [service, name]) if (each !== undefined) patternOf(each, context);
    return {
      type: 'pattern',
      pattern: patternOf(pattern, context),
      length: pattern.length,
      late: service === undefined,
    };
  }
  if (service !== undefined && name !== undefined) return { type: 'exact', path: `/${service}/${name}` };
  if (service !== undefined) return { type: 'prefix', path: `/${service}` };
  if (name === undefined) return { type: 'prefix', path: '/' };
  return { type: 'pattern', pattern: patternOf(`/[^/]+/${name}`, context), length: name.length, late: true };
}

function fieldsOf(matches: readonly ValueMatch[] | undefined, context: Context): readonly FieldMatch[] {
  return (matches ?? []).map(({ type = 'Exact', name, value }) => ({
    name: printable(name, 'name'),
    value: type === 'RegularExpression' ? patternOf(value, context) : value,
  }));
}

/** Patterns of many routes are often the same ones; what is wrong with one is remembered as well. */
const patterns = new Map<string, Automaton | string>();
const patternsMax = 1_000;

function patternOf(pattern: string, context: Context): Automaton {
  let compiled = patterns.get(pattern);
  if (compiled === undefined) {
    try {
      compiled = compilePattern(pattern);
    } catch (error) {
      compiled = (error as Error).message;
    }
    if (patterns.size >= patternsMax) patterns.clear();
    patterns.set(pattern, compiled);
  }
  if (typeof compiled === 'string')
    throw new Unsupported(`The pattern ${JSON.stringify(pattern)} cannot be used: ${compiled}.`);
  context.patternSteps += compiled.steps;
  if (context.patternSteps > stepsMax) throw new Unsupported('The patterns of this route are too large together.');
  return compiled;
}

function weightedOf(rule: RouteRule<unknown>, context: Context): readonly WeightedBackend[] {
  return (rule.backendRefs ?? []).map(reference => {
    const backend = backendOf(reference, context);
    return {
      weight: reference.weight ?? 1,
      filters: filtersOf(reference.filters ?? [], context),
      ...(backend !== undefined && { backend }),
    };
  });
}

const protocols = { HTTPRoute: 'http', GRPCRoute: 'h2c', TLSRoute: 'tcp' } as const;

function backendOf(reference: BackendReference, context: Context): string | undefined {
  const { kind, from, backends, ancestor, client } = context;
  const found = backends.resolve(reference, from, { protocol: protocols[kind], ancestor, client });
  if (typeof found === 'string') return found;
  context.unresolved ??= found;
  return undefined;
}

/** A request takes no longer than either bound; nothing means no bound. */
function timeoutOf({ timeouts = {} }: RouteRule<unknown>): { readonly timeoutMs?: number } {
  const given = [timeouts.request, timeouts.backendRequest].flatMap(text =>
    text === undefined ? [] : [Math.floor(parseGoDuration(text))],
  );
  if (given.length === 0) return {};
  const bounds = given.filter(each => each > 0);
  return { timeoutMs: Math.max(1, bounds.length === 0 ? unlimitedMs : Math.min(unlimitedMs, ...bounds)) };
}

/** The longest that the proxy can count. */
const unlimitedMs = 2_147_483_647;

function filtersOf(filters: readonly RouteFilter[], context: Context): Filters {
  const made: { -readonly [Name in keyof Filters]: Filters[Name] } = {};
  const mirrors: NonNullable<Filters['mirrors']>[number][] = [];
  for (const filter of filters)
    switch (filter.type) {
      case 'RequestHeaderModifier':
        made.request = changesOf(filter.requestHeaderModifier ?? {});
        break;
      case 'ResponseHeaderModifier':
        made.response = changesOf(filter.responseHeaderModifier ?? {});
        break;
      case 'RequestRedirect': {
        const { scheme, hostname, path, port, statusCode = 302 } = filter.requestRedirect ?? {};
        made.redirect = {
          code: statusCode,
          ...(scheme !== undefined && { scheme }),
          ...(hostname !== undefined && { host: hostname }),
          ...(port !== undefined && { port }),
          ...(path && { path: pathChange(path) }),
        };
        break;
      }
      case 'URLRewrite': {
        const { hostname, path } = filter.urlRewrite ?? {};
        made.rewrite = { ...(hostname !== undefined && { host: hostname }), ...(path && { path: pathChange(path) }) };
        break;
      }
      case 'RequestMirror': {
        const { backendRef, percent, fraction } = filter.requestMirror ?? {};
        const backend = backendRef && backendOf(backendRef, context);
        if (backend === undefined) break;
        const { numerator, denominator = 100 } = fraction ?? { numerator: percent ?? 100 };
        mirrors.push({ backend, share: numerator, of: denominator });
        break;
      }
      case 'CORS': {
        const { cors = {} } = filter;
        made.cors = {
          origins: printables(cors.allowOrigins, 'origin'),
          credentials: cors.allowCredentials ?? false,
          methods: printables(cors.allowMethods, 'method'),
          headers: printables(cors.allowHeaders, 'header'),
          exposed: printables(cors.exposeHeaders, 'header'),
          maxAgeSeconds: cors.maxAge ?? 5,
        };
        break;
      }
      default:
        throw new Unsupported(`Filters of the type ${filter.type} are not served.`);
    }
  if (mirrors.length > 0) made.mirrors = mirrors;
  return made;
}

/** What frames a message is the proxy's business alone. */
const framing = new Set([
  'connection',
  'content-length',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

function changesOf({ set = [], add = [], remove = [] }: HeaderModifier): HeaderChanges {
  const nameOf = (name: string) => {
    if (!/^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/.test(name))
      throw new Unsupported(`${JSON.stringify(name)} is no name of a header.`);
    if (framing.has(name.toLowerCase())) throw new Unsupported(`The header ${name} cannot be changed.`);
    return name;
  };
  const pairs = (list: NonNullable<HeaderModifier['set']>) =>
    list.map(({ name, value }) => [nameOf(name), printable(value, `value of the header ${name}`)] as const);
  return { set: pairs(set), add: pairs(add), remove: remove.map(nameOf) };
}

function pathChange({ type, replaceFullPath = '/', replacePrefixMatch = '/' }: PathModifier): PathChange {
  const path = (text: string) => {
    const plain = printable(text, 'path');
    if (/[\s#]/.test(plain)) throw new Unsupported(`${JSON.stringify(text)} is no path.`);
    return plain;
  };
  if (type === 'ReplacePrefixMatch') return { prefix: path(replacePrefixMatch) };
  const full = path(replaceFullPath);
  return { full: full.startsWith('/') ? full : `/${full}` };
}

function printables(texts: readonly string[] = [], what: string): readonly string[] {
  return texts.map(each => printable(each, what));
}

function printable(text: string, what: string): string {
  if (!isPrintable(text)) throw new Unsupported(`The ${what} ${JSON.stringify(text)} has a control character.`);
  return text;
}
