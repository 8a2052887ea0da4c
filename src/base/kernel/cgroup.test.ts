import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createCgroup, findCgroups, pruneCgroup, removeCgroup } from './cgroup.ts';

const tree = findCgroups();
const skip =
  process.getuid?.() !== 0
    ? 'it needs root'
    : tree?.version !== 1
      ? 'it is about the hierarchies of version 1'
      : undefined;

test('groups go from hierarchies that were mounted after the tree was read', { skip }, () => {
  assert.ok(tree);
  const path = `/windlass-test-${process.pid}`;
  const group = `${path}/besteffort`;
  // Another cluster mounts a hierarchy while this one runs; crun makes its groups in it, too.
  const added = tree.controller('pids') ?? '';
  const before = { ...tree, hierarchies: tree.hierarchies.filter(each => each !== added) };
  createCgroup(tree, group);
  assert.ok(existsSync(join(added, group)));
  assert.ok(removeCgroup(before, group));
  pruneCgroup(before, path);
  assert.deepEqual(
    tree.hierarchies.filter(hierarchy => existsSync(join(hierarchy, path))),
    [],
  );
});
