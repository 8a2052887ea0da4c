import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServerWritableStream,
  status,
  type UntypedHandleCall,
} from '@grpc/grpc-js';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { type ContainerEvent, isRuntimeError, type Runtime, type RuntimeErrorCode } from '../runtime.ts';
import { podCgroups } from './cgroups.ts';
import { cniConfig } from './cni.ts';
import { decode, encode, type Message, type MessageName } from './codec.ts';
import { services } from './messages.ts';
import { openCriRuntime } from './runtime.ts';

/** What the server answers to a method, or an error to throw; methods without an answer are not implemented. */
interface Answers {
  [method: string]: (request: unknown) => unknown;
}

type Answer = (error: unknown, message?: unknown) => void;

/** In place of an answer: the server lets the client wait. */
const never = Symbol('never');

/** A container runtime of the test's own, on a socket. */
class FakeRuntime implements AsyncDisposable {
  readonly #server = new Server();
  readonly answers: Answers = {
    Version: () => ({ version: '0.1.0', runtime_name: 'fake', runtime_version: '1', runtime_api_version: 'v1' }),
    RuntimeConfig: () => ({ linux: { cgroup_driver: 'systemd' } }),
    ListPodSandbox: () => ({}),
    ListContainers: () => ({}),
  };
  /** Who has asked for events. */
  readonly watchers = new Set<ServerWritableStream<unknown, unknown>>();
  hasEvents = true;

  async listen(socket: string): Promise<void> {
    for (const [service, methods] of Object.entries(services)) {
      const definition: Record<string, object> = {};
      const implementation: Record<string, UntypedHandleCall> = {};
      for (const [method, [request, response, stream]] of Object.entries<readonly [string, string, string?]>(methods)) {
        definition[method] = {
          path: `/runtime.v1.${service}/${method}`,
          requestStream: false,
          responseStream: stream !== undefined,
          requestSerialize: (message: unknown) => message as Buffer,
          requestDeserialize: (bytes: Buffer) => decode(request as MessageName, bytes),
          responseSerialize: (message: unknown) => encode(response as MessageName, message as Message<MessageName>),
          responseDeserialize: (bytes: Buffer) => bytes,
        };
        implementation[method] =
          stream === undefined
            ? (((call, answer) => this.#answer(method, call.request, answer as Answer)) satisfies handleUnaryCall<
                unknown,
                unknown
              >)
            : ((call => this.#watch(call)) satisfies handleServerStreamingCall<unknown, unknown>);
      }
      this.#server.addService(definition as never, implementation);
    }
    await new Promise<void>((resolve, reject) =>
      this.#server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), error =>
        error ? reject(error) : resolve(),
      ),
    );
  }

  #answer(method: string, request: unknown, answer: Answer): void {
    const make = this.answers[method];
    if (!make) return answer({ code: status.UNIMPLEMENTED, details: `unknown method ${method}` });
    try {
      const made = make(request);
      if (made !== never) answer(null, made);
    } catch (error) {
      answer(error);
    }
  }

  #watch(call: ServerWritableStream<unknown, unknown>): void {
    if (!this.hasEvents) return void call.emit('error', { code: status.UNIMPLEMENTED, details: 'no events' });
    this.watchers.add(call);
    call.on('cancelled', () => this.watchers.delete(call));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
  }
}

describe('a runtime over CRI', () => {
  let directory: string;
  let fake: FakeRuntime;
  let runtime: Runtime;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'windlass-cri-'));
    fake = new FakeRuntime();
    await fake.listen(join(directory, 'fake.sock'));
    runtime = await openCriRuntime({
      endpoint: `unix://${directory}/fake.sock`,
      clock: systemClock,
      log: silentLog,
    });
  });
  after(async () => {
    await runtime[Symbol.asyncDispose]();
    await fake[Symbol.asyncDispose]();
    await rm(directory, { recursive: true });
  });

  it('says in one sentence what is wrong with the endpoint', async () => {
    const open = (endpoint: string) => openCriRuntime({ endpoint, clock: systemClock, log: silentLog });
    const remedy = 'start containerd or give another --runtime-endpoint';
    await assert.rejects(open(`unix://${directory}/none.sock`), {
      code: 'Unavailable',
      message: `cannot reach the container runtime at unix://${directory}/none.sock: no such file; ${remedy}`,
    });
    await writeFile(join(directory, 'file'), '');
    await assert.rejects(open(`${directory}/file`), /: the file is no socket; start containerd/);
    await assert.rejects(open('tcp://127.0.0.1:80'), error => isRuntimeError(error, 'InvalidArgument'));
  });

  it('says when the runtime does not speak CRI', async () => {
    await using other = new FakeRuntime();
    other.answers.Version = () => {
      throw Object.assign(new Error(), { code: status.UNIMPLEMENTED, details: 'unknown service runtime.v1' });
    };
    await other.listen(join(directory, 'other.sock'));
    const opening = openCriRuntime({ endpoint: `${directory}/other.sock`, clock: systemClock, log: silentLog });
    await assert.rejects(opening, /does not speak CRI v1 \(containerd: its plugin "cri" may be disabled\)/);
  });

  it('says errors by their code and in the runtime’s words', async () => {
    const expected: [code: number, name: RuntimeErrorCode][] = [
      [status.NOT_FOUND, 'NotFound'],
      [status.UNKNOWN, 'Internal'],
      [status.INVALID_ARGUMENT, 'InvalidArgument'],
      [status.RESOURCE_EXHAUSTED, 'ResourceExhausted'],
      [status.UNAUTHENTICATED, 'Unauthenticated'],
    ];
    for (const [code, name] of expected) {
      fake.answers.PullImage = () => {
        throw Object.assign(new Error(), { code, details: `pull failed (${name})` });
      };
      await assert.rejects(runtime.pullImage({ image: 'x' }), { code: name, message: `pull failed (${name})` });
    }
  });

  it('gives up a call when its signal is aborted', async () => {
    const stop = new AbortController();
    fake.answers.PullImage = () => {
      stop.abort(new Error('enough'));
      return never;
    };
    await assert.rejects(runtime.pullImage({ image: 'x' }, undefined, undefined, stop.signal), /enough/);
  });

  it('tells systemd of a pod’s control group in its words', async () => {
    assert.deepEqual(await runtime.runtimeConfig(), { linux: { cgroupDriver: 'systemd' } });
    let asked = '';
    fake.answers.RunPodSandbox = request => {
      asked = (request as { config: { linux: { cgroup_parent: string } } }).config.linux.cgroup_parent;
      return { pod_sandbox_id: 'p' };
    };
    const metadata = { name: 'a', uid: 'u', namespace: 'default', attempt: 0 };
    await runtime.runPodSandbox({ metadata, linux: { cgroupParent: '/kubepods/burstable/pod1-2' } });
    assert.equal(asked, 'kubepods-burstable-pod1_2.slice');
    assert.equal(podCgroups('systemd').nameOf('/kubepods/pod1'), 'kubepods-pod1.slice');
  });

  for (const hasEvents of [true, false])
    it(`tells of changes ${hasEvents ? 'as the runtime does' : 'by comparing lists'}, each once`, async () => {
      await using other = new FakeRuntime();
      other.hasEvents = hasEvents;
      await other.listen(join(directory, `${hasEvents}.sock`));
      await using watched = await openCriRuntime({
        endpoint: `${directory}/${hasEvents}.sock`,
        clock: systemClock,
        log: silentLog,
      });
      const containers = [{ id: 'c', pod_sandbox_id: 'p', state: 'running' as 'running' | 'exited' }];
      let lists = 0;
      Object.assign(other.answers, {
        ListPodSandbox: () => ({ items: containers.length > 0 ? [{ id: 'p', state: 'ready' }] : [] }),
        ListContainers: () => {
          lists++;
          return { containers };
        },
        PodSandboxStatus: () => ({ status: { id: 'p', state: 'ready' } }),
        ContainerStatus: () => ({ status: { id: 'c', state: containers[0]?.state, exit_code: 9 } }),
      } satisfies Answers);
      const stop = new AbortController();
      const seen: ContainerEvent[] = [];
      const events = watched.events(stop.signal);
      const hint = () => {
        for (const watcher of other.watchers) watcher.write({ container_id: 'c', pod_sandbox_status: { id: 'p' } });
      };
      const reading = (async () => {
        for await (const event of events) {
          seen.push(event);
          if (event.type === 'stopped') {
            containers.length = 0;
            hint();
          }
          if (event.type === 'deleted' && event.containerId === 'p') stop.abort();
        }
      })();
      await until(() => lists > 0 && (!hasEvents || other.watchers.size > 0));
      (containers[0] as { state: string }).state = 'exited';
      hint();
      hint();
      await reading;
      assert.deepEqual(
        seen.map(({ type, containerId }) => `${type} ${containerId}`),
        ['stopped c', 'stopped p', 'deleted c', 'deleted p'],
      );
      assert.equal(seen[0]?.containersStatuses[0]?.exitCode, 9);
    });
});

describe('streaming with the runtime', () => {
  it('says what the streaming server answers', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'windlass-cri-'));
    const server = createServer((_request, response) => response.writeHead(404).end('no such session\n'));
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    await using fake = new FakeRuntime();
    fake.answers.Exec = () => ({ url: `http://127.0.0.1:${port}/exec/secret` });
    await fake.listen(join(directory, 'fake.sock'));
    await using runtime = await openCriRuntime({
      endpoint: `${directory}/fake.sock`,
      clock: systemClock,
      log: silentLog,
    });
    await assert.rejects(runtime.exec('c', { command: ['true'] }), {
      message: `cannot stream with the container runtime at 127.0.0.1:${port}: 404 no such session`,
    });
    server.close();
    await rm(directory, { recursive: true });
  });
});

describe('a network for containerd', () => {
  it('is a bridge with host ports', () => {
    const config = JSON.parse(cniConfig({ podCidr: '10.244.0.0/24,fd00::/64', name: 'wl-abcdef' })) as {
      plugins: [{ bridge: string; ipam: { ranges: unknown; routes: unknown } }, { type: string }];
    };
    const [bridge, portmap] = config.plugins;
    assert.equal(bridge.bridge, 'wl-abcdef');
    assert.deepEqual(bridge.ipam.ranges, [[{ subnet: '10.244.0.0/24' }], [{ subnet: 'fd00::/64' }]]);
    assert.deepEqual(bridge.ipam.routes, [{ dst: '0.0.0.0/0' }, { dst: '::/0' }]);
    assert.equal(portmap.type, 'portmap');
    assert.throws(
      () => cniConfig({ podCidr: '10.0.0.0/24', name: 'longer-than-a-link-may-be' }),
      /cannot name a bridge/,
    );
  });
});

/** Gives the event loop turns until it is so; the runner's limit ends it. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise(resolve => setImmediate(resolve));
}
