import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, it } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { findCgroups } from '#base/kernel/cgroup.ts';
import { listMounts } from '#base/kernel/mount.ts';
import { isRuntimeError } from '#runtime/runtime.ts';
import { exitOf } from '#runtime/suite.ts';
import { cannotRunContainers, type OciFixture, openFixture } from './fixture.ts';
import { findShim } from '#runtime/oci/shim.ts';
import { layout } from '#runtime/oci/state.ts';

const skip = await cannotRunContainers();

describe('oci after its agent was killed', { skip: skip ?? false }, () => {
  it('finds running containers running, exit codes kept, and created ones ready to start', async () => {
    await using fixture = await openFixture();
    await fixture.runtime[Symbol.asyncDispose]();
    const agent = startAgent(fixture.root, 'steady');
    const ids = JSON.parse(await firstLine(agent)) as { sandbox: string; runs: string; ends: string; created: string };
    await kill(agent);
    // One container ends while nobody watches.
    writeFileSync(join(fixture.root, 'sandboxes', ids.sandbox, 'shm', 'go'), '');
    await until(() => existsSync(join(fixture.root, 'exits', ids.ends)));
    const runtime = await fixture.reopen();
    const before = await runtime.containerStatus(ids.runs);
    assert.equal(before.state, 'running');
    assert.ok(before.pid && existsSync(`/proc/${before.pid}`));
    const ended = await runtime.containerStatus(ids.ends);
    assert.deepEqual([ended.state, ended.exitCode, ended.reason], ['exited', 42, 'Error']);
    assert.equal((await runtime.podSandboxStatus(ids.sandbox)).state, 'ready');
    assert.equal((await runtime.containerStatus(ids.created)).state, 'created');
    await runtime.startContainer(ids.created);
    assert.equal((await runtime.execSync(ids.created, ['true'])).exitCode, 0);
    const stop = new AbortController();
    const events = runtime.events(stop.signal);
    await runtime.stopContainer(ids.runs, 0);
    assert.equal((await exitOf(events, ids.runs, stop)).exitCode, 137);
    const lines = readFileSync(join(fixture.root, 'logs', 'runs.log'), 'utf8')
      .trim()
      .split('\n');
    const numbers = lines.map(line => Number(line.split(' ').at(-1)));
    assert.deepEqual(
      numbers,
      Array.from(numbers, (_, index) => index + 1),
      'no line is lost or written twice',
    );
    await runtime.removePodSandbox(ids.sandbox);
    assertClean(fixture);
  });

  it('cleans up whatever moment it was killed at', async () => {
    await using fixture = await openFixture();
    for (const delayMs of [0, 13, 29, 47, 71, 110, 180]) {
      await fixture.runtime[Symbol.asyncDispose]();
      const agent = startAgent(fixture.root, 'churn');
      await firstLine(agent);
      await systemClock.sleep(delayMs);
      await kill(agent);
      const runtime = await fixture.reopen();
      const sandboxes = await runtime.listPodSandbox();
      for (const container of await runtime.listContainers()) {
        const sandbox = sandboxes.find(({ id }) => id === container.podSandboxId);
        assert.ok(sandbox);
        // The agent was removing this one.
        if (container.state === 'exited') {
          assert.equal((await runtime.containerStatus(container.id)).exitCode, 137);
          continue;
        }
        assert.equal(sandbox.state, 'ready');
        // What is said to run can be spoken to, what is said to be created can be started.
        if (container.state === 'created') await runtime.startContainer(container.id);
        assert.equal((await runtime.execSync(container.id, ['true'])).exitCode, 0);
      }
      for (const { id } of sandboxes) await runtime.removePodSandbox(id);
      assertClean(fixture);
    }
  });

  it('knows that an exit code is lost when the shim was killed too', async () => {
    await using fixture = await openFixture();
    const config = fixture.pod();
    const pod = await fixture.runtime.runPodSandbox(config);
    const id = await fixture.runtime.createContainer(pod, fixture.shell('sleep 1000'), config);
    await fixture.runtime.startContainer(id);
    const { pid } = await fixture.runtime.containerStatus(id);
    await fixture.runtime[Symbol.asyncDispose]();
    const shim = findShim(layout(fixture.root), id);
    assert.ok(shim && pid);
    process.kill(shim.pid, 'SIGKILL');
    process.kill(pid, 'SIGKILL');
    await until(() => !existsSync(`/proc/${shim.pid}`) && !existsSync(`/proc/${pid}`));
    const runtime = await fixture.reopen();
    const { state, exitCode, reason } = await runtime.containerStatus(id);
    assert.deepEqual({ state, exitCode, reason }, { state: 'exited', exitCode: 255, reason: 'ContainerStatusUnknown' });
  });

  it('calls a sandbox not ready when its network namespace is gone', async () => {
    await using fixture = await openFixture();
    const config = fixture.pod();
    const pod = await fixture.runtime.runPodSandbox(config);
    await fixture.runtime[Symbol.asyncDispose]();
    const { unmount } = await import('#base/kernel/mount.ts');
    await unmount(layout(fixture.root).sandbox(pod).net);
    const runtime = await fixture.reopen();
    assert.equal((await runtime.podSandboxStatus(pod)).state, 'notReady');
    await runtime.removePodSandbox(pod);
    await assert.rejects(runtime.podSandboxStatus(pod), error => isRuntimeError(error, 'NotFound'));
    assertClean(fixture);
  });
});

function startAgent(root: string, mode: string): ChildProcess {
  const script = new URL('./takeover-agent.ts', import.meta.url).pathname;
  const flags = ['--experimental-ffi', '--disable-warning=ExperimentalWarning'];
  return spawn(process.execPath, [...flags, script, root, mode], { stdio: ['ignore', 'pipe', 'inherit'] });
}

async function firstLine(agent: ChildProcess): Promise<string> {
  assert.ok(agent.stdout);
  for await (const line of createInterface(agent.stdout)) return line;
  throw new Error('the agent has ended');
}

async function kill(agent: ChildProcess): Promise<void> {
  const exit = once(agent, 'exit');
  agent.kill('SIGKILL');
  await exit;
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = systemClock.monotonic() + 20_000;
  while (!condition()) {
    assert.ok(systemClock.monotonic() < deadline, 'it does not come true');
    await systemClock.sleep(20);
  }
}

function assertClean({ root }: OciFixture): void {
  for (const directory of ['sandboxes', 'containers', 'exits', 'crun'])
    assert.deepEqual(
      readdirSync(join(root, directory)).filter(name => !name.startsWith('.')),
      [],
      directory,
    );
  assert.deepEqual(
    listMounts().filter(({ target }) => target.startsWith(root)),
    [],
  );
  const processes = readdirSync('/proc').filter(name => /^\d+$/.test(name) && commandOf(name).includes(`${root}/`));
  assert.deepEqual(processes.map(commandOf), []);
  for (const hierarchy of findCgroups()?.hierarchies ?? [])
    assert.equal(existsSync(join(hierarchy, 'windlass-test', 'takeover')), false, hierarchy);
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    // It has ended since the list was made.
    return '';
  }
}
