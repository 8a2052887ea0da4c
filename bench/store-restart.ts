// Opens a store of SQLite and reads all of it:   node bench/store-restart.ts DIRECTORY      prints what it took as JSON
import { openSqliteStorage } from '#storage/sqlite/sqlite-storage.ts';

const [directory = ''] = process.argv.slice(2);
const started = performance.now();
await using storage = await openSqliteStorage({ directory });
const openMs = performance.now() - started;
let bytes = 0;
let entries = 0;
for (let start: string | undefined = '/'; start !== undefined; ) {
  const found = await storage.range('/', { start, limit: 500 });
  for (const { value } of found.entries) bytes += value.bytes.length;
  entries += found.entries.length;
  const last = found.entries.at(-1);
  start = found.remaining > 0 && last ? `${last.key}\0` : undefined;
}
const readMs = performance.now() - started;
const { user, system } = process.cpuUsage();
console.log(JSON.stringify({ openMs, readMs, bytes, entries, cpuMs: (user + system) / 1000 }));
