/**
 * `npm test [-- FILTER…]`: sets up what the tests need and runs them. The quick part of everything; the long runs
 * (conformance, simulation, benchmarks) are commands of their own.
 */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { installPackages, nodePackages, proxyPackages } from '../src/cluster/packages.ts';
import { othersAreThere, startLeakWatch } from './leak-watch.ts';

const root = join(import.meta.dirname, '..');
const filters = process.argv.slice(2);

/** Files that start real clusters or change the machine's network run one after the other, behind the others. */
const alone = [
  'test/scenarios/',
  'test/runtime/',
  'test/kubelet/',
  'test/conformance/conformance.test.ts',
  'src/runtime/',
  'src/network/',
  'src/kubelet/',
  'src/cluster/',
];

const files = ['src/**/*.test.ts', 'test/**/*.test.ts', 'tools/**/*.test.ts']
  .flatMap(pattern => globSync(pattern, { cwd: root }))
  .filter(file => filters.length === 0 || filters.some(filter => file.includes(filter)))
  .toSorted();

const packages = installPackages([
  ...nodePackages,
  { command: 'kubectl', debian: 'kubernetes-client' },
  { command: 'docker-registry', debian: 'docker-registry' },
  { command: 'busybox', debian: 'busybox-static' },
  ...proxyPackages,
  { command: 'curl', debian: 'curl' },
  { command: 'openssl', debian: 'openssl' },
  { command: 'containerd', debian: 'containerd' },
  { command: 'etcd', debian: 'etcd-server' },
  { command: 'mkfs.ext4', debian: 'e2fsprogs' },
  { command: '/usr/lib/cni/bridge', debian: 'containernetworking-plugins' },
]);
if (packages !== undefined) process.stderr.write(`windlass: ${packages}\n`);

const together = files.filter(file => !alone.some(prefix => file.startsWith(prefix)));
const serial = files.filter(file => alone.some(prefix => file.startsWith(prefix)));

const counts = { passed: 0, failed: 0, skipped: 0 };
/** What went wrong, said once more at the end, where it is looked for. */
const failures: string[] = [];
let broken = false;
await watched(together, availableParallelism());
// One by one, so that what is left on the machine has the name of who left it.
for (const file of serial) await watched([file], 1);
if (files.length > 1) for (const each of failures) process.stdout.write(`\n${each.trimEnd()}\n`);
process.stdout.write(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
process.exitCode = broken || counts.failed > 0 || counts.passed === 0 ? 1 : 0;

/** Runs files, and fails when something of theirs is left on the machine: processes, mounts, links, temporary files. */
async function watched(group: readonly string[], concurrency: number): Promise<void> {
  if (group.length === 0) return;
  const watch = startLeakWatch();
  await run(group, concurrency, watch.env);
  const left = await watch.left();
  // Beside others a link or a table may be theirs; a process or a file with our mark is not.
  const certain = othersAreThere() ? left.filter(({ isOurs }) => isOurs) : left;
  const whose = group.length === 1 ? group[0] : 'one of the tests that run together';
  for (const each of left) {
    const line = `${certain.includes(each) ? '✖ left behind' : 'ℹ appeared (perhaps of somebody else)'} by ${whose}: ${each.what}`;
    process.stdout.write(`${line}\n`);
    if (certain.includes(each)) failures.push(line);
  }
  if (certain.length > 0) broken = true;
  watch.close();
}

/** Runs files in node's own test runner, passes its output on and adds up its closing lines. */
async function run(
  group: readonly string[],
  concurrency: number,
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const flags = ['--disable-warning=ExperimentalWarning', '--experimental-ffi'];
  const runner = spawn(
    process.execPath,
    [
      ...flags,
      '--test',
      `--test-concurrency=${concurrency}`,
      '--test-timeout=600000',
      '--test-reporter=spec',
      ...group,
    ],
    { cwd: root, stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env, NODE_OPTIONS: flags.join(' ') } },
  );
  let tail = '';
  runner.stdout.on('data', (chunk: Buffer) => {
    process.stdout.write(chunk);
    tail = (tail + chunk.toString()).slice(-20_000_000);
  });
  const code = await new Promise<number | null>(resolve => runner.on('close', resolve));
  const last = (word: string) => Number([...tail.matchAll(new RegExp(`^ℹ ${word} (\\d+)`, 'gm'))].at(-1)?.[1] ?? 0);
  counts.passed += last('pass');
  counts.failed += last('fail');
  counts.skipped += last('skipped') + last('todo');
  const failed = tail.lastIndexOf('\n✖ failing tests:');
  if (failed >= 0) failures.push(tail.slice(failed));
  if (code !== 0) broken = true;
}
