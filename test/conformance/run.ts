/**
 * `npm run conformance -- [--area sig-auth] [--file PART] [--only PART] [--quick] [--kubeconfig FILE --registry HOST:PORT]`:
 * runs the equivalents of the official conformance tests against a cluster that it starts (or a given one), and prints what
 * passed, failed and is missing out of the official number.
 */
import { parseArgs } from 'node:util';
import { realContainers } from '../scenarios/cluster.ts';
import { officialTests } from './official.ts';
import { runConformance, testedCluster, type Result } from './suite.ts';

const { values } = parseArgs({
  options: {
    area: { type: 'string' },
    file: { type: 'string' },
    only: { type: 'string' },
    quick: { type: 'boolean' },
    runtime: { type: 'string', default: 'oci' },
    kubeconfig: { type: 'string' },
    registry: { type: 'string' },
    missing: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
});
if (values.help) {
  process.stdout.write(`npm run conformance -- [flags]
  --area AREA         sig-auth, sig-node, … (all without)
  --file PART         only files of the area with this in their names
  --only PART         only tests with this in their names
  --quick             without the slow ones
  --runtime oci|cri   what the cluster that is started runs containers with; cri: Debian's containerd
  --missing           names the official tests that have no equivalent yet
  --kubeconfig FILE   an existing cluster, with --registry HOST:PORT of one that has the project's images
`);
  process.exit(0);
}
const { runtime } = values;
if (runtime !== 'oci' && runtime !== 'cri') {
  process.stderr.write(`cannot test with the runtime ${runtime}: it is oci or cri\n`);
  process.exit(1);
}
if (values.kubeconfig === undefined && realContainers !== undefined) {
  process.stderr.write(`cannot start a cluster to test: ${realContainers}\n`);
  process.exit(1);
}

const told = ({ name, passed, durationMs, failure }: Result) => {
  process.stdout.write(`${passed ? 'passed' : 'FAILED'} ${(durationMs / 1000).toFixed(1)} s  ${name}\n`);
  if (failure !== undefined) process.stdout.write(`${failure.replaceAll(/^/gm, '    ')}\n`);
};
const { area, file, only, quick = false } = values;
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort());
let results: readonly Result[];
let unknown: readonly string[] = [];
if (values.kubeconfig !== undefined) {
  const tested = { kubeconfig: values.kubeconfig, registry: values.registry ?? '' };
  results = await runConformance(tested, { area, file, only, quick }, told, interrupted.signal);
} else {
  await using cluster = await testedCluster(runtime);
  // Debian's containerd 1.6 knows no image volumes; 2.1 does.
  const except = runtime === 'cri' ? '[sig-node] ImageVolume' : undefined;
  if (except !== undefined) process.stdout.write(`left out, because containerd before 2.1 cannot: ${except}\n`);
  results = await runConformance(cluster, { area, file, only, except, quick }, told, interrupted.signal);
}

const failed = results.filter(each => !each.passed);
const names = new Set(results.map(({ name }) => name));
const official = officialTests()?.filter(each => area === undefined || each.area === area);
const passed = results.length - failed.length;
process.stdout.write(`\n${passed} passed, ${failed.length} failed`);
if (official) {
  const missing = official.filter(({ name }) => !names.has(name));
  process.stdout.write(`, ${missing.length} missing of ${official.length} official tests`);
  unknown = [...names].filter(name => !official.some(each => each.name === name) && name.startsWith('[sig-'));
  if (unknown.length > 0) process.stdout.write(`\nnot official names:\n${unknown.map(each => `  ${each}\n`).join('')}`);
  if (values.missing) process.stdout.write(`\n${missing.map(({ name }) => `  ${name}\n`).join('')}`);
} else process.stdout.write('; the official list is not beside this checkout');
process.stdout.write('\n');
process.exitCode = failed.length > 0 || unknown.length > 0 || results.length === 0 ? 1 : 0;
