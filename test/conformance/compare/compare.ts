/**
 * `npm run compare -- --with KUBECONFIG [--kind KIND]… [--means create|update|status]… [--out FILE]`: sends the same requests to
 * a cluster of this process and to another API server (a kube-apiserver that one has), and prints where the answers differ.
 * With `--semantics [--story TITLE]…` it tells stories of requests instead, and compares the answers whole.
 * It makes a namespace and objects of every kind there, and deletes them again: give it a server that is there for that.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { kinds } from '#api/kinds.ts';
import { resourceNameOf, type Kind } from '#api/machinery/kind.ts';
import { readKubeconfig } from '#client/kubeconfig.ts';
import { startCluster } from '../../../src/windlass.ts';
import { basesOf, collectionOf, namespace, requestsFor, type Means, type Wish } from './requests.ts';
import { compareSemantics } from './semantics.ts';
import { Server, type Answer } from './server.ts';

const { values } = parseArgs({
  options: {
    with: { type: 'string' },
    ours: { type: 'string' },
    semantics: { type: 'boolean', default: false },
    story: { type: 'string', multiple: true },
    kind: { type: 'string', multiple: true },
    means: { type: 'string', multiple: true },
    out: { type: 'string' },
    shown: { type: 'string', default: '3' },
  },
});
if (values.with === undefined) {
  process.stderr.write('windlass: say what to compare with: npm run compare -- --with KUBECONFIG\n');
  process.exit(1);
}
for (const file of [values.with, values.ours])
  if (file !== undefined && !existsSync(file)) {
    process.stderr.write(`windlass: cannot compare: there is no kubeconfig ${file}\n`);
    process.exit(1);
  }

interface Difference {
  readonly kind: string;
  readonly means: Means;
  readonly what: string;
  /** Code, reason, causes, message, warnings or the fields of the object that differ. */
  readonly at: readonly string[];
  readonly theirs: unknown;
  readonly ours: unknown;
}

const ownOfEach = new Set(['uid', 'resourceVersion', 'creationTimestamp', 'managedFields', 'selfLink']);
const given = new Set([
  'clusterIP',
  'clusterIPs',
  'nodePort',
  'healthCheckNodePort',
  'batch.kubernetes.io/controller-uid',
  'controller-uid',
]);

const wantedMeans = (values.means ?? ['create', 'update', 'status']) as readonly Means[];
const differences: Difference[] = [];
const counts = new Map<string, { asked: number; differing: number }>();

const folder = mkdtempSync(join(tmpdir(), 'windlass-compare-'));
try {
  const theirs = new Server((await readKubeconfig(values.with)).connection);
  await using cluster = values.ours === undefined ? await startCluster({ controllers: false }) : undefined;
  if (cluster) writeFileSync(join(folder, 'kubeconfig'), cluster.kubeconfig, { mode: 0o600 });
  const ours = new Server((await readKubeconfig(values.ours ?? join(folder, 'kubeconfig'))).connection);
  if (values.semantics) await semantics(theirs, ours);
  else await allKinds(theirs, ours);
  for (const server of [theirs, ours]) server.close();
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function semantics(theirs: Server, ours: Server): Promise<void> {
  const { asked, differences: found } = await compareSemantics(theirs, ours, values.story);
  let asking = '';
  for (const { story, ask, at, theirs: their, ours: our } of found) {
    if (asking !== `${story}: ${ask}`) process.stdout.write(`${(asking = `${story}: ${ask}`)}\n`);
    process.stdout.write(`  ${at}\n    theirs ${JSON.stringify(their)}\n    ours   ${JSON.stringify(our)}\n`);
  }
  const differing = new Set(found.map(({ story, ask }) => `${story}: ${ask}`)).size;
  process.stdout.write(`\n${asked - differing} of ${asked} requests agree\n`);
  if (values.out !== undefined) writeFileSync(values.out, `${found.map(each => JSON.stringify(each)).join('\n')}\n`);
}

async function allKinds(theirs: Server, ours: Server): Promise<void> {
  for (const server of [theirs, ours]) await prepare(server);
  for (const kind of comparedKinds()) {
    const isChanged = wantedMeans.some(means => means !== 'create');
    if (wantedMeans.includes('create')) await compareKind(kind, 'create', theirs, ours);
    if (!isChanged) continue;
    // What is changed is there for good.
    for (const server of [theirs, ours]) await server.send('POST', collectionOf(kind), basesOf(kind)[0]);
    for (const means of wantedMeans) if (means !== 'create') await compareKind(kind, means, theirs, ours);
    for (const server of [theirs, ours]) await server.send('DELETE', `${pathOf(kind)}?gracePeriodSeconds=0`);
  }
  for (const server of [theirs, ours]) await server.send('DELETE', `/api/v1/namespaces/${namespace}`);
  report();
}

function comparedKinds(): readonly Kind[] {
  const { kind: names } = values;
  return kinds.filter(
    kind =>
      kind.served &&
      kind.verbs.includes('create') &&
      basesOf(kind).length > 0 &&
      (names === undefined || names.some(name => [kind.kind, kind.plural, resourceNameOf(kind)].includes(name))),
  );
}

async function prepare(server: Server): Promise<void> {
  await server.send('POST', '/api/v1/namespaces', { metadata: { name: namespace } });
  const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
  await server.send('POST', accounts, { metadata: { name: 'default' } });
  await server.send('PUT', `${accounts}/default`, {
    metadata: { name: 'default' },
    automountServiceAccountToken: false,
  });
}

async function compareKind(kind: Kind, means: Means, theirs: Server, ours: Server): Promise<void> {
  if (means === 'status' && !kind.subresources['status']) return;
  if (means === 'update' && !kind.verbs.includes('update')) return;
  const name = `${resourceNameOf(kind)}/${kind.version}`;
  const count = { asked: 0, differing: 0 };
  counts.set(`${name} ${means}`, count);
  const wishes = requestsFor(kind, means);
  const versions = await Promise.all([theirs, ours].map(server => neededVersion(server, kind, means)));
  const seen = new Set<string>();
  const work = async () => {
    for (let next = wishes.next(); !next.done; next = wishes.next()) {
      const wish = next.value;
      const key = `${wish.what[0]}${JSON.stringify(wish.body)}`;
      if (seen.has(key)) continue;
      seen.add(key);
      const [their, our] = await Promise.all([theirs, ours].map((server, at) => ask(server, wish, versions[at])));
      count.asked++;
      if (!their || !our) continue;
      const at = differing(their, our);
      if (at.length === 0) continue;
      count.differing++;
      differences.push({
        kind: name,
        means,
        what: wish.what,
        at,
        theirs: shown(their, at),
        ours: shown(our, at),
      });
    }
  };
  await Promise.all(Array.from({ length: 12 }, work));
}

function pathOf(kind: Kind): string {
  const { name } = (basesOf(kind)[0] ?? {})['metadata'] as { readonly name: string };
  return `${collectionOf(kind)}/${name}`;
}

/** The version of the object that is changed, for kinds that want to be told it. */
async function neededVersion(server: Server, kind: Kind, means: Means): Promise<unknown> {
  if (means === 'create' || !kind.requiresResourceVersion) return undefined;
  const { body } = await server.send('GET', pathOf(kind));
  return (body['metadata'] as { readonly resourceVersion?: string } | undefined)?.resourceVersion;
}

function ask(server: Server, { method, path, body }: Wish, resourceVersion: unknown): Promise<Answer> {
  const { metadata } = body as { readonly metadata?: object };
  const sent =
    resourceVersion === undefined ? body : { ...(body as object), metadata: { ...metadata, resourceVersion } };
  return server.send(method, `${path}?dryRun=All&fieldValidation=Warn`, sent);
}

function differing(theirs: Answer, ours: Answer): readonly string[] {
  const at: string[] = [];
  if (theirs.code !== ours.code) at.push('code');
  if (theirs.body['reason'] !== ours.body['reason'] && theirs.code >= 400) at.push('reason');
  if (theirs.code >= 400) {
    const [their, our] = [causesOf(theirs), causesOf(ours)];
    if (
      their.map(each => each.slice(0, 2).join(' ')).join('\n') !==
      our.map(each => each.slice(0, 2).join(' ')).join('\n')
    )
      at.push('causes');
    else if (theirs.body['message'] !== ours.body['message'] || String(their) !== String(our)) at.push('message');
  } else if (ours.code < 400) at.push(...fieldsOf(plain(theirs.body), plain(ours.body), ''));
  if (String(theirs.warnings) !== String(ours.warnings)) at.push('warnings');
  return at;
}

function causesOf({ body }: Answer): readonly (readonly unknown[])[] {
  const details = body['details'] as { readonly causes?: readonly Readonly<Record<string, unknown>>[] } | undefined;
  return (details?.causes ?? [])
    .map(each => [each['field'], each['reason'], each['message']])
    .toSorted((left, right) => (String(left) < String(right) ? -1 : 1));
}

function shown({ code, body, warnings }: Answer, at: readonly string[]): unknown {
  const of = at.filter(each => each.startsWith('.')).map(each => [each, valueAt(plain(body), each)]);
  return {
    code,
    ...(code >= 400 && { reason: body['reason'], message: String(body['message']).slice(0, 1_500) }),
    ...(at.includes('causes') && {
      causes: causesOf({ code, body, warnings }).map(each => each.slice(0, 2).join(' ')),
    }),
    ...(of.length > 0 && { object: Object.fromEntries(of) }),
    ...(at.includes('warnings') && { warnings }),
  };
}

/** Without what no two servers give alike. */
function plain(value: unknown, within = ''): unknown {
  if (Array.isArray(value)) return value.map(each => plain(each, within));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => within !== 'metadata' || !ownOfEach.has(name))
      .map(([name, each]) => [name, given.has(name) && each !== 'None' ? '*' : plain(each, name)]),
  );
}

function fieldsOf(theirs: unknown, ours: unknown, at: string): readonly string[] {
  if (Array.isArray(theirs) && Array.isArray(ours) && theirs.length === ours.length)
    return theirs.flatMap((each, index) => fieldsOf(each, ours[index], `${at}.${index}`));
  if (isObject(theirs) && isObject(ours))
    return [...new Set([...Object.keys(theirs), ...Object.keys(ours)])].flatMap(name =>
      fieldsOf(theirs[name], ours[name], `${at}.${name}`),
    );
  return JSON.stringify(theirs) === JSON.stringify(ours) ? [] : [at === '' ? '.' : at];
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function valueAt(value: unknown, path: string): unknown {
  return path
    .split('.')
    .slice(1)
    .reduce((inner, name) => (inner as Readonly<Record<string, unknown>> | undefined)?.[name], value);
}

function report(): void {
  const shownMax = Number(values.shown);
  let [asked, differ] = [0, 0];
  for (const [name, count] of counts) {
    asked += count.asked;
    differ += count.differing;
    process.stdout.write(`${name}: ${count.asked - count.differing} of ${count.asked} agree\n`);
    for (const each of differences.filter(({ kind, means }) => `${kind} ${means}` === name).slice(0, shownMax))
      process.stdout.write(
        `  ${each.what}  [${each.at.join(' ')}]\n    theirs ${JSON.stringify(each.theirs)}\n    ours   ${JSON.stringify(each.ours)}\n`,
      );
  }
  process.stdout.write(`\n${asked - differ} of ${asked} agree (${((100 * (asked - differ)) / asked).toFixed(2)} %)\n`);
  const levels = new Map<string, number>();
  for (const { at } of differences) {
    const [first = ''] = at;
    const level = first.startsWith('.') ? 'object' : first;
    levels.set(level, (levels.get(level) ?? 0) + 1);
  }
  process.stdout.write(`${[...levels].map(([level, count]) => `${level} ${count}`).join(', ')}\n`);
  if (values.out !== undefined)
    writeFileSync(values.out, `${differences.map(each => JSON.stringify(each)).join('\n')}\n`);
}
