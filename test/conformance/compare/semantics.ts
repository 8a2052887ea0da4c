import { isDeepStrictEqual } from 'node:util';
import { stories, storyNamespace, type Ask, type Story } from './stories.ts';
import type { RawAnswer, Server } from './server.ts';

export interface SemanticDifference {
  readonly story: string;
  readonly ask: string;
  /** What differs: `code`, `header warning`, `.details.causes.0.field`. */
  readonly at: string;
  readonly theirs: unknown;
  readonly ours: unknown;
}

/** Tells both servers the same stories, and what they answer differently. A story's later requests use its earlier answers. */
export async function compareSemantics(
  theirs: Server,
  ours: Server,
  wanted: readonly string[] = [],
): Promise<{ readonly asked: number; readonly differences: readonly SemanticDifference[] }> {
  const differences: SemanticDifference[] = [];
  let asked = 0;
  for (const story of stories) {
    if (wanted.length > 0 && !wanted.some(each => story.title.includes(each))) continue;
    for (const server of [theirs, ours]) await makeNamespace(server);
    const [their, our] = await Promise.all([tell(theirs, story), tell(ours, story)]);
    for (const [index, ask] of story.asks.entries()) {
      asked++;
      for (const found of differing(their[index] as Told, our[index] as Told))
        differences.push({ story: story.title, ask: nameOf(ask), ...found });
    }
  }
  for (const server of [theirs, ours]) await removeNamespace(server);
  return { asked, differences };
}

/** An answer without what no two servers give alike. */
interface Told {
  readonly code: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: unknown;
}

async function tell(server: Server, { asks }: Story): Promise<readonly Told[]> {
  const past: Record<string, unknown> = {};
  const versions = new Set<string>();
  const told: Told[] = [];
  for (const ask of asks) {
    const fill = <Value>(value: Value): Value => filled(value, past);
    const { method, headers } = methods[ask.method] ?? { method: ask.method, headers: {} };
    const body =
      ask.body === undefined ? undefined : fill(typeof ask.body === 'string' ? ask.body : JSON.stringify(ask.body));
    const answer = await server.exchange({
      method,
      path: fill(ask.path),
      headers: {
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
        ...fill(ask.headers ?? {}),
      },
      ...(body !== undefined && { body }),
    });
    const parsed = bodyOf(answer);
    if (ask.as !== undefined) past[ask.as] = parsed;
    collectVersions(parsed, versions);
    told.push({ code: answer.code, headers: headersOf(answer), body: plain(parsed, versions) });
  }
  return told;
}

const methods: Readonly<
  Record<string, { readonly method: string; readonly headers: Readonly<Record<string, string>> }>
> = {
  JSONPATCH: { method: 'PATCH', headers: { 'content-type': 'application/json-patch+json' } },
  MERGE: { method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' } },
  STRATEGIC: { method: 'PATCH', headers: { 'content-type': 'application/strategic-merge-patch+json' } },
  APPLY: { method: 'PATCH', headers: { 'content-type': 'application/apply-patch+yaml' } },
};

/** `{made.metadata.uid}` is what the answer called `made` says there. */
function filled<Value>(value: Value, past: Readonly<Record<string, unknown>>): Value {
  if (typeof value === 'string')
    return value.replace(/\{(\w+)((?:\.\w+)+)\}/g, (text, name: string, path: string) =>
      Object.hasOwn(past, name) ? String(at(past[name], path.slice(1).split('.'))) : text,
    ) as Value;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, filled(each, past)])) as Value;
}

function at(value: unknown, path: readonly string[]): unknown {
  return path.reduce((inner, name) => (inner as Readonly<Record<string, unknown>> | null | undefined)?.[name], value);
}

/** JSON, the events of a watch as a list, or the text as it is. */
function bodyOf({ text }: RawAnswer): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not one value; perhaps one a line.
  }
  try {
    return text
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as unknown);
  } catch {
    return text;
  }
}

const comparedHeaders = [
  'allow',
  'cache-control',
  'content-type',
  'location',
  'retry-after',
  'vary',
  'warning',
  'www-authenticate',
  'x-content-type-options',
];
/** Their values are of one server; that they are there is compared. */
const presentHeaders = ['audit-id', 'etag', 'x-kubernetes-pf-flowschema-uid', 'x-kubernetes-pf-prioritylevel-uid'];

function headersOf({ headers }: RawAnswer): Readonly<Record<string, unknown>> {
  const of = (name: string) => headers.filter(([each]) => each === name).map(([, value]) => value);
  return Object.fromEntries([
    ...comparedHeaders.map(name => [name, of(name).join('; ')]),
    ...presentHeaders.map(name => [name, of(name).length > 0]),
  ]) as Readonly<Record<string, unknown>>;
}

function collectVersions(value: unknown, versions: Set<string>): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [name, each] of Object.entries(value)) {
    if (name === 'resourceVersion' && typeof each === 'string') versions.add(each);
    collectVersions(each, versions);
  }
}

const ownOfEach = new Set([
  'uid',
  'resourceVersion',
  'creationTimestamp',
  'time',
  'continue',
  'token',
  'expirationTimestamp',
]);

function plain(value: unknown, versions: ReadonlySet<string>, name = ''): unknown {
  if (Array.isArray(value)) return value.map(each => plain(each, versions));
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each, versions, key)]));
  if (typeof value !== 'string') return value;
  if (ownOfEach.has(name) && value !== '' && value !== '0') return '*';
  return value
    .replace(/[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}/g, '<uid>')
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, '<time>')
    .replace(/"(?:k8s\.io\/kubernetes\/)?pkg\/api\/legacyscheme/g, '"pkg/api/legacyscheme')
    .replace(/hash=[\dA-F]{128}/g, 'hash=<hash>')
    .replace(/(?:\d+\.\d+\.\d+\.\d+|localhost):\d+|^localhost$/g, '<server>')
    .replace(/(current: |resource version: |\()(\d+)\b/g, (text, before: string, number: string) =>
      versions.has(number) || before !== '(' ? `${before}<version>` : text,
    )
    .replace(/\b\d{2,}\b/g, number => (versions.has(number) ? '<version>' : number))
    .replace(/\b(made-|a_b-|kube-api-access-|"A|^A)[bcdfghjklmnpqrstvwxz2-9]{5}\b/g, '$1<random>');
}

function differing(theirs: Told, ours: Told): readonly Pick<SemanticDifference, 'at' | 'theirs' | 'ours'>[] {
  const found: Pick<SemanticDifference, 'at' | 'theirs' | 'ours'>[] = [];
  if (theirs.code !== ours.code) found.push({ at: 'code', theirs: theirs.code, ours: ours.code });
  for (const name of Object.keys(theirs.headers))
    if (theirs.headers[name] !== ours.headers[name])
      found.push({ at: `header ${name}`, theirs: theirs.headers[name], ours: ours.headers[name] });
  placesOf(theirs.body, ours.body, '', found);
  return found;
}

function placesOf(
  theirs: unknown,
  ours: unknown,
  place: string,
  found: Pick<SemanticDifference, 'at' | 'theirs' | 'ours'>[],
): void {
  if (isDeepStrictEqual(theirs, ours)) return;
  const areObjects = [theirs, ours].every(each => typeof each === 'object' && each !== null);
  if (!areObjects || Array.isArray(theirs) !== Array.isArray(ours)) {
    found.push({ at: place === '' ? 'body' : place, theirs, ours });
    return;
  }
  const [left, right] = [theirs, ours].map(byName) as Readonly<Record<string, unknown>>[];
  for (const name of new Set([...Object.keys(left ?? {}), ...Object.keys(right ?? {})]))
    placesOf(left?.[name], right?.[name], `${place}.${name}`, found);
}

/** Objects in a list are known by their names, so that one more is one difference. */
function byName(value: unknown): unknown {
  if (!Array.isArray(value)) return value;
  const named = value.map(each => [nameIn(each), each] as const);
  return named.every(([name]) => typeof name === 'string') ? Object.fromEntries(named) : value;
}

function nameIn(value: unknown): unknown {
  if (typeof value === 'string') return value;
  // An entry of managedFields.
  const manager = at(value, ['manager']);
  if (manager !== undefined) return [manager, at(value, ['operation']), at(value, ['subresource'])].join(' ');
  return at(value, ['metadata', 'name']) ?? at(value, ['name']);
}

function nameOf({ method, path, body, headers }: Ask): string {
  const sent = body === undefined ? '' : ` ${typeof body === 'string' ? body : JSON.stringify(body)}`;
  return `${method} ${path}${headers ? ` ${JSON.stringify(headers)}` : ''}${sent.slice(0, 300)}`;
}

const namespacePath = `/api/v1/namespaces/${storyNamespace}`;
const emptied = [
  'api/v1/configmaps',
  'api/v1/pods',
  'api/v1/services',
  'api/v1/secrets',
  'api/v1/serviceaccounts',
  'apis/apps/v1/deployments',
  'api/v1/limitranges',
  'api/v1/persistentvolumeclaims',
  'api/v1/resourcequotas',
  'apis/coordination.k8s.io/v1/leases',
  'apis/policy/v1/poddisruptionbudgets',
  'apis/rbac.authorization.k8s.io/v1/rolebindings',
  'apis/rbac.authorization.k8s.io/v1/roles',
];

async function makeNamespace(server: Server): Promise<void> {
  await removeNamespace(server);
  const make = (path: string, body: unknown) =>
    server.exchange({
      method: 'POST',
      path,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  await make('/api/v1/namespaces', { metadata: { name: storyNamespace } });
  await make(`${namespacePath}/serviceaccounts`, {
    metadata: { name: 'default' },
    automountServiceAccountToken: false,
  });
}

/** There are no controllers: what is in it goes by hand, and so does the namespace. */
async function removeNamespace(server: Server): Promise<void> {
  for (const resource of emptied) {
    const at = resource.lastIndexOf('/');
    const path = `/${resource.slice(0, at)}/namespaces/${storyNamespace}${resource.slice(at)}`;
    await server.exchange({ method: 'DELETE', path: `${path}?gracePeriodSeconds=0` });
    const { body } = await server.send('GET', path);
    for (const { metadata } of (body['items'] ?? []) as readonly { readonly metadata: { readonly name: string } }[])
      await server.exchange({
        method: 'PATCH',
        path: `${path}/${metadata.name}`,
        headers: { 'content-type': 'application/merge-patch+json' },
        body: '{"metadata":{"finalizers":null}}',
      });
  }
  await server.exchange({ method: 'DELETE', path: namespacePath });
  await server.exchange({
    method: 'PUT',
    path: `${namespacePath}/finalize`,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ metadata: { name: storyNamespace }, spec: { finalizers: [] } }),
  });
}
