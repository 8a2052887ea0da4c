import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { systemClock } from '../src/base/clock.ts';
import { silentLog } from '../src/base/log.ts';
import { installPackages } from '../src/cluster/packages.ts';
import { openEtcdStorage } from '../src/storage/etcd/etcd-storage.ts';
import { startEtcd, type TestEtcd } from '../src/storage/etcd/test-etcd.ts';
import { openSqliteStorage } from '../src/storage/sqlite/sqlite-storage.ts';
import type { Storage } from '../src/storage/storage.ts';
import type { Bench } from './benches.ts';
import { record, root, type Row } from './harness.ts';
import { load, megabytes, milliseconds, perSecond, phaseRow, type Phase } from './load.ts';
import { keepCurve, type Point } from './measurements.ts';

const run = promisify(execFile);
const valueBytes = 1_500;
const clients = [1, 32, 256];
const writes = { 1: 1_000, 32: 10_000, 256: 20_000 } as const;
const largeBytes = 100_000;
/** Entries of `largeBytes`: the last one is 1 GB. */
const restartSizes = [1_000, 5_000, 10_000];

export const store: Bench = {
  name: 'store',
  measures: 'durable writes a second, and a start with 1 GB, of SQLite and of etcd behind the same interface',
  async run(parts) {
    const wants = (part: string) => parts.length === 0 || parts.includes(part);
    const lacking = installPackages([{ command: 'etcd', debian: 'etcd-server' }]);
    const rows: Row[] = [];
    if (wants('writes')) rows.push(...(await durableWrites(lacking)));
    if (wants('restart')) rows.push(...(await restarts(lacking)));
    await record('store', rows);
  },
};

async function durableWrites(lacking: string | undefined): Promise<Row[]> {
  const ours = new Map<number, Phase>();
  const directory = mkdtempSync(join(tmpdir(), 'windlass-bench-store-'));
  try {
    await using storage = await openSqliteStorage({ directory });
    for (const count of clients) ours.set(count, await put(storage, count));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  const peers = new Map<number, Phase>();
  if (lacking === undefined) {
    await using etcd = await startEtcd();
    await using storage = await openEtcd(etcd);
    for (const count of clients) peers.set(count, await put(storage, count));
  }
  return clients.map(count => {
    const mine = ours.get(count) as Phase;
    const peer = peers.get(count);
    const against = peer
      ? `etcd ${perSecond(peer.operations, peer.wallMs)}/s: ratio ${(peer.wallMs / mine.wallMs).toFixed(2)}`
      : lacking;
    return phaseRow(`${count} at once, ${valueBytes} bytes each, synced`, mine, against);
  });
}

function put(storage: Storage, concurrency: number): Promise<Phase> {
  const bytes = Buffer.alloc(valueBytes, 'x');
  const operations = writes[concurrency as keyof typeof writes];
  // What our own process uses: the store is a thread of it.
  return load({ operations, concurrency, pid: process.pid }, index =>
    storage.put(`/bench/${concurrency}/${index}`, { bytes }, 'absent'),
  );
}

function openEtcd(etcd: TestEtcd): Promise<Storage> {
  return openEtcdStorage({ servers: [etcd.url], clock: systemClock, log: silentLog });
}

interface Restarted {
  readonly openMs: number;
  readonly readMs: number;
  readonly bytes: number;
  readonly cpuMs: number;
}

async function restarts(lacking: string | undefined): Promise<Row[]> {
  const rows: Row[] = [];
  const points: Point[] = [];
  for (const size of restartSizes) {
    const directory = mkdtempSync(join(tmpdir(), 'windlass-bench-store-'));
    try {
      {
        await using storage = await openSqliteStorage({ directory });
        await fill(storage, size);
      }
      const ours = await restarted(directory);
      points.push({ size, value: ours.cpuMs / size });
      const against = size === restartSizes.at(-1) && lacking === undefined ? await restartedEtcd(size) : undefined;
      rows.push({
        what: `start with ${megabytes(ours.bytes)}`,
        figure: `open ${milliseconds(ours.openMs)}, everything read ${milliseconds(ours.readMs)} cpu=${milliseconds(ours.cpuMs)}`,
        ...(against !== undefined && { against }),
      });
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
  await keepCurve('store-restart', {
    title: 'Start with a full store',
    size: 'entries of 100 kB',
    unit: 'ms of CPU an entry',
    series: { 'opened and read': points },
  });
  return rows;
}

async function restarted(directory: string): Promise<Restarted> {
  const flags = ['--experimental-ffi', '--disable-warning=ExperimentalWarning'];
  const { stdout } = await run(process.execPath, [...flags, join(root, 'bench', 'store-restart.ts'), directory]);
  return JSON.parse(stdout) as Restarted;
}

async function restartedEtcd(size: number): Promise<string> {
  await using etcd = await startEtcd({ arguments: ['--quota-backend-bytes=8589934592'] });
  {
    await using storage = await openEtcd(etcd);
    await fill(storage, size);
  }
  await etcd.kill();
  const started = performance.now();
  await etcd.start();
  return `etcd serves after ${milliseconds(performance.now() - started)}`;
}

async function fill(storage: Storage, size: number): Promise<void> {
  const bytes = Buffer.alloc(largeBytes, 'x');
  await load({ operations: size, concurrency: 16, pid: process.pid }, index =>
    storage.put(`/bench/large/${index}`, { bytes }, 'absent'),
  );
}
