import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openSqliteStorage } from '#storage/sqlite/sqlite-storage.ts';
import { rangeChoices } from './addresses.ts';
import { dataDirAt, makeDataDir } from './data-dir.ts';
import { rangesInStore } from './ranges-in-store.ts';

const temporary = mkdtempSync(join(tmpdir(), 'windlass-ranges-'));
after(() => rmSync(temporary, { recursive: true, force: true }));

test('a store tells the address ranges of its cluster', async () => {
  const dir = dataDirAt(join(temporary, 'third'));
  makeDataDir(dir);
  {
    await using storage = await openSqliteStorage({ directory: dir.store });
    const service = { metadata: { name: 'kubernetes' }, spec: { clusterIP: rangeChoices[2]?.serviceIP } };
    await storage.put(
      '/registry/services/default/kubernetes',
      { bytes: Buffer.from(JSON.stringify(service)) },
      'absent',
    );
  }
  assert.deepEqual(await rangesInStore(dir), rangeChoices[2]);
});

test('a store that is still empty tells none', async () => {
  const dir = dataDirAt(join(temporary, 'empty'));
  makeDataDir(dir);
  assert.equal(await rangesInStore(dir), undefined);
});
