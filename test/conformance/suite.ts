import { globSync } from 'node:fs';
import { run } from 'node:test';
import { startContainerd } from '../runtime/containerd.ts';
import { startScenarioCluster } from '../scenarios/cluster.ts';

/** A cluster to be tested, and where its images come from. */
export interface Tested {
  readonly kubeconfig: string;
  /** `127.0.0.1:41234` */
  readonly registry: string;
}

export interface Choice {
  /** `sig-auth`; all without. */
  readonly area?: string | undefined;
  /** Part of a file's name under its area. */
  readonly file?: string | undefined;
  /** Part of the tests' names. */
  readonly only?: string | undefined;
  /** Not those with this in their names. */
  readonly except?: string | undefined;
  /** Without those that are slow. */
  readonly quick?: boolean;
}

export interface Result {
  readonly name: string;
  readonly passed: boolean;
  readonly durationMs: number;
  /** Why it failed. */
  readonly failure?: string;
}

const filesAtOnce = 3;
const flags = ['--disable-warning=ExperimentalWarning', '--experimental-ffi'];

/** The cluster that the tests want: conformance asks for two nodes. One runtime that speaks CRI is one node. */
export async function testedCluster(runtime: 'oci' | 'cri' = 'oci'): Promise<Tested & AsyncDisposable> {
  if (runtime === 'oci') return startScenarioCluster('--nodes', '2');
  const containerd = await startContainerd({ cniDirectory: '/etc/cni/net.d' });
  try {
    const cluster = await startScenarioCluster('--runtime', 'cri', '--runtime-endpoint', containerd.endpoint);
    return {
      kubeconfig: cluster.kubeconfig,
      registry: cluster.registry,
      async [Symbol.asyncDispose]() {
        await cluster[Symbol.asyncDispose]();
        await containerd[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await containerd[Symbol.asyncDispose]();
    throw error;
  }
}

/** Runs the chosen tests against a cluster and tells each result as it comes. */
export async function runConformance(
  { kubeconfig, registry }: Tested,
  { area = 'sig-*', file = '', only = '', except = '', quick = false }: Choice,
  told: (result: Result) => void = () => {},
  signal: AbortSignal = new AbortController().signal,
): Promise<readonly Result[]> {
  const files = globSync(`${area}/*${file}*.ts`, { cwd: import.meta.dirname })
    .map(each => `${import.meta.dirname}/${each}`)
    .toSorted();
  const results: Result[] = [];
  if (files.length === 0) return results;
  Object.assign(process.env, {
    CONFORMANCE_KUBECONFIG: kubeconfig,
    CONFORMANCE_REGISTRY: registry,
    CONFORMANCE_ONLY: only,
    CONFORMANCE_EXCEPT: except,
    CONFORMANCE_QUICK: quick ? '1' : '0',
  });
  for (const [phase, concurrency] of [
    ['parallel', filesAtOnce],
    ['serial', 1],
  ] as const) {
    if (signal.aborted) break;
    process.env.CONFORMANCE_PHASE = phase;
    const stream = run({ files, concurrency, isolation: 'process', execArgv: [...flags], signal });
    const add = (result: Result) => {
      results.push(result);
      told(result);
    };
    for await (const { type, data } of stream) {
      if (type === 'test:pass' && data.name.startsWith('[sig-'))
        add({ name: data.name, passed: true, durationMs: data.details.duration_ms });
      else if (type === 'test:fail' && (data.name.startsWith('[sig-') || data.nesting === 0)) {
        // A suite that fails says only that its tests did; a file that does not even load has no tests.
        const { error, duration_ms: durationMs } = data.details;
        if (error.failureType === 'subtestsFailed') continue;
        add({ name: data.name, passed: false, durationMs, failure: reasonOf(error) });
      }
    }
  }
  return results;
}

function reasonOf(error: Error): string {
  const cause = error.cause instanceof Error ? error.cause : error;
  const behind = cause.cause instanceof Error ? `\n  because: ${cause.cause.stack ?? cause.cause.message}` : '';
  return `${cause.stack ?? cause.message}${behind}`;
}
