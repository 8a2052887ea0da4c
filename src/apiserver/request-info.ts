import { isPathSegmentName } from '#api/machinery/names.ts';
import { parseFieldSelector } from '#api/machinery/selector.ts';
import { isTrue } from './query.ts';

/** What a request asks for, read from its method, path and query alone. */
export interface RequestInfo {
  /** Kubernetes' verb for requests to resources; the method in lower case for other paths. */
  readonly verb: string;
  readonly path: string;
  readonly isResource: boolean;
  /** `api` or `apis` for resources. */
  readonly prefix: string;
  readonly group: string;
  readonly version: string;
  readonly namespace: string;
  readonly resource: string;
  readonly subresource: string;
  readonly name: string;
  /** What follows the subresource in the path, for proxies: starts with `/`, or is empty. */
  readonly rest: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

const namespaceSubresources = new Set(['status', 'finalize']);
const writeVerbs: Readonly<Record<string, string>> = {
  POST: 'create',
  GET: 'get',
  HEAD: 'get',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

/** A path with a malformed escape is no resource's. */
export function parseRequestInfo(method: string, path: string, query: URLSearchParams): RequestInfo {
  const parts = segmentsOf(path);
  const minimum = parts[0] === 'api' ? 3 : parts[0] === 'apis' ? 4 : Number.POSITIVE_INFINITY;
  if (parts.length < minimum) return noResource(method, path);
  const prefix = parts[0] as string;
  const group = prefix === 'api' ? '' : (parts[1] as string);
  const version = parts[minimum - 2] as string;
  let at = minimum - 1;
  let verb = writeVerbs[method] ?? '';
  if (parts[at] === 'watch' || parts[at] === 'proxy') {
    if (parts.length <= at + 1) return noResource(method, path);
    verb = parts[at] as string;
    at++;
  }
  let namespace = '';
  if (parts[at] === 'namespaces' && parts.length > at + 1) {
    namespace = parts[at + 1] as string;
    if (parts.length > at + 2 && !namespaceSubresources.has(parts[at + 2] as string)) at += 2;
  }
  const resource = parts[at] ?? '';
  let name = parts[at + 1] ?? '';
  const subresource = parts[at + 2] ?? '';
  const rest =
    parts.length > at + 3
      ? `/${parts.slice(at + 3).join('/')}${path.endsWith('/') ? '/' : ''}`
      : path.endsWith('/')
        ? '/'
        : '';
  const labelSelector = query.get('labelSelector') ?? undefined;
  const fieldSelector = query.get('fieldSelector') ?? undefined;
  if (name === '' && verb === 'get') verb = isTrue(query.get('watch')) ? 'watch' : 'list';
  else if (name === '' && verb === 'delete') verb = 'deletecollection';
  if (name === '' && (verb === 'list' || verb === 'watch' || verb === 'deletecollection'))
    name = nameInSelector(fieldSelector);
  return {
    verb,
    path,
    isResource: true,
    prefix,
    group,
    version,
    // The namespace of a namespace is itself, for authorizers.
    namespace,
    resource,
    subresource,
    name,
    rest,
    ...(labelSelector !== undefined && { labelSelector }),
    ...(fieldSelector !== undefined && { fieldSelector }),
  };
}

function noResource(method: string, path: string): RequestInfo {
  return {
    verb: method.toLowerCase(),
    path,
    isResource: false,
    prefix: '',
    group: '',
    version: '',
    namespace: '',
    resource: '',
    subresource: '',
    name: '',
    rest: '',
  };
}

function segmentsOf(path: string): string[] {
  const parts: string[] = [];
  for (let start = 1; start < path.length; ) {
    let end = path.indexOf('/', start);
    if (end < 0) end = path.length;
    if (end > start) parts.push(path.slice(start, end));
    start = end + 1;
  }
  if (!path.includes('%')) return parts;
  try {
    return parts.map(decodeURIComponent);
  } catch {
    // A malformed escape names nothing: the caller answers 404.
    return [];
  }
}

/**
 * `metadata.name=x` in a field selector names the object, so that rules with resourceNames apply. It is read as the list
 * will read it: in `metadata.name!=x\\,metadata.name=y` nothing is named.
 */
export function nameInSelector(selector: string | undefined): string {
  if (selector === undefined || !selector.includes('metadata.name')) return '';
  try {
    const found = parseFieldSelector(selector).find(each => each.field === 'metadata.name' && each.operator === '=');
    return found && isPathSegmentName(found.value).length === 0 ? found.value : '';
  } catch {
    // The list refuses it.
    return '';
  }
}
