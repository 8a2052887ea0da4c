import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Bench } from './benches.ts';
import { quantile, record, root } from './harness.ts';

interface Measured {
  readonly direct: readonly number[];
  readonly through: readonly number[];
  readonly firstMs: readonly number[];
}

/** Needs root: it is in a network namespace of its own. */
export const network: Bench = {
  name: 'network',
  measures: 'bytes from pod to pod, straight and through a Service by turns; the first packet through a new Service',
  async run() {
    const script = join(root, 'bench', 'network-run.ts');
    const flags = ['--experimental-ffi', '--disable-warning=ExperimentalWarning'];
    const { stdout } = await promisify(execFile)('unshare', ['--net', '--mount', process.execPath, ...flags, script]);
    const { direct, through, firstMs } = JSON.parse(stdout) as Measured;
    const gigabits = (all: readonly number[]) => (quantile(all, 0.5) * 8) / 1e9;
    const [straight, served] = [gigabits(direct), gigabits(through)];
    await record('network', [
      { what: 'pod to pod', figure: `${straight.toFixed(1)} Gbit/s` },
      {
        what: 'pod to Service to pod',
        figure: `${served.toFixed(1)} Gbit/s, ${((100 * served) / straight).toFixed(0)} %`,
        against: 'goal ≥ 90 %',
      },
      {
        what: 'first answer through a new Service, p50, p99',
        figure: `${quantile(firstMs, 0.5).toFixed(1)} ms, ${quantile(firstMs, 0.99).toFixed(1)} ms`,
        against: 'goal ≤ 100 ms',
      },
    ]);
  },
};
