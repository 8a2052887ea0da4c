import { global, type Library, method } from '../functions.ts';
import { boolType, type CelType, listOf, mapOf, stringType, structOf } from '../types.ts';
import { CelError, CelList, type CelValue, EntryMap, Opaque, type Result } from '../values.ts';
import { goQuoted } from './format-string.ts';

const urlType: CelType = structOf('kubernetes.URL');

/** A URL as Go's net/url takes it apart. */
class Url extends Opaque {
  readonly type: CelType = urlType;
  readonly text: string;
  readonly scheme: string;
  readonly host: string;
  readonly path: string;
  readonly query: string;

  constructor(text: string, parts: Parts) {
    super();
    this.text = text;
    this.scheme = parts.scheme;
    this.host = parts.host;
    this.path = parts.path;
    this.query = parts.query;
  }

  equals(other: Opaque): boolean {
    return other instanceof Url && this.text === other.text;
  }
}

/** Kubernetes' own functions on URLs. */
export const urlLibrary: Library = [
  ['url', global('string_to_url', [stringType], urlType, toUrl)],
  ['isURL', global('is_url_string', [stringType], boolType, (text: string) => isRequestUri(text))],
  ['getScheme', method('url_get_scheme', [urlType], stringType, ({ scheme }: Url) => scheme)],
  ['getHost', method('url_get_host', [urlType], stringType, ({ host }: Url) => host)],
  ['getHostname', method('url_get_hostname', [urlType], stringType, ({ host }: Url) => splitHost(host).name)],
  ['getPort', method('url_get_port', [urlType], stringType, ({ host }: Url) => splitHost(host).port)],
  ['getEscapedPath', method('url_get_escaped_path', [urlType], stringType, ({ path }: Url) => escapedPath(path))],
  [
    'getQuery',
    method('url_get_query', [urlType], mapOf(stringType, listOf(stringType)), ({ query }: Url) => queryOf(query)),
  ],
];

/** What Go's `url.ParseRequestURI` says: an absolute URI or an absolute path. */
export function requestUriProblem(text: string): string | undefined {
  const parts = parse(text, true);
  return typeof parts === 'string' ? `parse ${goQuoted(text)}: ${parts}` : undefined;
}

function isRequestUri(text: string): boolean {
  return typeof parse(text, true) !== 'string';
}

function toUrl(text: string): Result {
  const fragment = text.indexOf('#');
  const parsed =
    typeof parse(text, true) === 'string'
      ? parse(text, true)
      : parse(fragment < 0 ? text : text.slice(0, fragment), false);
  if (typeof parsed === 'string') {
    return new CelError(`URL parse error during conversion from string: parse ${goQuoted(text)}: ${parsed}`);
  }
  return new Url(parsed.scheme + text.slice(parsed.scheme.length), parsed);
}

interface Parts {
  readonly scheme: string;
  readonly host: string;
  readonly path: string;
  readonly query: string;
}

function parse(text: string, request: boolean): Parts | string {
  if (/[\x00-\x1f\x7f]/.test(text)) return 'net/url: invalid control character in URL';
  if (text === '' && request) return 'empty url';
  if (text === '*') return { scheme: '', host: '', path: '*', query: '' };
  if (text.startsWith(':')) return 'missing protocol scheme';
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(text)?.[1] ?? '';
  const behind = scheme === '' ? text : text.slice(scheme.length + 1);
  const mark = behind.indexOf('?');
  const query = mark < 0 ? '' : behind.slice(mark + 1);
  let rest = mark < 0 ? behind : behind.slice(0, mark);
  const found = { scheme: scheme.toLowerCase(), query };
  if (!rest.startsWith('/')) {
    if (scheme !== '') return { ...found, host: '', path: '' };
    if (request) return 'invalid URI for request';
    if (rest.split('/')[0]?.includes(':')) return 'first path segment in URL cannot contain colon';
  }
  let host = '';
  if ((scheme !== '' || (!request && !rest.startsWith('///'))) && rest.startsWith('//')) {
    const slash = rest.indexOf('/', 2);
    const authority = slash < 0 ? rest.slice(2) : rest.slice(2, slash);
    rest = slash < 0 ? '' : rest.slice(slash);
    const parsed = authorityHost(authority);
    if (typeof parsed !== 'string') return parsed.problem;
    host = parsed;
  }
  const broken = /%(?![0-9a-fA-F]{2}).{0,2}/.exec(rest);
  if (broken !== null) return `invalid URL escape ${goQuoted(broken[0])}`;
  return { ...found, host, path: rest };
}

function authorityHost(authority: string): string | { problem: string } {
  const at = authority.lastIndexOf('@');
  if (at >= 0 && !/^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/.test(authority.slice(0, at))) {
    return { problem: 'net/url: invalid userinfo' };
  }
  const host = authority.slice(at + 1);
  if (host.startsWith('[')) {
    const end = host.lastIndexOf(']');
    if (end < 0) return { problem: "missing ']' in host" };
    const port = host.slice(end + 1);
    return /^(:[0-9]*)?$/.test(port) ? host : { problem: `invalid port ${goQuoted(port)} after host` };
  }
  const colon = host.lastIndexOf(':');
  if (colon >= 0 && !/^:[0-9]*$/.test(host.slice(colon))) {
    return { problem: `invalid port ${goQuoted(host.slice(colon))} after host` };
  }
  const strange = /[^A-Za-z0-9\-_.~!$&'()*+,;=:[\]<>"%\u0080-\u{10ffff}]/u.exec(host);
  if (strange !== null) return { problem: `invalid character ${goQuoted(strange[0])} in host name` };
  const escape = /%(?![89a-fA-F][0-9a-fA-F]).{0,2}/.exec(host);
  return escape === null ? host : { problem: `invalid URL escape ${goQuoted(escape[0])}` };
}

function splitHost(host: string): { name: string; port: string } {
  const colon = /:([0-9]*)$/.exec(host);
  const name = colon === null ? host : host.slice(0, colon.index);
  if (host.startsWith('[')) {
    const end = host.lastIndexOf(']');
    return { name: host.slice(1, end), port: /^:([0-9]*)$/.exec(host.slice(end + 1))?.[1] ?? '' };
  }
  return { name, port: colon?.[1] ?? '' };
}

/** What a path may have as it is stays; the rest is escaped. */
function escapedPath(path: string): string {
  if (/^(?:[A-Za-z0-9\-_.~$&+,/:;=@!'()*[\]]|%[0-9a-fA-F]{2})*$/.test(path)) return path;
  return path.replace(/%[0-9a-fA-F]{2}|[^A-Za-z0-9\-_.~$&+,/:;=@]/gu, each => {
    const decoded = each.length === 3 && each.startsWith('%') ? Buffer.from(each.slice(1), 'hex') : Buffer.from(each);
    if (decoded.length === 1 && /[A-Za-z0-9\-_.~$&+,/:;=@]/.test(String.fromCharCode(decoded[0] as number))) {
      return String.fromCharCode(decoded[0] as number);
    }
    return Array.from(decoded, byte => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
  });
}

function queryOf(query: string): Result {
  const values = new Map<string, string[]>();
  for (const pair of query.split('&')) {
    if (pair === '' || pair.includes(';')) continue;
    const equals = pair.indexOf('=');
    const key = unescapeQuery(equals < 0 ? pair : pair.slice(0, equals));
    const value = unescapeQuery(equals < 0 ? '' : pair.slice(equals + 1));
    if (key === undefined || value === undefined) continue;
    const known = values.get(key);
    if (known === undefined) values.set(key, [value]);
    else known.push(value);
  }
  const entries = new Map<string, readonly [CelValue, CelValue]>();
  for (const [key, list] of values) entries.set(key, [key, new CelList(list)]);
  return new EntryMap(entries);
}

function unescapeQuery(text: string): string | undefined {
  if (/%(?![0-9a-fA-F]{2})/.test(text)) return undefined;
  const bytes = text
    .replaceAll('+', ' ')
    .replace(/(?:%[0-9a-fA-F]{2})+/g, run => Buffer.from(run.replaceAll('%', ''), 'hex').toString('utf8'));
  return bytes;
}
