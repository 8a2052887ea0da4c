import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import { traceHeaders } from '#base/trace.ts';
import type { AdmissionPlugin } from '#admission/admission.ts';
import { Reader } from '#api/machinery/wire.ts';
import { loopbackAdmin, type User } from '#auth/user.ts';
import { openTestServer } from '../test-server.ts';
import { parseTracingConfiguration } from './configuration.ts';
import { openTracing, type Tracing } from './open-tracing.ts';

interface Received {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string;
  readonly name: string;
  readonly kind: number;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly links: readonly string[];
  readonly failure: string;
  readonly service: unknown;
}

/** A collector that speaks OTLP over gRPC. */
async function startCollector() {
  const spans: Received[] = [];
  const asItIs = (bytes: Buffer) => bytes;
  const server = new Server();
  server.addService(
    {
      Export: {
        path: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
        requestStream: false,
        responseStream: false,
        requestSerialize: asItIs,
        requestDeserialize: asItIs,
        responseSerialize: asItIs,
        responseDeserialize: asItIs,
      },
    },
    {
      Export(call: { readonly request: Buffer }, done: (error: Error | null, answer: Buffer) => void) {
        spans.push(...exported(call.request));
        done(null, Buffer.alloc(0));
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  return { spans, endpoint: `127.0.0.1:${port}`, close: () => server.forceShutdown() };
}

/** Field number → every value that stands there. */
function fields(message: Buffer): Map<number, (Buffer | bigint | number)[]> {
  const reader = new Reader(message);
  const found = new Map<number, (Buffer | bigint | number)[]>();
  while (!reader.done) {
    const tag = reader.varint();
    const values = found.get(tag >>> 3) ?? [];
    found.set(tag >>> 3, values);
    if ((tag & 7) === 2) values.push(reader.view());
    else if ((tag & 7) === 1) {
      values.push(reader.bytes.readBigUInt64LE(reader.at));
      reader.at += 8;
    } else values.push(Number(reader.integer()));
  }
  return found;
}

const first = (message: Buffer, field: number) => fields(message).get(field)?.[0];
const nested = (message: Buffer, field: number) => (fields(message).get(field) ?? []) as Buffer[];

function attributesOf(message: Buffer, field: number): Record<string, string | number> {
  return Object.fromEntries(
    nested(message, field).map(each => {
      const value = first(each, 2) as Buffer;
      return [String(first(each, 1)), Number(first(value, 3) ?? Number.NaN) || String(first(value, 1) ?? '')];
    }),
  );
}

function exported(message: Buffer): Received[] {
  return nested(message, 1).flatMap(resourceSpans => {
    const service = attributesOf(first(resourceSpans, 1) as Buffer, 1)['service.name'];
    return nested(resourceSpans, 2)
      .flatMap(scope => nested(scope, 2))
      .map(span => ({
        traceId: (first(span, 1) as Buffer).toString('hex'),
        spanId: (first(span, 2) as Buffer).toString('hex'),
        parentId: (first(span, 4) as Buffer | undefined)?.toString('hex') ?? '',
        name: String(first(span, 5)),
        kind: first(span, 6) as number,
        startNs: first(span, 7) as bigint,
        endNs: first(span, 8) as bigint,
        attributes: attributesOf(span, 9),
        links: nested(span, 13).map(link => (first(link, 1) as Buffer).toString('hex')),
        failure: String(nested(span, 15)[0] ? (first(nested(span, 15)[0] as Buffer, 2) ?? '') : ''),
        service,
      }));
  });
}

const maps = '/api/v1/namespaces/default/configmaps';
const remoteTrace = '4bf92f3577b34da6a3ce929d0e0e4736';
const traceparent = `00-${remoteTrace}-00f067aa0ba902b7-01`;
const alice: User = { name: 'alice', groups: ['system:authenticated'] };

/** Something that is asked outside, and so is told of the trace. */
function outsidePlugin(told: string[]): AdmissionPlugin {
  return {
    name: 'Outside',
    handles: ({ kind, operation }) => kind.kind === 'ConfigMap' && operation === 'CREATE',
    async admit() {
      await systemClock.sleep(1);
      told.push(traceHeaders()['traceparent'] ?? '');
    },
  };
}

describe('tracing', () => {
  let folder: string;
  let collector: Awaited<ReturnType<typeof startCollector>>;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'windlass-tracing-'));
    collector = await startCollector();
  });
  after(async () => {
    collector.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function open(samples: number): Promise<Tracing> {
    const file = join(folder, `tracing-${samples}.yaml`);
    await writeFile(
      file,
      `apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\nendpoint: ${collector.endpoint}\nsamplingRatePerMillion: ${samples}\n`,
    );
    collector.spans.length = 0;
    return openTracing(file, { clock: systemClock, random: systemRandom, log: silentLog });
  }

  test('a request is a span, with its parts below it; whom it asks is told', async () => {
    await using tracing = await open(0);
    const told: string[] = [];
    await using server = await openTestServer({ tracing, clock: systemClock, admission: [outsidePlugin(told)] });
    await server.call('POST', maps, { metadata: { name: 'a' } }, { traceparent, 'audit-id': 'mine' });
    await server.call('GET', `${maps}/none`, undefined, { traceparent });
    await server.call('GET', maps);
    await tracing.flush();
    const { spans } = collector;
    const named = (name: string) => spans.find(each => each.name === name) as Received;
    const root = named('POST /api/v1/namespaces/{:namespace}/configmaps');
    assert.equal(root.traceId, remoteTrace);
    assert.equal(root.parentId, '00f067aa0ba902b7');
    assert.equal(root.kind, 2);
    assert.equal(root.service, 'apiserver');
    assert.equal(root.attributes['audit-id'], 'mine');
    assert.equal(root.attributes['http.response.status_code'], 201);
    assert.ok(root.endNs > root.startNs);
    const create = named('Create');
    const plugin = named('Outside');
    const store = named('Create etcd3');
    assert.equal(named('Authentication').parentId, root.spanId);
    assert.equal(create.parentId, root.spanId);
    assert.equal(plugin.parentId, create.spanId);
    assert.equal(store.parentId, create.spanId);
    assert.equal(store.attributes['key'], '/registry/configmaps/default/a');
    assert.ok(store.startNs >= plugin.endNs);
    assert.deepEqual(told, [`00-${remoteTrace}-${plugin.spanId}-01`]);
    const missing = named('Get');
    assert.match(missing.failure, /not found/);
    assert.ok(named('GET /api/v1/namespaces/{:namespace}/configmaps/{:name}'));
    // Nobody asked for the list to be traced, and none of a million is.
    assert.ok(!spans.some(({ name }) => name === 'List'));
  });

  test('who is not trusted does not decide what is recorded; a sample of their traces is, with a link', async () => {
    for (const [samples, expected] of [
      [0, 0],
      [1_000_000, 1],
    ] as const) {
      await using tracing = await open(samples);
      await using server = await openTestServer({ tracing, clock: systemClock, authenticate: () => alice });
      await server.call('GET', maps, undefined, { traceparent });
      await tracing.flush();
      const roots = collector.spans.filter(({ kind }) => kind === 2);
      assert.equal(roots.length, expected);
      if (!roots[0]) continue;
      assert.notEqual(roots[0].traceId, remoteTrace);
      assert.deepEqual(roots[0].links, [remoteTrace]);
    }
  });

  test('about as many are recorded as the rate says', async () => {
    await using tracing = await open(250_000);
    await using server = await openTestServer({ tracing, clock: systemClock });
    for (let index = 0; index < 400; index++) await server.call('GET', '/version');
    await tracing.flush();
    const count = collector.spans.filter(({ kind }) => kind === 2).length;
    assert.ok(count > 50 && count < 160, `${count} of 400`);
  });

  test('without a configuration a trace that passes is handed on all the same', async () => {
    const told: string[] = [];
    await using server = await openTestServer({ clock: systemClock, admission: [outsidePlugin(told)] });
    await server.call('POST', maps, { metadata: { name: 'a' } }, { traceparent, tracestate: 'x=1' });
    await server.call('POST', maps, { metadata: { name: 'b' } }, { traceparent: 'nonsense' });
    await server.call('POST', maps, { metadata: { name: 'c' } });
    assert.deepEqual(told, [traceparent, '', '']);
  });

  test('a collector that is not there holds nothing up', async () => {
    const file = join(folder, 'nobody.yaml');
    await writeFile(
      file,
      'apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\nendpoint: 127.0.0.1:1\nsamplingRatePerMillion: 1000000\n',
    );
    const tracing = await openTracing(file, { clock: systemClock, random: systemRandom, log: silentLog });
    await using server = await openTestServer({ tracing, clock: systemClock, authenticate: () => loopbackAdmin });
    assert.equal((await server.call('GET', maps)).code, 200);
    await tracing[Symbol.asyncDispose]();
  });

  const head = 'apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\n';
  for (const [text, message] of [
    [
      'samplingRatePerMillion: -1',
      /tracing\.samplingRatePerMillion: Invalid value: -1: sampling rate must be positive/,
    ],
    ['samplingRatePerMillion: 1000001', /must be less than or equal to one million/],
    ['endpoint: "http://x"', /tracing\.endpoint: .*unsupported scheme: http\. {2}Options are none, dns, unix/],
    ['endpoints: x', /unknown field "endpoints"/],
  ] as const)
    test(`a configuration is refused: ${text}`, () => {
      assert.throws(() => parseTracingConfiguration(head + text), message);
    });
});
