import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kinds } from './kinds.ts';

const idOf = ({ group, version, kind }: { group: string; version: string; kind: string }) =>
  `${group}/${version} ${kind}`;

test('no kind is listed twice', () => {
  const ids = kinds.map(idOf);
  assert.deepEqual(
    ids.filter((id, index) => ids.indexOf(id) !== index),
    [],
  );
});

test('every kind says what it is for', () => {
  assert.deepEqual(kinds.filter(({ schema }) => schema.doc?.endsWith('.') !== true).map(idOf), []);
});

test('rows begin with the name, except those of events', () => {
  const other = kinds.filter(
    ({ kind, columns }) => kind !== 'Event' && columns.length > 0 && columns[0]?.format !== 'name',
  );
  assert.deepEqual(other.map(idOf), []);
});

test('what is stored as another version is stored as one that exists and is stored as itself', () => {
  for (const kind of kinds) {
    if (!kind.storedAs) continue;
    const { group, version, kind: name = kind.kind } = { kind: kind.kind, ...kind.storedAs };
    const target = kinds.find(each => each.group === group && each.version === version && each.kind === name);
    assert.ok(target, idOf(kind));
    assert.equal(target.storedAs, undefined, idOf(kind));
  }
});
