import type { Kind } from '#api/machinery/kind.ts';
import type { ApiRequest, ApiResponse } from '#client/transport.ts';
import { readOnly, type RawPath, type RawPathHandler } from '../subresource.ts';
import type { Ranking } from './group-order.ts';
import { discoveryDocuments, type AggregatedDocument, type DiscoveryDocuments } from './documents.ts';

const aggregatedParameters = 'g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
const protobufType = 'application/vnd.kubernetes.protobuf';

export interface DiscoveryOptions {
  /** What is served now. */
  readonly kinds: () => readonly Kind[];
  /** Calls back when kinds come or go. */
  readonly onChange: (listener: () => void) => void;
  /** What other servers answer for; absent: nothing. */
  readonly ranking?: Ranking & { onChange(listener: () => void): void };
  /** `host:port`, for `serverAddressByClientCIDRs`. */
  readonly serverAddress: string;
}

/** `/api`, `/apis` and what is below them and no resource. */
export function discoveryPaths({ kinds, onChange, ranking, serverAddress }: DiscoveryOptions): readonly RawPath[] {
  let cached: DiscoveryDocuments | undefined;
  const outdated = () => {
    cached = undefined;
  };
  onChange(outdated);
  ranking?.onChange(outdated);
  const documents = () => {
    cached ??= discoveryDocuments(kinds(), ranking);
    return cached;
  };
  const versions = {
    kind: 'APIVersions',
    versions: ['v1'],
    serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress }],
  };
  const core: RawPathHandler = (request, context) => {
    const [, version, ...more] = segmentsOf(request.path);
    if (more.length > 0) return notFound;
    if (version !== undefined) return found(documents().resources.get(version), context.respond);
    const form = aggregatedForm(request);
    if (form) return answerAggregated(request, documents().aggregated.core, form);
    return withVary(context.respond(200, versions));
  };
  const named: RawPathHandler = (request, context) => {
    const [, group, version, ...more] = segmentsOf(request.path);
    if (more.length > 0) return notFound;
    if (version !== undefined) return found(documents().resources.get(`${group}/${version}`), context.respond);
    if (group !== undefined) return found(documents().group.get(group), context.respond);
    const form = aggregatedForm(request);
    if (form) return answerAggregated(request, documents().aggregated.named, form);
    return withVary(context.respond(200, documents().groupList));
  };
  return [
    { path: '/api', prefix: true, handle: readOnly(core) },
    { path: '/apis', prefix: true, handle: readOnly(named) },
  ];
}

const notFound: ApiResponse = {
  code: 404,
  headers: { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' },
  kind: 'bytes',
  bytes: [Buffer.from('404 page not found\n')],
};

function found(document: object | undefined, respond: (code: number, object: unknown) => ApiResponse): ApiResponse {
  return document ? respond(200, document) : notFound;
}

/** The first acceptable form in the client's order: the aggregated one, or undefined for the plain one. */
function aggregatedForm(request: ApiRequest): 'json' | 'protobuf' | undefined {
  const accept = [request.headers['accept'] ?? ''].flat().join(',');
  for (const clause of byQuality(accept)) {
    const { type, parameters } = clause;
    const as = parameters.get('as');
    if (as === undefined && type !== '') return undefined;
    const json = type === 'application/json' || type === '*/*' || type === 'application/*';
    if (
      (json || type === protobufType) &&
      as === 'APIGroupDiscoveryList' &&
      parameters.get('g') === 'apidiscovery.k8s.io' &&
      parameters.get('v') === 'v2'
    )
      return json ? 'json' : 'protobuf';
  }
  return undefined;
}

function byQuality(accept: string) {
  return accept
    .split(',')
    .map(text => {
      const [type = '', ...rest] = text.split(';').map(each => each.trim());
      const parameters = new Map(rest.map(each => each.split('=', 2) as [string, string]));
      return { type: type.toLowerCase(), parameters, quality: Number(parameters.get('q') ?? 1) };
    })
    .sort((left, right) => right.quality - left.quality);
}

function answerAggregated(
  request: ApiRequest,
  { bytes, message, etag }: AggregatedDocument,
  form: 'json' | 'protobuf',
): ApiResponse {
  const headers = { etag, vary: 'Accept', 'cache-control': 'public' };
  if (request.headers['if-none-match'] === etag) return { code: 304, headers, kind: 'bytes', bytes: [] };
  const type = `${form === 'json' ? 'application/json' : protobufType};${aggregatedParameters}`;
  return {
    code: 200,
    headers: { ...headers, 'content-type': type },
    kind: 'bytes',
    bytes: [form === 'json' ? bytes : message()],
  };
}

function withVary(response: ApiResponse): ApiResponse {
  return { ...response, headers: { ...response.headers, vary: 'Accept' } };
}

function segmentsOf(path: string): string[] {
  return path.split('/').filter(each => each !== '');
}
