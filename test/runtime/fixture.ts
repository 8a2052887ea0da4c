import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import { buildImages, dockerArchive } from '../../tools/images.ts';
import type { ContainerConfig, NetworkedSandbox, PodNetwork, PodSandboxConfig } from '#runtime/runtime.ts';
import { defaultPrograms, missingForOci, type OciRuntime, openOciRuntime } from '#runtime/oci/runtime.ts';

/** A network for tests that only counts: pods have an address on paper and their loopback interface. */
export class PaperNetwork implements PodNetwork {
  readonly connected = new Map<string, NetworkedSandbox>();
  #count = 0;

  async setup(sandbox: NetworkedSandbox) {
    this.connected.set(sandbox.id, sandbox);
    return { ips: [`10.99.0.${++this.#count}`] };
  }

  async teardown({ id }: { readonly id: string }): Promise<void> {
    this.connected.delete(id);
  }
}

/** A real runtime on a directory of its own, with the test images loaded. */
export interface OciFixture extends AsyncDisposable {
  readonly runtime: OciRuntime;
  readonly network: PaperNetwork;
  readonly root: string;
  readonly logDirectory: string;
  /** Closes the runtime and opens it anew on the same directory, as after a restart of the agent. */
  reopen(): Promise<OciRuntime>;
  pod(fields?: Partial<PodSandboxConfig>): PodSandboxConfig;
  /** A container that runs a line of shell. */
  shell(script: string, fields?: Partial<ContainerConfig>): ContainerConfig;
}

let pods = 0;

export async function openFixture(): Promise<OciFixture> {
  const root = await mkdtemp(join(tmpdir(), 'windlass-oci-'));
  const logDirectory = join(root, 'logs');
  const network = new PaperNetwork();
  const open = () =>
    openOciRuntime({ root, network, clock: systemClock, random: systemRandom, log: silentLog, version: '0.0.0' });
  let runtime = await open();
  await runtime.loadImage(Readable.from(dockerArchive(await buildImages())));
  return {
    get runtime() {
      return runtime;
    },
    network,
    root,
    logDirectory,
    async reopen() {
      await runtime[Symbol.asyncDispose]();
      runtime = await open();
      return runtime;
    },
    pod(fields = {}) {
      const uid = `${process.pid}-${++pods}`;
      return {
        metadata: { name: `pod-${pods}`, uid, namespace: 'default', attempt: 0 },
        logDirectory,
        ...fields,
        linux: { cgroupParent: `/windlass-test/pod${uid}`, ...fields.linux },
      };
    },
    shell: (script, fields = {}) => ({
      metadata: { name: 'main', attempt: 0 },
      image: { image: 'busybox' },
      command: ['sh', '-c', script],
      ...fields,
    }),
    async [Symbol.asyncDispose]() {
      for (const { id } of await runtime.listPodSandbox()) await runtime.removePodSandbox(id);
      await runtime[Symbol.asyncDispose]();
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** Why real containers cannot be tried here, for a test's `skip`. */
export async function cannotRunContainers(): Promise<string | undefined> {
  const missing = await missingForOci(defaultPrograms);
  return missing.length > 0 ? missing.join(', ') : undefined;
}
