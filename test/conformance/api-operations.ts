import assert from 'node:assert/strict';
import { apiVersionOf, type ApiObject, type Kind, type Partly } from '#api/machinery/kind.ts';
import type { Trial } from './conformance.ts';
import { untilGone, type Stored } from './waiting.ts';

export interface Operations<Type extends ApiObject> {
  readonly kind: Kind<Type>;
  /** Without metadata. */
  readonly object: Omit<Partly<Type>, 'metadata'>;
  /** A merge patch of the status, and what must be in the status behind it; for kinds that have one. */
  readonly status?: object;
  /** Kinds whose objects of a name must have a form. */
  readonly nameOf?: (base: string) => string;
}

/**
 * Everything that can be done to the objects of a kind: found by discovery; created, read, listed, watched, patched,
 * replaced, their status patched and replaced, deleted one by one and together.
 */
export async function apiOperations<Type extends ApiObject>(t: Trial, operations: Operations<Type>): Promise<void> {
  const { kind, object, status, nameOf = base => base } = operations;
  const { client } = t;
  const where = kind.namespaced ? { namespace: t.namespace } : {};
  const here = { namespace: kind.namespaced ? t.namespace : null };
  await discovered(t, kind, status === undefined ? [] : ['status']);

  const label = t.unique('special');
  const labelSelector = `special=${label}`;
  const create = async (base: string) =>
    (await client.create<Type>(
      kind,
      { ...object, metadata: { name: nameOf(t.unique(base)), labels: { special: label } } } as Partly<Type>,
      where,
    )) as Stored<Type>;
  const first = await create('first');
  t.defer(() => client.deleteCollection(kind, { ...where, labelSelector }));
  const { name } = first.metadata;
  const [second, third] = [await create('second'), await create('third')];
  assert.equal(new Set([first, second, third].map(({ metadata }) => metadata.uid)).size, 3);
  assert.equal((await client.get(kind, name, where)).metadata.uid, first.metadata.uid);
  const names = async (options: object) =>
    (await client.list(kind, { ...options, labelSelector })).items.map(({ metadata }) => metadata.name).toSorted();
  const all = [first, second, third].map(({ metadata }) => metadata.name).toSorted();
  assert.deepEqual(await names(where), all);
  assert.deepEqual(await names({}), all);

  const seen: string[] = [];
  const watching = new AbortController();
  t.defer(() => watching.abort());
  const { resourceVersion } = (await client.list(kind, where)).metadata;
  const watched = (async () => {
    const options = { ...where, labelSelector, resourceVersion, signal: watching.signal };
    for await (const event of client.watch(kind, options)) {
      if (event.type === 'BOOKMARK' || event.object.metadata.name !== name) continue;
      const { patched, updated } = event.object.metadata.annotations ?? {};
      // Whoever else writes to it (its controller, its status) is not what is looked at.
      if (event.type !== 'DELETED' && !patched) continue;
      const what = `${event.type}${patched ? ' patched' : ''}${updated ? ' updated' : ''}`;
      if (seen.at(-1) !== what) seen.push(what);
      if (event.type === 'DELETED') return;
    }
  })();
  // When something else fails first, that is what is told.
  watched.catch(() => undefined);

  const patch = { type: 'merge', patch: { metadata: { annotations: { patched: 'true' } } } } as const;
  const patched = await client.patch(kind, name, patch, where);
  assert.equal(patched.metadata.annotations?.['patched'], 'true');
  const updated = await updatedOver(t, kind, name, where, { updated: 'true' });
  assert.equal(updated.metadata.annotations?.['patched'], 'true');
  assert.equal(updated.metadata.annotations?.['updated'], 'true');

  if (status !== undefined) await statusOperations(t, kind, name, status, where);

  await client.delete(kind, name, where);
  await untilGone(t, kind, name, here);
  await watched;
  assert.deepEqual(seen, ['MODIFIED patched', 'MODIFIED patched updated', 'DELETED patched updated']);
  assert.equal((await names(where)).length, 2);
  await client.deleteCollection(kind, { ...where, labelSelector });
  for (const { metadata } of [second, third]) await untilGone(t, kind, metadata.name, here);
}

async function statusOperations<Type extends ApiObject>(
  t: Trial,
  kind: Kind<Type>,
  name: string,
  status: object,
  where: { readonly namespace?: string },
): Promise<void> {
  const { client } = t;
  const options = { ...where, subresource: 'status' };
  // Some kinds take metadata on this path, some do not.
  const wanted = kind.statusKeeps?.includes('annotations') ? undefined : 'true';
  const patch = { metadata: { annotations: { 'patched-status': 'true' } }, status };
  const patched = await client.patch(kind, name, { type: 'merge', patch }, options);
  assert.equal(patched.metadata.annotations?.['patched-status'], wanted);
  assert.partialDeepStrictEqual((patched as { status?: unknown }).status, status);
  const read = await client.get(kind, name, options);
  assert.partialDeepStrictEqual((read as { status?: unknown }).status, status);
  const updated = await updatedOver(t, kind, name, options, { 'updated-status': 'true' });
  assert.equal(updated.metadata.annotations?.['updated-status'], wanted);
  assert.partialDeepStrictEqual((updated as { status?: unknown }).status, status);
}

/** Replaces an object whose controller may write to it at the same time: who loses reads again, as every client does. */
function updatedOver<Type extends ApiObject>(
  t: Trial,
  kind: Kind<Type>,
  name: string,
  where: { readonly namespace?: string; readonly subresource?: string },
  annotations: Readonly<Record<string, string>>,
): Promise<Type> {
  return t.eventually('the object is replaced', async () =>
    t.client.update(kind, annotated(await t.client.get(kind, name, where), annotations), where),
  );
}

/** The status of an existing object is read, patched and replaced; `conditions` of others stay. */
export async function statusEndpoints<Type extends ApiObject>(t: Trial, kind: Kind<Type>, name: string): Promise<void> {
  const condition = (type: string) => ({ type, status: 'True', reason: 'E2E', message: 'set by a test' });
  const where = { namespace: t.namespace, subresource: 'status' };
  type Conditions = { readonly status?: { readonly conditions?: readonly { readonly type: string }[] } };
  const typesOf = (object: Type) => ((object as Conditions).status?.conditions ?? []).map(({ type }) => type);
  const written = await t.eventually('the status is replaced', async () => {
    const read = await t.client.get(kind, name, where);
    const { status = {} } = read as Conditions;
    const conditions = [...(status.conditions ?? []), condition('StatusUpdate')];
    return t.client.update(kind, { ...read, status: { ...status, conditions } }, where);
  });
  assert.ok(typesOf(written).includes('StatusUpdate'));
  const patch = { status: { conditions: [condition('StatusPatched')] } };
  const patched = await t.client.patch(kind, name, { type: 'merge', patch }, where);
  assert.deepEqual(typesOf(patched), ['StatusPatched']);
}

interface Scaled extends ApiObject {
  readonly spec: { readonly replicas: number };
}

/** `scale` is read, replaced and patched, and the object follows. */
export async function scaleEndpoints<Type extends ApiObject>(t: Trial, kind: Kind<Type>, name: string): Promise<void> {
  const where = { namespace: t.namespace, subresource: 'scale' };
  const replicasOf = async () =>
    ((await t.client.get(kind, name, { namespace: t.namespace })) as unknown as Scaled).spec.replicas;
  const read = (await t.client.get(kind, name, where)) as unknown as Scaled;
  assert.equal(read.kind, 'Scale');
  assert.equal(read.spec.replicas, await replicasOf());
  const scale = { ...read, metadata: { ...read.metadata, resourceVersion: undefined }, spec: { replicas: 2 } };
  await t.client.update(kind, scale as unknown as Type, where);
  assert.equal(await replicasOf(), 2);
  const patch = { type: 'merge', patch: { spec: { replicas: 4 } } } as const;
  const patched = (await t.client.patch(kind, name, patch, where)) as unknown as Scaled;
  assert.equal(patched.spec.replicas, 4);
  assert.equal(await replicasOf(), 4);
}

/** The group, its version, and the resource with its subresources stand in the discovery documents. */
export async function discovered(t: Trial, kind: Kind, subresources: readonly string[] = []): Promise<void> {
  const groupVersion = apiVersionOf(kind);
  if (kind.group !== '') {
    interface Group {
      readonly name: string;
      readonly versions: readonly { readonly groupVersion: string; readonly version: string }[];
    }
    const { groups } = (await t.request('GET', '/apis')).json<{ groups: readonly Group[] }>();
    const listed = groups.find(({ name }) => name === kind.group);
    assert.ok(
      listed?.versions.some(each => each.groupVersion === groupVersion),
      `/apis lists ${groupVersion}`,
    );
    const { versions } = (await t.request('GET', `/apis/${kind.group}`)).json<Group>();
    assert.ok(
      versions.some(({ version }) => version === kind.version),
      `/apis/${kind.group} lists ${kind.version}`,
    );
  }
  const path = kind.group === '' ? `/api/${kind.version}` : `/apis/${groupVersion}`;
  interface Resource {
    readonly name: string;
    readonly kind: string;
    readonly namespaced: boolean;
  }
  const { resources } = (await t.request('GET', path)).json<{ resources: readonly Resource[] }>();
  const found = resources.find(({ name }) => name === kind.plural);
  assert.deepEqual([found?.kind, found?.namespaced], [kind.kind, kind.namespaced], `${path} lists ${kind.plural}`);
  for (const subresource of subresources) {
    const wanted = `${kind.plural}/${subresource}`;
    assert.ok(
      resources.some(({ name }) => name === wanted),
      `${path} lists ${wanted}`,
    );
  }
}

/** The same object with annotations more. */
export function annotated<Type extends ApiObject>(object: Type, annotations: Readonly<Record<string, string>>): Type {
  const { metadata } = object;
  return { ...object, metadata: { ...metadata, annotations: { ...metadata.annotations, ...annotations } } };
}

/** What a watch tells until `enough`, as `TYPE name`; ends with the test. */
export async function eventsUntil<Type extends ApiObject>(
  t: Trial,
  kind: Kind<Type>,
  options: { readonly labelSelector?: string; readonly resourceVersion?: string },
  enough: (events: readonly string[]) => boolean,
  told: (object: Type) => string = ({ metadata }) => metadata.name ?? '',
): Promise<readonly string[]> {
  const events: string[] = [];
  const where = kind.namespaced ? { namespace: t.namespace } : {};
  for await (const event of t.client.watch(kind, { ...where, ...options, timeoutSeconds: 60 })) {
    if (event.type === 'BOOKMARK') continue;
    events.push(`${event.type} ${told(event.object)}`);
    if (enough(events)) return events;
  }
  throw new Error(`the watch ended after ${JSON.stringify(events)}`);
}
