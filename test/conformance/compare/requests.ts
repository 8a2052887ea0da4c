/** Requests about one kind: a valid object as it is, and spoiled or adorned in one place at a time. */
import { apiVersionOf, type Kind } from '#api/machinery/kind.ts';
import type { Field, ObjectSchema, ScalarType, Schema } from '#api/machinery/schema.ts';
import { bases } from './bases.ts';

export interface Wish {
  /** Which place is how: `spec.ports[0].port = -1`. */
  readonly what: string;
  readonly method: 'POST' | 'PUT';
  readonly path: string;
  readonly body: unknown;
}

/** What is made for good before its kind's requests are sent. */
export interface Preparation {
  readonly path: string;
  readonly body: object;
}

export type Means = 'create' | 'update' | 'status';

/** Another one at every run: a server without controllers never gets rid of what has finalizers. */
export const namespace = `compared-${process.pid}`;
/** Not the namespace's own: what is changed is deleted again, and the namespace is a kind too. */
const name = `${namespace}-one`;

type Place = readonly (string | number)[];

const removed = Symbol('removed');
const depthMax = 9;

/** The collection's path, with the namespace where there is one. */
export function collectionOf({ group, version, plural, namespaced }: Kind): string {
  const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  return `${root}${namespaced ? `/namespaces/${namespace}` : ''}/${plural}`;
}

/** The objects whose places are spoiled; the first of them is the one that updates are about. */
export function basesOf(kind: Kind): readonly Readonly<Record<string, unknown>>[] {
  const metadata = kind.kind.endsWith('Review') ? {} : { name, labels: { app: 'web' } };
  return bases(kind, name, namespace).map(base => ({
    apiVersion: apiVersionOf(kind),
    kind: kind.kind,
    ...base,
    metadata: { ...metadata, ...(base['metadata'] as object | undefined) },
  }));
}

export function* requestsFor(kind: Kind, means: Means): Generator<Wish> {
  const path = collectionOf(kind);
  for (const [index, base] of basesOf(kind).entries()) {
    const { name: own } = base['metadata'] as { readonly name: string };
    const send = (what: string, body: unknown): Wish =>
      means === 'create'
        ? { what: `${index}: ${what}`, method: 'POST', path, body }
        : {
            what: `${index}: ${what}`,
            method: 'PUT',
            path: `${path}/${own}${means === 'status' ? '/status' : ''}`,
            body,
          };
    if (means !== 'create' && index > 0) return;
    yield send('as it is', base);
    for (const [place, value] of variations(kind.schema, base, [], [], means)) {
      const shown = value === removed ? ' removed' : ` = ${shownOf(value)}`;
      yield send(`${placeOf(place)}${shown}`, changed(base, place, value));
    }
  }
}

/** Places of an object, and what they could hold instead. */
function* variations(
  schema: ObjectSchema,
  value: unknown,
  at: Place,
  within: readonly string[],
  means: Means,
): Generator<readonly [Place, unknown]> {
  if (within.length > depthMax || within.filter(each => each === schema.name && each !== '').length > 1) return;
  const inside = [...within, schema.name];
  const object = (typeof value === 'object' && value !== null ? value : {}) as Readonly<Record<string, unknown>>;
  if (at.length > 0) yield [[...at, 'noSuchField'], 1];
  for (const [field, { schema: of, enum: words }] of Object.entries<Field>(schema.fields)) {
    if (at.length === 0 && (field === 'apiVersion' || field === 'kind')) continue;
    // The rules of metadata are the same for all; pods show them.
    if (at.length === 0 && field === 'metadata' && schema.name !== 'io.k8s.api.core.v1.ConfigMap') continue;
    if (at.length === 0 && (field === 'status') !== (means === 'status')) continue;
    const place = [...at, field];
    const there = object[field];
    if (there !== undefined) yield [place, removed];
    yield* valuesAt(of, there, place, inside, words, means);
  }
}

function* valuesAt(
  schema: Schema,
  there: unknown,
  place: Place,
  within: readonly string[],
  words: readonly string[] | undefined,
  means: Means,
): Generator<readonly [Place, unknown]> {
  const is = schema.type === 'lazy' ? schema.of() : schema;
  for (const each of words ?? []) if (each !== there) yield [place, each];
  switch (is.type) {
    case 'object': {
      yield [place, 'text'];
      if (there === undefined) yield [place, {}];
      const sample = there ?? sampleOf(is, 0);
      if (there === undefined) yield [place, sample];
      for (const [inner, value] of variations(is, sample, place, within, means))
        yield there === undefined
          ? [place, changed(sample, inner.slice(place.length), value)]
          : ([inner, value] as const);
      return;
    }
    case 'list': {
      yield [place, {}];
      const items = is.items.type === 'lazy' ? is.items.of() : is.items;
      const list = Array.isArray(there) ? (there as readonly unknown[]) : [];
      if (list.length > 0) yield [place, []];
      const [first = sampleOf(items, 0)] = list;
      yield [place, [...list, first]];
      if (list.length === 0) yield [place, [first, first]];
      for (const [inner, value] of valuesAt(items, first, [...place, 0], within, undefined, means)) {
        const item = changed(first, inner.slice(place.length + 1), value);
        yield [place, [item, ...list.slice(1)]];
      }
      return;
    }
    case 'map': {
      yield [place, 'text'];
      const map = (there ?? {}) as Readonly<Record<string, unknown>>;
      const sample = sampleOf(is.values, 0);
      for (const key of ['a', 'No Such_Key!', '', 'x'.repeat(300), 'example.com/a', 'kubernetes.io/a'])
        yield [place, { ...map, [key]: sample }];
      const values = is.values.type === 'lazy' ? is.values.of() : is.values;
      for (const [inner, value] of valuesAt(values, sample, [...place, 'a'], within, undefined, means))
        yield [place, { ...map, a: changed(sample, inner.slice(place.length + 1), value) }];
      return;
    }
    case 'lazy':
      return;
    default:
      for (const value of scalarsOf(is.type)) if (value !== there) yield [place, value];
  }
}

function scalarsOf(type: ScalarType): readonly unknown[] {
  switch (type) {
    case 'string':
      return ['', 'a', 'No Such_Value!', 'x'.repeat(300), 'a.example/b', '/a/../b', '10.0.0.1', 7];
    case 'int32':
      return [-1, 0, 1, 101, 70_000, 3_000_000_000, 'seven'];
    case 'int64':
      return [-1, 0, 1, 70_000, 3_000_000_000, 'seven'];
    case 'double':
      return [-1, 0, 0.5, 'half'];
    case 'boolean':
      return [true, false, 'yes'];
    case 'bytes':
      return ['AA==', '!', 7];
    case 'quantity':
      return ['-1', '0', '1', '0.5m', '1Gi', 'much', 7, true];
    case 'time':
      return ['2026-01-02T03:04:05Z', 'today', 7];
    case 'microTime':
      return ['2026-01-02T03:04:05.000006Z', 'today', 7];
    case 'intOrString':
      return [-1, 0, 1, 70_000, '50%', '101%', '-5%', 'a', 'No Such_Value!', '', true];
    case 'rawExtension':
    case 'fieldsV1':
    case 'json':
      return [{}, { a: 1 }, 'text', 7];
    default:
      return type satisfies never;
  }
}

/** Something of a type, with what the type wants to be there. */
function sampleOf(schema: Schema, depth: number): unknown {
  const is = schema.type === 'lazy' ? schema.of() : schema;
  switch (is.type) {
    case 'object': {
      const sample: Record<string, unknown> = {};
      if (depth > 6) return sample;
      for (const [field, { schema: of, required, enum: words }] of Object.entries<Field>(is.fields))
        if (required) sample[field] = words?.[0] ?? sampleOf(of, depth + 1);
      return sample;
    }
    case 'list':
      return depth > 6 ? [] : [sampleOf(is.items, depth + 1)];
    case 'map':
      return {};
    case 'string':
      return 'a';
    case 'int32':
    case 'int64':
    case 'double':
    case 'intOrString':
      return 1;
    case 'boolean':
      return true;
    case 'bytes':
      return 'AA==';
    case 'quantity':
      return '1';
    case 'time':
      return '2026-01-02T03:04:05Z';
    case 'microTime':
      return '2026-01-02T03:04:05.000006Z';
    default:
      return {};
  }
}

/** The object with another value at a place. */
function changed(object: unknown, place: Place, value: unknown): unknown {
  const [first, ...rest] = place;
  if (first === undefined) return value;
  if (typeof first === 'number') {
    const list = [...((object ?? []) as readonly unknown[])];
    list[first] = changed(list[first], rest, value);
    return list;
  }
  const copy = { ...(object as Readonly<Record<string, unknown>> | undefined) };
  if (rest.length === 0 && value === removed) delete copy[first];
  else copy[first] = changed(copy[first], rest, value);
  return copy;
}

function placeOf(place: Place): string {
  return place
    .map(each => (typeof each === 'number' ? `[${each}]` : `.${each}`))
    .join('')
    .replace(/^\./, '');
}

function shownOf(value: unknown): string {
  const text = JSON.stringify(value, (_, each: unknown) =>
    typeof each === 'string' && each.length > 100 ? `${each.slice(0, 3)}…×${each.length}` : each,
  );
  return text.length > 240 ? `${text.slice(0, 240)}…` : text;
}
