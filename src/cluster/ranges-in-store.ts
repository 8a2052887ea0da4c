import { Service } from '#api/core/v1/service.ts';
import type { Kind } from '#api/machinery/kind.ts';
import { storageKey } from '#apiserver/cache/watch-cache.ts';
import { openSqliteStorage } from '#storage/sqlite/sqlite-storage.ts';
import { rangeChoices, type Ranges } from './addresses.ts';
import type { DataDir } from './data-dir.ts';

/** The address ranges of the cluster whose store this is: the `kubernetes` Service has the first address of its range. */
export async function rangesInStore(dir: DataDir): Promise<Ranges | undefined> {
  await using storage = await openSqliteStorage({ directory: dir.store });
  const entry = await storage.get(storageKey(Service as unknown as Kind, 'default/kubernetes'));
  const text = entry && Buffer.from(entry.value.bytes).toString();
  // Somebody may have had Services encrypted.
  if (!text?.startsWith('{')) return undefined;
  const { spec } = JSON.parse(text) as Service;
  return rangeChoices.find(({ serviceIP }) => serviceIP === spec.clusterIP);
}
