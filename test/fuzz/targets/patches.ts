import { isDeepStrictEqual } from 'node:util';
import { applyObject, trackUpdate } from '#api/machinery/apply/apply.ts';
import { decodeObject } from '#api/machinery/decode.ts';
import { defaultObject } from '#api/machinery/defaults.ts';
import { ApiError } from '#api/machinery/errors.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { validateObjectMeta } from '#api/machinery/object-meta-validation.ts';
import { Report } from '#api/machinery/validation.ts';
import { decodeJson, encodeJson } from '#api/machinery/json.ts';
import { applyJsonPatch } from '#api/machinery/patch/json-patch.ts';
import { applyMergePatch } from '#api/machinery/patch/merge-patch.ts';
import { applyStrategicMergePatch } from '#api/machinery/patch/strategic-merge-patch.ts';
import type { Json, JsonObject } from '#api/machinery/schema.ts';
import { difference, holds, shown, type Target } from '../target.ts';
import { frozen, kindOf, samples, strategicWords } from './samples.ts';

/** A document with what is there and what is to be made of it: `[target, patch, …]`. */
function parts(input: Buffer): readonly Json[] {
  const value = decodeJson(input);
  return Array.isArray(value) ? (value as Json[]) : [value];
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Upstream answers with 500 to what its merge code cannot make sense of. */
const declaresAny = (error: unknown) => error instanceof ApiError || declares(error);

const declares = (error: unknown) =>
  error instanceof ApiError
    ? error.code >= 400 && error.code < 500
    : error instanceof Error && error.constructor === Error;

const [pod, deployment, service] = samples as [JsonObject, JsonObject, JsonObject];

const merge: Target = {
  name: 'merge-patch',
  form: 'json',
  words: ['a', 'b', '__proto__', 'constructor'],
  seeds: () => [
    '[{"a":{"b":1},"c":[1]},{"a":{"b":null,"d":{}},"c":{"__proto__":null}}]',
    JSON.stringify([pod, { metadata: { labels: null } }]),
  ],
  declares,
  run(input) {
    const [target = null, patch = null] = parts(input);
    const before = encodeJson(target);
    const once = applyMergePatch(frozen(target), frozen(patch));
    holds(encodeJson(target) === before, () => 'the target was changed');
    const expected = byTheBook(target, patch);
    holds(isDeepStrictEqual(once, expected), () => `RFC 7386 makes ${shown(expected)}, we ${shown(once)}`);
    const twice = applyMergePatch(frozen(once), patch);
    holds(isDeepStrictEqual(twice, once), () => `twice is not once: ${shown(once)}, ${shown(twice)}`);
    return 'merged';
  },
};

/** RFC 7386, section 2, word by word. */
function byTheBook(target: Json, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const result = new Map(isObject(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch))
    if (value === null) result.delete(name);
    else result.set(name, byTheBook(result.get(name) ?? null, value as Json));
  // Keys as they are, `__proto__` too.
  return Object.fromEntries(result);
}

const operations: Target = {
  name: 'json-patch',
  form: 'json',
  words: [
    'add',
    'remove',
    'replace',
    'move',
    'copy',
    'test',
    'op',
    'path',
    'from',
    'value',
    '/a',
    '/a/0',
    '/a/-',
    '/~0~1',
    '',
    '/__proto__/x',
    '/constructor/prototype',
    '-1',
    '01',
  ],
  seeds: () => [
    '[{"a":[1,2,{"b":3}]},[{"op":"add","path":"/a/-","value":4},{"op":"move","from":"/a/2","path":"/c"},{"op":"test","path":"/a/0","value":1},{"op":"copy","from":"/a","path":"/d"},{"op":"remove","path":"/a/0"},{"op":"replace","path":"/c/b","value":null}]]',
    JSON.stringify([pod, [{ op: 'replace', path: '/spec/containers/0/image', value: 'x' }]]),
  ],
  declares,
  run(input) {
    const [target = null, patch = null] = parts(input);
    const before = encodeJson(target);
    const result = applyJsonPatch(frozen(target), frozen(patch));
    holds(encodeJson(target) === before, () => 'the target was changed');
    holds(Object.getPrototypeOf({}) === Object.prototype && !('x' in {}), () => 'the prototype was changed');
    // Its own result can be patched on, and written.
    encodeJson(applyJsonPatch(result, []));
    return Array.isArray(patch)
      ? patch
          .map(each => (isObject(each) ? each['op'] : ''))
          .join()
          .slice(0, 60)
      : 'none';
  },
};

const strategic: Target = {
  name: 'strategic-merge-patch',
  form: 'json',
  words: [...strategicWords, 'spec', 'metadata', 'strategy', 'type'],
  seeds: () => [
    JSON.stringify([
      pod,
      {
        spec: {
          containers: [
            { name: 'main', image: 'x' },
            { $patch: 'delete', name: 'side' },
          ],
          '$setElementOrder/containers': [{ name: 'main' }],
        },
      },
    ]),
    JSON.stringify([
      pod,
      { metadata: { finalizers: ['c'], '$deleteFromPrimitiveList/finalizers': ['example.com/one'] } },
    ]),
    JSON.stringify([deployment, { spec: { strategy: { $retainKeys: ['type'], type: 'Recreate' } } }]),
    JSON.stringify([
      service,
      { spec: { ports: [{ port: 80, targetPort: 1 }], selector: { $patch: 'replace', a: 'b' } } },
    ]),
  ],
  declares: declaresAny,
  run(input) {
    const [target = null, patch = null] = parts(input);
    if (!isObject(target) || !isObject(patch)) return 'none';
    const { schema } = kindOf(target);
    const before = encodeJson(target);
    const result = applyStrategicMergePatch(schema, frozen(target), frozen(patch));
    holds(encodeJson(target) === before, () => 'the target was changed');
    const unchanged = applyStrategicMergePatch(schema, result, {});
    holds(isDeepStrictEqual(unchanged, result), () => `an empty patch makes ${shown(unchanged)} of ${shown(result)}`);
    return Object.keys(patch).join().slice(0, 60);
  },
};

function isValid(kind: Kind, object: object): boolean {
  const report = new Report();
  const item = object as ApiObject;
  validateObjectMeta(kind, item.metadata ?? {}, report.at('metadata'));
  kind.validate?.(item, report);
  return report.errors.length === 0;
}

/** `[live, configuration of a, of b, …]`: each applied by its manager, twice. */
const apply: Target = {
  name: 'apply',
  form: 'json',
  words: [
    'containers',
    'name',
    'ports',
    'containerPort',
    'protocol',
    'env',
    'volumes',
    'finalizers',
    'spec',
    'metadata',
    'labels',
    'managedFields',
    'fieldsV1',
    'f:spec',
    'k:{"name":"main"}',
    'v:"a"',
    '.',
    'ownerReferences',
    'uid',
  ],
  seeds: () => [
    JSON.stringify([null, pod]),
    JSON.stringify([pod, pod, { ...pod, spec: { containers: [{ name: 'side', image: 'y' }] } }]),
    JSON.stringify([deployment, { ...deployment, spec: { replicas: 3 } }, deployment]),
    JSON.stringify([service, { ...service, spec: { ports: [{ port: 80, protocol: 'TCP', targetPort: 2 }] } }]),
  ],
  declares: declaresAny,
  run(input) {
    const [live = null, ...configurations] = parts(input);
    const nowMs = Date.UTC(2026, 0, 1);
    const kind = kindOf(configurations[0] ?? live);
    const decode = (value: Json) =>
      decodeObject(kind.schema, decodeJson(encodeJson(value)), { unknown: 'drop' }).object;
    let object: object | undefined;
    if (isObject(live)) {
      const first = decode(live);
      defaultObject(kind, first);
      trackUpdate({ kind, old: undefined, updated: first, manager: 'creator', nowMs });
      object = frozen(first);
    }
    let applied = 0;
    for (const configuration of configurations.slice(0, 4)) {
      if (!isObject(configuration)) continue;
      const request = {
        kind,
        live: object,
        applied: frozen(decode(configuration)),
        manager: `m${applied++ % 2}`,
        force: true,
        nowMs,
      };
      const stored = (value: object) => {
        const copy = decode(value as Json);
        defaultObject(kind, copy);
        return frozen(copy);
      };
      const once = stored(applyObject(request).object);
      // What validation refuses is not stored: keys that are missing, or there twice, have no owner that stays.
      if (!isValid(kind, once)) return 'invalid';
      const twice = stored(applyObject({ ...request, live: once }).object);
      holds(isDeepStrictEqual(twice, once), () => `applied again it differs at ${difference(twice, once)}`);
      // What comes out can be stored and read.
      const read = decodeObject(kind.schema, decodeJson(encodeJson(once)), { unknown: 'report' });
      holds(
        isDeepStrictEqual(read.object, once),
        () => `it is read again otherwise at ${difference(read.object, once)}`,
      );
      object = once;
    }
    return `${applied}`;
  },
};

export const patchTargets: readonly Target[] = [merge, operations, strategic, apply];
