import { errors } from '#api/machinery/errors.ts';
import type { Kind } from '#api/machinery/kind.ts';
import type { ApiRequest, ApiResponse } from '#client/transport.ts';
import { pageNotFound } from '../text.ts';
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
    const [, version] = segmentsOf(request.path);
    if (version !== undefined) return context.respond(200, documents().resources.get(version) ?? noSuch());
    const form = aggregatedForm(request);
    if (form) return answerAggregated(request, documents().aggregated.core, form);
    return context.respond(200, versions);
  };
  const named: RawPathHandler = (request, context) => {
    const [, group, version] = segmentsOf(request.path);
    if (group === undefined) {
      const form = aggregatedForm(request);
      if (form) return answerAggregated(request, documents().aggregated.named, form);
      return context.respond(200, documents().groupList);
    }
    if (version === undefined) {
      const document = documents().group.get(group);
      return document ? context.respond(200, document) : pageNotFound;
    }
    const document = documents().resources.get(`${group}/${version}`);
    if (!document && !kinds().some(kind => kind.group === group && !kind.custom)) return pageNotFound;
    return readOnly(() => context.respond(200, document ?? noSuch()))(request, context);
  };
  return [
    { path: '/api', prefix: true, handle: readOnly(core) },
    { path: '/apis', prefix: true, handle: named },
  ];
}

function noSuch(): never {
  throw errors.noSuchResource();
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

function segmentsOf(path: string): string[] {
  return path.split('/').filter(each => each !== '');
}
