import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ManualClock, systemClock } from '#base/clock.ts';
import { seededRandom } from '#base/random.ts';
import { isRuntimeError, type PodSandboxConfig } from '../runtime.ts';
import { runtimeSuite } from '../suite.ts';
import { Addresses } from './addresses.ts';
import { HollowRuntime, type HollowRuntimeOptions } from './runtime.ts';

runtimeSuite('hollow', async () => {
  const runtime = new HollowRuntime({ clock: systemClock, random: seededRandom(1) });
  const image = await runtime.pullImage({ image: 'busybox' });
  return {
    runtime,
    image,
    endsWith3: { annotations: { 'hollow.windlass.dev/run-ms': '1', 'hollow.windlass.dev/exit-code': '3' } },
    logDirectory: '/nowhere',
    [Symbol.asyncDispose]: () => runtime[Symbol.asyncDispose](),
  };
});

describe('hollow', () => {
  const pod = (name: string, annotations = {}): PodSandboxConfig => ({
    metadata: { name, uid: name, namespace: 'default', attempt: 0 },
    annotations,
  });
  const open = (options: Partial<HollowRuntimeOptions> = {}) => {
    const clock = new ManualClock();
    return { clock, runtime: new HollowRuntime({ clock, random: seededRandom(2), ...options }) };
  };
  const start = async (runtime: HollowRuntime, config: PodSandboxConfig, image = 'web') => {
    await runtime.pullImage({ image });
    const sandbox = await runtime.runPodSandbox(config);
    const id = await runtime.createContainer(
      sandbox,
      { metadata: { name: 'c', attempt: 0 }, image: { image } },
      config,
    );
    return { sandbox, id };
  };

  it('takes its time as told', async () => {
    const { clock, runtime } = open({
      behaviours: [{ behaviour: { startDelayMs: 500 } }, { image: 'web', behaviour: { runMs: 2000, exitCode: 7 } }],
    });
    const { id } = await start(runtime, pod('a'));
    const starting = runtime.startContainer(id);
    await clock.advance(499);
    assert.equal((await runtime.containerStatus(id)).state, 'created');
    await clock.advance(1);
    await starting;
    await clock.advance(1999);
    assert.equal((await runtime.containerStatus(id)).state, 'running');
    await clock.advance(1);
    const status = await runtime.containerStatus(id);
    assert.deepEqual([status.state, status.exitCode, status.reason], ['exited', 7, 'Error']);
    assert.equal(status.finishedAtMs - status.startedAtMs, 2000);
  });

  it('heeds annotations over rules', async () => {
    const { runtime } = open({ behaviours: [{ behaviour: { execExitCode: 0 } }] });
    const { id } = await start(runtime, pod('a', { 'hollow.windlass.dev/exec-exit-code': '1' }));
    await runtime.startContainer(id);
    assert.equal((await runtime.execSync(id)).exitCode, 1);
  });

  it('is killed when it stops slower than the grace period', async () => {
    const { clock, runtime } = open({ behaviours: [{ behaviour: { stopDelayMs: 5000 } }] });
    const { id } = await start(runtime, pod('a'));
    await runtime.startContainer(id);
    const stopping = runtime.stopContainer(id, 2);
    await clock.advance(2000);
    await stopping;
    assert.equal((await runtime.containerStatus(id)).exitCode, 137);
  });

  it('fails to start and to pull as told', async () => {
    const { runtime } = open({
      behaviours: [{ behaviour: { startError: 'no such file' } }],
      missingImages: new Set(['gone']),
    });
    const { id } = await start(runtime, pod('a'));
    await assert.rejects(runtime.startContainer(id), /no such file/);
    assert.deepEqual((await runtime.containerStatus(id)).reason, 'StartError');
    await assert.rejects(runtime.pullImage({ image: 'gone' }), error => isRuntimeError(error, 'NotFound'));
  });

  it('gives each pod an address of the range and takes it back', async () => {
    const { runtime } = open({ podCidr: '10.1.2.0/30' });
    const one = await start(runtime, pod('a'));
    const two = await start(runtime, pod('b'));
    const ips = [one, two].map(async ({ sandbox }) => (await runtime.podSandboxStatus(sandbox)).network.ip);
    assert.deepEqual(await Promise.all(ips), ['10.1.2.1', '10.1.2.2']);
    await assert.rejects(start(runtime, pod('c')), error => isRuntimeError(error, 'ResourceExhausted'));
    await runtime.stopPodSandbox(one.sandbox);
    const three = await start(runtime, pod('c'));
    assert.equal((await runtime.podSandboxStatus(three.sandbox)).network.ip, '10.1.2.1');
  });

  it('hands out freed addresses last', () => {
    const addresses = new Addresses('192.168.0.0/29');
    const first = addresses.take();
    assert.equal(first, '192.168.0.1');
    addresses.release('192.168.0.1');
    assert.deepEqual(
      Array.from({ length: 6 }, () => addresses.take()),
      ['192.168.0.2', '192.168.0.3', '192.168.0.4', '192.168.0.5', '192.168.0.6', '192.168.0.1'],
    );
    assert.equal(addresses.take(), undefined);
  });
});
