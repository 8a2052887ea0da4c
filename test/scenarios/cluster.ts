import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { missing, nodePackages } from '../../src/cluster/packages.ts';
import { buildImages, pushImage } from '../../tools/images.ts';
import { freePort } from '../../tools/ports.ts';
import { startRegistry } from '../../tools/registry.ts';
import { leftBehind } from './leaks.ts';

const root = join(import.meta.dirname, '..', '..');
const run = promisify(execFile);

/** Why real containers cannot be had here; `undefined` when they can. */
export const realContainers: string | undefined =
  process.platform !== 'linux'
    ? 'real containers need Linux'
    : process.getuid?.() !== 0
      ? 'real containers need root'
      : missing([...nodePackages, { command: 'kubectl', debian: 'kubernetes-client' }]).length > 0
        ? 'Linux packages are missing'
        : undefined;

/**
 * A cluster with real containers beside a registry with the project's images. Disposing of it stops both, and fails when
 * something is left on the machine.
 */
export interface ScenarioCluster extends AsyncDisposable {
  readonly dataDir: string;
  readonly port: number;
  readonly kubeconfig: string;
  /** `127.0.0.1:41234` */
  readonly registry: string;
  readonly env: Readonly<Record<string, string>>;
  windlass(...args: readonly string[]): Promise<string>;
  kubectl(...args: readonly string[]): Promise<string>;
  /** What the API has at a path of `kubectl get`, as JSON. */
  get<Value>(...args: readonly string[]): Promise<Value>;
  apply(...objects: readonly object[]): Promise<void>;
  /** The process of a role as its pid file says. */
  pid(role: 'supervisor' | 'control-plane' | 'node-agent'): number;
}

const outputBytesMax = 1 << 26;
let manifests = 0;

export async function startScenarioCluster(...flags: readonly string[]): Promise<ScenarioCluster> {
  const dataDir = mkdtempSync(join(tmpdir(), 'windlass-scenario-'));
  const port = await freePort();
  const registry = await startRegistry();
  for (const image of await buildImages()) await pushImage(registry.host, image);
  const windlass = async (...args: readonly string[]) =>
    (await run(process.execPath, [join(root, 'bin', 'windlass.js'), ...args, '--data-dir', dataDir])).stdout;
  const kubeconfig = join(dataDir, 'kubeconfig');
  const kubectl = async (...args: readonly string[]) =>
    (await run('kubectl', [...args], { env: { ...process.env, KUBECONFIG: kubeconfig }, maxBuffer: outputBytesMax }))
      .stdout;
  try {
    await windlass('up', '--detach', '--port', String(port), ...flags);
  } catch (error) {
    await windlass('down', '--delete').finally(() => registry[Symbol.asyncDispose]());
    throw error;
  }
  return {
    dataDir,
    port,
    kubeconfig,
    registry: registry.host,
    env: { KUBECONFIG: kubeconfig, REGISTRY: registry.host, DATA_DIR: dataDir, PORT: String(port) },
    windlass,
    kubectl,
    get: async (...args) => JSON.parse(await kubectl('get', '--output=json', ...args)),
    async apply(...objects) {
      const manifest = join(dataDir, `manifest-${manifests++}.json`);
      writeFileSync(manifest, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
      await kubectl('apply', '--server-side', '--filename', manifest);
      rmSync(manifest);
    },
    pid: role => Number(readFileSync(join(dataDir, 'run', `${role}.pid`), 'utf8')),
    async [Symbol.asyncDispose]() {
      await windlass('down', '--delete');
      const left = leftBehind(dataDir);
      if (left.length > 0) throw new Error(`the cluster has left something on the machine:\n${left.join('\n')}`);
      rmSync(dataDir, { recursive: true, force: true });
      await registry[Symbol.asyncDispose]();
    },
  };
}
