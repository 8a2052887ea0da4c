import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';
import { ApiError } from '../errors.ts';
import { defineKind } from '../kind.ts';
import { int32, json, list, map, object, string, struct, types } from '../schema.ts';
import { applyObject, trackUpdate } from './apply.ts';

/*
 * Stories of chance, with what upstream's structured-merge-diff v6 makes of every step: `stories.jsonl` has one a line, each
 * step as [operation, manager, force, object, conflicts, object afterwards, owned by whom afterwards].
 */
type Step = readonly ['Apply' | 'Update', string, boolean, Body, 'refused' | readonly string[], Body, object];
interface Body {
  readonly spec?: object;
}

const text = (tag: number) => string(tag, { pointer: true });
const pair = object('pair', { x: text(1), y: text(2) });
const item = object('item', {
  name: text(1),
  v: text(2),
  n: struct(3, pair),
  sub: list(4, types.string, { listType: 'set' }),
});
const port = object('port', {
  port: int32(1, { pointer: true }),
  protocol: string(2, { pointer: true, default: 'TCP' }),
  t: text(3),
});
const Thing = defineKind({
  group: 'example.com',
  version: 'v1',
  kind: 'Thing',
  plural: 'things',
  namespaced: true,
  type: 'thing',
  fields: {
    metadata: struct(1, ObjectMeta),
    spec: struct(
      2,
      object('spec', {
        a: text(1),
        b: text(2),
        m: map(3, types.string),
        am: map(4, types.string, { mapType: 'atomic' }),
        l: list(5, types.string, { listType: 'atomic' }),
        s: list(6, types.string, { listType: 'set' }),
        k: list(7, item, { listType: 'map', mapKeys: ['name'] }),
        st: struct(8, object('atomic', { x: text(1), y: text(2) }, { mapType: 'atomic' })),
        n: struct(9, object('nested', { x: text(1), m: map(2, pair) })),
        kp: list(10, port, { listType: 'map', mapKeys: ['port', 'protocol'] }),
        u: json(11),
        si: list(12, types.int32, { listType: 'set' }),
      }),
    ),
  },
});

const stories = readFileSync(new URL('stories.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map(line => JSON.parse(line) as readonly Step[]);

test('who owns what after every step is what upstream says', () => {
  assert.ok(stories.length >= 50);
  for (const [index, story] of stories.entries()) {
    let live: Live | undefined;
    for (const [at, [operation, manager, force, body, conflicts, then, owned]] of story.entries()) {
      const step = `story ${index}, step ${at}`;
      const sent = {
        apiVersion: 'example.com/v1',
        kind: 'Thing',
        metadata: { ...(operation === 'Update' && live?.metadata), name: 'x' },
        ...structuredClone(body),
      };
      const nowMs = at * 1000;
      let refusals: 'refused' | readonly string[] = [];
      try {
        if (operation === 'Apply')
          live = applyObject({ kind: Thing, live, applied: sent, manager, force, nowMs }).object as unknown as Live;
        else {
          trackUpdate({ kind: Thing, old: live, updated: sent, manager, nowMs });
          live = sent as Live;
        }
      } catch (error) {
        assert.ok(error instanceof ApiError, step);
        const causes = error.status.reason === 'Conflict' ? error.status.details?.causes : undefined;
        refusals = causes ? causes.map(({ field = '' }) => field).sort() : 'refused';
      }
      const expected = conflicts === 'refused' ? conflicts : conflicts.map(each => each.slice(each.indexOf(' ') + 1));
      assert.deepEqual(refusals, typeof expected === 'string' ? expected : expected.toSorted(), step);
      assert.deepEqual(live?.spec ?? {}, then.spec ?? {}, step);
      const entries = live?.metadata.managedFields ?? [];
      assert.deepEqual(
        Object.fromEntries(entries.map(each => [`${each.manager}/${each.operation}`, each.fieldsV1])),
        owned,
        step,
      );
    }
  }
});

interface Live extends Body {
  readonly metadata: {
    readonly managedFields?: readonly {
      readonly manager: string;
      readonly operation: string;
      readonly fieldsV1: object;
    }[];
  };
}
