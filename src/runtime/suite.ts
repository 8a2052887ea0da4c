import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  type ContainerConfig,
  type ContainerEvent,
  type ContainerStatus,
  isRuntimeError,
  type PodSandboxConfig,
  type Runtime,
} from './runtime.ts';

/** A runtime to try, with one image present under `image` whose containers run until stopped. */
export interface RuntimeFixture extends AsyncDisposable {
  readonly runtime: Runtime;
  readonly image: string;
  /** What makes a container of the image end by itself, with code 3. */
  readonly endsWith3: Partial<ContainerConfig>;
  readonly logDirectory: string;
}

/** What every runtime must do. `skip` says why it cannot be tried here. */
export function runtimeSuite(name: string, open: () => Promise<RuntimeFixture>, skip?: string): void {
  describe(`${name} keeps the runtime contract`, { skip: skip ?? false }, () => {
    let fixture: RuntimeFixture;
    let runtime: Runtime;
    let count = 0;

    before(async () => {
      fixture = await open();
      runtime = fixture.runtime;
    });
    after(() => fixture?.[Symbol.asyncDispose]());

    const sandboxConfig = (fields: Partial<PodSandboxConfig> = {}): PodSandboxConfig => {
      const uid = `suite-${process.pid}-${++count}`;
      return {
        metadata: { name: `pod-${count}`, uid, namespace: 'default', attempt: 0 },
        logDirectory: fixture.logDirectory,
        labels: { app: uid },
        annotations: { note: 'kept' },
        linux: { cgroupParent: `/kubepods/pod${uid}` },
        ...fields,
      };
    };
    const containerConfig = (fields: Partial<ContainerConfig> = {}): ContainerConfig => ({
      metadata: { name: 'main', attempt: 0 },
      image: { image: fixture.image },
      labels: { role: 'main' },
      ...fields,
    });
    const withPod = async (run: (id: string, config: PodSandboxConfig) => Promise<void>) => {
      const config = sandboxConfig();
      const id = await runtime.runPodSandbox(config);
      try {
        await run(id, config);
      } finally {
        await runtime.removePodSandbox(id);
      }
    };
    const started = async (pod: string, config: PodSandboxConfig, fields: Partial<ContainerConfig> = {}) => {
      const id = await runtime.createContainer(pod, containerConfig(fields), config);
      await runtime.startContainer(id);
      return id;
    };

    it('names itself and is ready', async () => {
      assert.equal((await runtime.version()).runtimeApiVersion, 'v1');
      const { conditions } = await runtime.status();
      const ready = Object.fromEntries(conditions.map(({ type, status }) => [type, status]));
      assert.deepEqual(ready, { RuntimeReady: true, NetworkReady: true });
    });

    it('runs, shows, stops and removes a sandbox', async () => {
      const config = sandboxConfig();
      const id = await runtime.runPodSandbox(config);
      const status = await runtime.podSandboxStatus(id);
      assert.equal(status.state, 'ready');
      assert.deepEqual(status.metadata, config.metadata);
      assert.deepEqual(status.annotations, { note: 'kept' });
      assert.notEqual(status.network.ip, '');
      await runtime.stopPodSandbox(id);
      await runtime.stopPodSandbox(id);
      assert.equal((await runtime.podSandboxStatus(id)).state, 'notReady');
      await runtime.removePodSandbox(id);
      await runtime.removePodSandbox(id);
      await assert.rejects(runtime.podSandboxStatus(id), error => isRuntimeError(error, 'NotFound'));
    });

    it('lists sandboxes by id, state and labels', async () => {
      await withPod(async (id, config) => {
        const ids = async (filter: Parameters<Runtime['listPodSandbox']>[0]) =>
          (await runtime.listPodSandbox(filter)).map(sandbox => sandbox.id);
        assert.deepEqual(await ids({ id: id.slice(0, 12) }), [id]);
        assert.deepEqual(await ids({ labelSelector: config.labels }), [id]);
        assert.deepEqual(await ids({ labelSelector: config.labels, state: 'notReady' }), []);
        assert.deepEqual(await ids({ labelSelector: { toString: 'x' } }), []);
      });
    });

    it('takes a container from created over running to exited', async () => {
      await withPod(async (pod, config) => {
        const id = await runtime.createContainer(pod, containerConfig(), config);
        const created = await runtime.containerStatus(id);
        assert.equal(created.state, 'created');
        assert.equal(created.startedAtMs, 0);
        await runtime.startContainer(id);
        const running = await runtime.containerStatus(id);
        assert.equal(running.state, 'running');
        assert.ok(running.startedAtMs >= created.createdAtMs);
        await assert.rejects(runtime.startContainer(id), error => isRuntimeError(error, 'FailedPrecondition'));
        await runtime.stopContainer(id, 1);
        const exited = await runtime.containerStatus(id);
        assert.equal(exited.state, 'exited');
        assert.ok(exited.finishedAtMs >= running.startedAtMs);
        await runtime.stopContainer(id, 1);
        await runtime.removeContainer(id);
        await runtime.removeContainer(id);
        await assert.rejects(runtime.containerStatus(id), error => isRuntimeError(error, 'NotFound'));
      });
    });

    it('kills at once without grace', async () => {
      await withPod(async (pod, config) => {
        const id = await started(pod, config);
        await runtime.stopContainer(id, 0);
        const { exitCode, reason } = await runtime.containerStatus(id);
        assert.deepEqual({ exitCode, reason }, { exitCode: 137, reason: 'Error' });
      });
    });

    it('keeps the exit code of a container that ends by itself', async () => {
      await withPod(async (pod, config) => {
        const stop = new AbortController();
        const events = runtime.events(stop.signal);
        const id = await started(pod, config, fixture.endsWith3);
        const status = await exitOf(events, id, stop);
        assert.equal(status.exitCode, 3);
        assert.equal(status.reason, 'Error');
        assert.deepEqual(await runtime.containerStatus(id), status);
      });
    });

    it('says every change in order', async () => {
      const stop = new AbortController();
      const events = runtime.events(stop.signal);
      const config = sandboxConfig();
      const pod = await runtime.runPodSandbox(config);
      const id = await started(pod, config);
      await runtime.stopContainer(id, 0);
      await runtime.stopPodSandbox(pod);
      await runtime.removePodSandbox(pod);
      const seen: string[] = [];
      for await (const event of events) {
        if (event.podSandboxId !== pod) continue;
        seen.push(`${event.type} ${event.containerId === pod ? 'pod' : 'container'}`);
        if (event.type === 'deleted' && event.containerId === pod) stop.abort();
      }
      assert.deepEqual(seen, [
        'started pod',
        'created container',
        'started container',
        'stopped container',
        'stopped pod',
        'deleted container',
        'deleted pod',
      ]);
    });

    it('lists containers by pod, state and labels', async () => {
      await withPod(async (pod, config) => {
        const running = await started(pod, config);
        const created = await runtime.createContainer(pod, containerConfig({ labels: { role: 'side' } }), config);
        const ids = async (filter: Parameters<Runtime['listContainers']>[0]) =>
          (await runtime.listContainers({ podSandboxId: pod, ...filter })).map(container => container.id).toSorted();
        assert.deepEqual(await ids({}), [running, created].toSorted());
        assert.deepEqual(await ids({ state: 'running' }), [running]);
        assert.deepEqual(await ids({ labelSelector: { role: 'side' } }), [created]);
        assert.deepEqual(await ids({ id: running.slice(0, 20) }), [running]);
      });
    });

    it('ends the containers of a sandbox with it', async () => {
      await withPod(async (pod, config) => {
        const id = await started(pod, config);
        await runtime.stopPodSandbox(pod);
        assert.equal((await runtime.containerStatus(id)).state, 'exited');
        await assert.rejects(runtime.createContainer(pod, containerConfig(), config), error =>
          isRuntimeError(error, 'FailedPrecondition'),
        );
        await runtime.removePodSandbox(pod);
        await assert.rejects(runtime.containerStatus(id), error => isRuntimeError(error, 'NotFound'));
      });
    });

    it('does nothing to what it does not know, and says so where it matters', async () => {
      const unknown = 'f'.repeat(64);
      await runtime.stopPodSandbox(unknown);
      await runtime.removePodSandbox(unknown);
      await runtime.stopContainer(unknown, 1);
      await runtime.removeContainer(unknown);
      for (const call of [
        runtime.startContainer(unknown),
        runtime.containerStatus(unknown),
        runtime.containerStats(unknown),
        runtime.execSync(unknown, ['true']),
        runtime.portForward(unknown, 80),
      ])
        await assert.rejects(call, error => isRuntimeError(error, 'NotFound'));
    });

    it('runs nothing from an image that is not there', async () => {
      await withPod(async (pod, config) => {
        const missing = containerConfig({ image: { image: 'registry.invalid/none:v1' } });
        await assert.rejects(runtime.createContainer(pod, missing, config), error => isRuntimeError(error, 'NotFound'));
        assert.equal(await runtime.imageStatus({ image: 'registry.invalid/none:v1' }), undefined);
      });
    });

    it('runs commands only in running containers', async () => {
      await withPod(async (pod, config) => {
        const id = await runtime.createContainer(pod, containerConfig(), config);
        await assert.rejects(runtime.execSync(id, ['true']), error => isRuntimeError(error, 'FailedPrecondition'));
        await runtime.startContainer(id);
        assert.equal((await runtime.execSync(id, ['true'])).exitCode, 0);
      });
    });

    it('measures what runs', async () => {
      await withPod(async (pod, config) => {
        const id = await started(pod, config);
        const stats = await runtime.containerStats(id);
        assert.equal(stats.attributes.podSandboxId, pod);
        assert.ok(stats.cpu && stats.memory);
        assert.equal((await runtime.podSandboxStats(pod)).containers.length, 1);
        assert.equal((await runtime.listContainerStats({ podSandboxId: pod })).length, 1);
        await runtime.stopContainer(id, 0);
        assert.equal((await runtime.containerStats(id)).cpu, undefined);
      });
    });

    it('starts nothing when it was aborted before', async () => {
      const aborted = AbortSignal.abort(new Error('enough'));
      await assert.rejects(runtime.runPodSandbox(sandboxConfig(), '', aborted), /enough/);
    });
  });
}

/** Waits for a container's end; the events must have been asked for before its start. */
export async function exitOf(
  events: AsyncIterable<ContainerEvent>,
  id: string,
  stop: AbortController,
): Promise<ContainerStatus> {
  for await (const event of events) {
    if (event.type !== 'stopped' || event.containerId !== id) continue;
    const status = event.containersStatuses.find(container => container.id === id);
    assert.ok(status);
    stop.abort();
    return status;
  }
  throw new Error(`container ${id} has not ended`);
}
