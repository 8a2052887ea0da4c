import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { after, before, test } from 'node:test';
import { decode, encode, type Answer, type DecodedPacket, type Packet, type RecordType } from 'dns-packet';
import { Registry } from 'prom-client';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Service } from '#api/core/v1/service.ts';
import { EndpointSlice, type Endpoint } from '#api/discovery/v1/endpoint-slice.ts';
import { ManualClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { seededRandom } from '#base/random.ts';
import { openInformers } from '#client/informers.ts';
import { objectFeed } from '#client/testing/object-feed.ts';
import { startDns, type Dns, type DnsOptions } from './dns.ts';

const clock = new ManualClock();
const feed = objectFeed();
const informers = openInformers(feed.client, { clock });
const registry = new Registry();
let upstream: TestUpstream;
let dns: Dns;

/** A server of the world outside: answers what the test says, and counts. */
class TestUpstream {
  readonly asked: string[] = [];
  answers: (packet: Packet, transport: 'udp' | 'tcp') => Partial<Packet> | undefined = () => ({});
  readonly udp: Socket = createSocket('udp4');
  readonly tcp: Server = createServer(socket => {
    socket.on('error', () => undefined);
    socket.once('data', (part: Buffer) => {
      const answer = this.answer(part.subarray(2), 'tcp');
      if (!answer) return;
      const length = Buffer.alloc(2);
      length.writeUInt16BE(answer.length);
      socket.end(Buffer.concat([length, answer]));
    });
  });

  async listen(): Promise<void> {
    this.tcp.listen(0, '127.0.0.1');
    await once(this.tcp, 'listening');
    this.udp.bind(this.port, '127.0.0.1');
    await once(this.udp, 'listening');
    this.udp.on('message', (message, from) => {
      const answer = this.answer(message, 'udp');
      if (answer) this.udp.send(answer, from.port, from.address);
    });
  }

  get port(): number {
    return (this.tcp.address() as AddressInfo).port;
  }

  answer(message: Buffer, transport: 'udp' | 'tcp'): Buffer | undefined {
    const packet = decode(message);
    const [question] = packet.questions ?? [];
    // The probe of the plugin loop.
    if (question?.type === 'HINFO') return undefined;
    this.asked.push(`${question?.name} ${question?.type} ${transport}`);
    const answer = this.answers(packet, transport);
    return answer && encode({ id: packet.id, type: 'response', questions: packet.questions, ...answer });
  }

  close(): void {
    this.udp.close();
    this.tcp.close();
  }
}

function serve(more: Partial<DnsOptions> = {}): Promise<Dns> {
  return startDns({
    informers,
    address: '127.0.0.1',
    port: 0,
    clusterDomain: 'cluster.local',
    upstreams: [{ address: '127.0.0.1', port: upstream.port }],
    clock,
    log: silentLog,
    random: seededRandom(1),
    ...more,
  });
}

interface Told extends DecodedPacket {
  readonly bytes: number;
  /** There, though the types of the package do not know. */
  readonly rcode: string;
}

async function send(message: Buffer, port = dns.port): Promise<Told> {
  const socket = createSocket('udp4');
  socket.send(message, port, '127.0.0.1');
  const [answer] = (await once(socket, 'message')) as [Buffer];
  socket.close();
  return { ...(decode(answer) as Told), bytes: answer.length };
}

function ask(name: string, type: RecordType = 'A', more: Partial<Packet> = {}, port?: number): Promise<Told> {
  const flags = 256;
  return send(encode({ id: 4711, type: 'query', flags, questions: [{ name, type }], ...more }), port);
}

async function askTcp(...messages: Buffer[]): Promise<DecodedPacket[]> {
  const socket = connect(dns.port, '127.0.0.1');
  for (const message of messages) {
    const length = Buffer.alloc(2);
    length.writeUInt16BE(message.length);
    socket.write(Buffer.concat([length, message]));
  }
  const told: DecodedPacket[] = [];
  let received: Buffer = Buffer.alloc(0);
  for await (const part of socket) {
    received = Buffer.concat([received, part as Buffer]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      told.push(decode(received.subarray(2, 2 + received.readUInt16BE(0))));
      received = received.subarray(2 + received.readUInt16BE(0));
    }
    if (told.length === messages.length) break;
  }
  return told;
}

/** `name type ttl data`, one a record. */
function lines(answers: readonly Answer[] | undefined): string[] {
  return (answers ?? []).map(answer => {
    if (answer.type === 'OPT') return 'OPT';
    const data = 'data' in answer ? answer.data : '';
    const ttl = 'ttl' in answer ? answer.ttl : '';
    if (answer.type === 'SRV') {
      const { priority, weight, port, target } = answer.data;
      return `${answer.name} SRV ${ttl} ${priority} ${weight} ${port} ${target}`;
    }
    return `${answer.name} ${answer.type} ${ttl} ${Array.isArray(data) ? data.join() : String(data)}`;
  });
}

type Spec = NonNullable<Service['spec']>;

function putService(name: string, spec: Partial<Spec>, namespace = 'default'): void {
  feed.put(Service, {
    metadata: { namespace, name },
    spec: {
      type: 'ClusterIP',
      sessionAffinity: 'None',
      ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
      ...spec,
    },
    status: { loadBalancer: {} },
  });
}

function putSlice(service: string, endpoints: readonly Partial<Endpoint>[], addressType = 'IPv4'): void {
  feed.put(EndpointSlice, {
    metadata: {
      namespace: 'default',
      name: `${service}-${addressType.toLowerCase()}`,
      labels: { 'kubernetes.io/service-name': service },
    },
    addressType,
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: endpoints.map(endpoint => ({ addresses: [], conditions: {}, ...endpoint })),
  });
}

/** The feed's events reach the informers in a few turns of the event loop. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve));
}

before(async () => {
  for (const name of ['default', 'kube-system'])
    feed.put(Namespace, { metadata: { name }, spec: {}, status: { phase: 'Active' } });
  putService('web', { clusterIP: '10.96.0.9', clusterIPs: ['10.96.0.9', 'fd00:96::9'] });
  putService('headless', { clusterIP: 'None', clusterIPs: ['None'] });
  putSlice('headless', [
    { addresses: ['10.244.0.5'], hostname: 'db-0' },
    { addresses: ['10.244.0.6'] },
    { addresses: ['10.244.0.7'], conditions: { ready: false } },
  ]);
  putService('outer', { type: 'ExternalName', externalName: 'www.Example.org' });
  putService('inner', { type: 'ExternalName', externalName: 'web.default.svc.cluster.local' });
  putService('circle', { type: 'ExternalName', externalName: 'circle.default.svc.cluster.local' });
  upstream = new TestUpstream();
  await upstream.listen();
  dns = await serve({ registry });
  await dns.ready;
});

after(async () => {
  await dns[Symbol.asyncDispose]();
  informers[Symbol.dispose]();
  upstream.close();
});

test('a service by name: A and AAAA, authoritative, with the case of the question', async () => {
  const told = await ask('Web.default.svc.CLUSTER.local');
  assert.deepEqual(lines(told.answers), ['Web.default.svc.CLUSTER.local A 5 10.96.0.9']);
  assert.deepEqual([told.id, told.flag_aa, told.flag_rd, told.rcode], [4711, true, true, 'NOERROR']);
  const six = await ask('web.default.svc.cluster.local', 'AAAA');
  assert.deepEqual(lines(six.answers), ['web.default.svc.cluster.local AAAA 5 fd00:96::9']);
});

test('SRV of named ports, with addresses beside', async () => {
  const told = await ask('_http._tcp.web.default.svc.cluster.local', 'SRV');
  assert.deepEqual(lines(told.answers), [
    '_http._tcp.web.default.svc.cluster.local SRV 5 0 100 80 web.default.svc.cluster.local',
  ]);
  assert.deepEqual(lines(told.additionals), [
    'web.default.svc.cluster.local A 5 10.96.0.9',
    'web.default.svc.cluster.local AAAA 5 fd00:96::9',
  ]);
  assert.equal((await ask('_http._udp.web.default.svc.cluster.local', 'SRV')).rcode, 'NXDOMAIN');
  assert.equal((await ask('_ftp._tcp.web.default.svc.cluster.local', 'SRV')).rcode, 'NXDOMAIN');
});

test('headless services: ready endpoints, their names, SRV to them, and back by PTR', async () => {
  const told = await ask('headless.default.svc.cluster.local');
  assert.deepEqual(lines(told.answers).toSorted(), [
    'headless.default.svc.cluster.local A 5 10.244.0.5',
    'headless.default.svc.cluster.local A 5 10.244.0.6',
  ]);
  const named = await ask('db-0.headless.default.svc.cluster.local');
  assert.deepEqual(lines(named.answers), ['db-0.headless.default.svc.cluster.local A 5 10.244.0.5']);
  const dashed = await ask('10-244-0-6.headless.default.svc.cluster.local');
  assert.deepEqual(lines(dashed.answers), ['10-244-0-6.headless.default.svc.cluster.local A 5 10.244.0.6']);
  assert.equal((await ask('10-244-0-7.headless.default.svc.cluster.local')).rcode, 'NXDOMAIN');
  const services = await ask('_http._tcp.headless.default.svc.cluster.local', 'SRV');
  assert.deepEqual(lines(services.answers).toSorted(), [
    '_http._tcp.headless.default.svc.cluster.local SRV 5 0 50 8080 10-244-0-6.headless.default.svc.cluster.local',
    '_http._tcp.headless.default.svc.cluster.local SRV 5 0 50 8080 db-0.headless.default.svc.cluster.local',
  ]);
  const back = await ask('5.0.244.10.in-addr.arpa', 'PTR');
  assert.deepEqual(lines(back.answers), ['5.0.244.10.in-addr.arpa PTR 5 db-0.headless.default.svc.cluster.local']);
});

test('PTR of services, both families', async () => {
  const four = await ask('9.0.96.10.in-addr.arpa', 'PTR');
  assert.deepEqual(lines(four.answers), ['9.0.96.10.in-addr.arpa PTR 5 web.default.svc.cluster.local']);
  const digits = 'fd000096000000000000000000000009'.split('').toReversed().join('.');
  const six = await ask(`${digits}.ip6.arpa`, 'PTR');
  assert.deepEqual(lines(six.answers), [`${digits}.ip6.arpa PTR 5 web.default.svc.cluster.local`]);
});

test('pods by their address, in namespaces that exist', async () => {
  const told = await ask('10-244-0-5.default.pod.cluster.local');
  assert.deepEqual(lines(told.answers), ['10-244-0-5.default.pod.cluster.local A 5 10.244.0.5']);
  const six = await ask('fd00--5.default.pod.cluster.local', 'AAAA');
  assert.deepEqual(lines(six.answers), ['fd00--5.default.pod.cluster.local AAAA 5 fd00::5']);
  assert.equal((await ask('10-244-0-5.nowhere.pod.cluster.local')).rcode, 'NXDOMAIN');
  assert.equal((await ask('not-an-address.default.pod.cluster.local')).rcode, 'NXDOMAIN');
});

test('what is not there, and what is there with other types, each with the SOA', async () => {
  for (const name of ['nothing.default.svc.cluster.local', 'web.nowhere.svc.cluster.local', 'a.b.cluster.local']) {
    const told = await ask(name);
    assert.deepEqual([told.rcode, told.authorities?.[0]?.type], ['NXDOMAIN', 'SOA'], name);
  }
  for (const [name, type] of [
    ['web.default.svc.cluster.local', 'TXT'],
    ['default.svc.cluster.local', 'A'],
    ['svc.cluster.local', 'A'],
    ['cluster.local', 'A'],
    ['_tcp.web.default.svc.cluster.local', 'A'],
    ['headless.default.svc.cluster.local', 'AAAA'],
  ] as const) {
    const told = await ask(name, type);
    assert.deepEqual([told.rcode, told.answers, told.authorities?.[0]?.type], ['NOERROR', [], 'SOA'], name);
  }
  assert.deepEqual(lines((await ask('dns-version.cluster.local', 'TXT')).answers), [
    'dns-version.cluster.local TXT 5 1.1.0',
  ]);
  assert.equal((await ask('cluster.local', 'NS')).answers?.length, 1);
  // Keys that JavaScript has for itself are names like others.
  for (const name of ['__proto__', 'constructor', 'tostring'])
    assert.equal((await ask(`${name}.default.svc.cluster.local`)).rcode, 'NXDOMAIN');
});

test('ExternalName: the alias with what the world says of it, one within the cluster, and one in a circle', async () => {
  upstream.answers = () => ({
    answers: [
      { name: 'www.example.org', type: 'CNAME', ttl: 60, data: 'edge.example.org' },
      { name: 'edge.example.org', type: 'A', ttl: 60, data: '203.0.113.5' },
    ],
  });
  assert.deepEqual(lines((await ask('outer.default.svc.cluster.local')).answers), [
    'outer.default.svc.cluster.local CNAME 5 www.example.org',
    'www.example.org CNAME 60 edge.example.org',
    'edge.example.org A 60 203.0.113.5',
  ]);
  assert.deepEqual(lines((await ask('inner.default.svc.cluster.local')).answers), [
    'inner.default.svc.cluster.local CNAME 5 web.default.svc.cluster.local',
    'web.default.svc.cluster.local A 5 10.96.0.9',
  ]);
  assert.equal((await ask('circle.default.svc.cluster.local')).rcode, 'NOERROR');
});

test('changes of services and endpoints are answered at once', async () => {
  putService('new', { clusterIP: '10.96.0.77' });
  await settle();
  assert.equal(lines((await ask('new.default.svc.cluster.local')).answers)[0]?.split(' ')[3], '10.96.0.77');
  putSlice('headless', [{ addresses: ['10.244.0.9'], hostname: 'db-0' }]);
  await settle();
  assert.deepEqual(lines((await ask('db-0.headless.default.svc.cluster.local')).answers), [
    'db-0.headless.default.svc.cluster.local A 5 10.244.0.9',
  ]);
  feed.delete(Service, { metadata: { namespace: 'default', name: 'new' } } as Service);
  await settle();
  assert.equal((await ask('new.default.svc.cluster.local')).rcode, 'NXDOMAIN');
});

test('a long answer is cut over UDP, whole with EDNS as far as that goes, and whole over TCP', async () => {
  putService('big', { clusterIP: 'None', clusterIPs: ['None'] });
  putSlice(
    'big',
    Array.from({ length: 100 }, (_, index) => ({ addresses: [`10.244.9.${index + 1}`] })),
  );
  await settle();
  const name = 'big.default.svc.cluster.local';
  const plain = await ask(name);
  assert.equal(plain.flag_tc, true);
  assert.ok(plain.bytes <= 512 && (plain.answers?.length ?? 0) > 20);
  const edns: Packet['additionals'] = [
    {
      type: 'OPT',
      name: '.',
      udpPayloadSize: 4096,
      extendedRcode: 0,
      ednsVersion: 0,
      flags: 0,
      flag_do: false,
      options: [],
    },
  ];
  const wide = await ask(name, 'A', { additionals: edns });
  assert.ok(wide.bytes <= 1232 && wide.bytes > 1000);
  assert.deepEqual(lines(wide.additionals), ['OPT']);
  const [first, second] = await askTcp(
    encode({ id: 1, type: 'query', questions: [{ name, type: 'A' }] }),
    encode({ id: 2, type: 'query', questions: [{ name: 'web.default.svc.cluster.local', type: 'A' }] }),
  );
  assert.deepEqual([first?.id, first?.flag_tc, first?.answers?.length], [1, false, 100]);
  assert.deepEqual([second?.id, second?.answers?.length], [2, 1]);
});

test('addresses take turns', async () => {
  const heads = new Set<string>();
  for (let round = 0; round < 30; round++)
    heads.add(lines((await ask('big.default.svc.cluster.local')).answers)[0] ?? '');
  assert.ok(heads.size > 5, `${heads.size}`);
});

test('the rest is forwarded and kept as long as it may be', async () => {
  upstream.asked.length = 0;
  upstream.answers = () => ({ answers: [{ name: 'a.example.org', type: 'A', ttl: 20, data: '203.0.113.9' }] });
  const first = await ask('a.example.org');
  assert.deepEqual([first.flag_aa, lines(first.answers)], [false, ['a.example.org A 20 203.0.113.9']]);
  await clock.advance(5_000);
  const second = await ask('A.example.ORG');
  assert.deepEqual(second.questions?.[0]?.name, 'A.example.ORG');
  assert.match(lines(second.answers)[0] ?? '', / A 15 203\.0\.113\.9$/);
  assert.equal(upstream.asked.length, 1);
  await clock.advance(16_000);
  await ask('a.example.org');
  assert.equal(upstream.asked.length, 2);
});

test('denials are kept by their SOA; many who ask at once ask once', async () => {
  upstream.asked.length = 0;
  const soa = { mname: 'ns', rname: 'root', serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 10 };
  upstream.answers = () => ({ flags: 3, authorities: [{ name: 'org', type: 'SOA', ttl: 60, data: soa }] });
  const told = await Promise.all(Array.from({ length: 20 }, () => ask('gone.example.org')));
  assert.deepEqual(new Set(told.map(answer => answer.rcode)), new Set(['NXDOMAIN']));
  assert.equal(upstream.asked.length, 1);
  await clock.advance(11_000);
  await ask('gone.example.org');
  assert.equal(upstream.asked.length, 2);
});

test('an answer that does not fit is fetched by TCP', async () => {
  upstream.asked.length = 0;
  const answers: Answer[] = Array.from({ length: 200 }, (_, index) => ({
    name: 'many.example.org',
    type: 'A',
    ttl: 30,
    data: `203.0.113.${index + 1}`,
  }));
  upstream.answers = (_, transport) => (transport === 'tcp' ? { answers } : { flags: 0x0200 });
  const [told] = await askTcp(encode({ type: 'query', questions: [{ name: 'many.example.org', type: 'A' }] }));
  assert.equal(told?.answers?.length, 200);
  assert.deepEqual(upstream.asked, ['many.example.org A udp', 'many.example.org A tcp']);
  assert.equal((await ask('many.example.org')).flag_tc, true);
});

test('forged answers are passed over, silent servers end in SERVFAIL', async () => {
  const answers: Answer[] = [{ name: 'bank.example.org', type: 'A', ttl: 30, data: '198.51.100.66' }];
  const others: Packet['questions'] = [{ name: 'other.example.org', type: 'A' }];
  let round = 0;
  upstream.answers = ({ id = 0 }) => (round++ % 2 === 0 ? { id: id ^ 1, answers } : { questions: others, answers });
  const pending = ask('bank.example.org');
  for (let step = 0; step < 10; step++) {
    await settle();
    await clock.advance(1_000);
  }
  assert.equal((await pending).rcode, 'SERVFAIL');
});

test('a loop is noticed, and nothing is forwarded any more', async () => {
  const first = await serve({ upstreams: [] });
  const port = first.port;
  await first[Symbol.asyncDispose]();
  const errors: string[] = [];
  const log = { ...silentLog, error: (message: string) => void errors.push(message) };
  await using looping = await serve({ port, upstreams: [{ address: '127.0.0.1', port }], log });
  for (let round = 0; round < 100 && errors.length === 0; round++) {
    await settle();
    await clock.advance(100);
  }
  assert.match(errors[0] ?? '', /lead back to this one/);
  // At once, without a round through ourselves: no clock moves any more.
  assert.equal((await ask('x.example.net', 'A', {}, looping.port)).rcode, 'SERVFAIL');
});

test('health and readiness by HTTP', async () => {
  const healthPort = 20_000 + (process.pid % 10_000);
  const nobody = openInformers({ ...feed.client, watch: () => neverEnding() }, { clock });
  await using unsynced = await serve({ informers: nobody, healthPort });
  const status = async (path: string) => (await fetch(`http://127.0.0.1:${healthPort}${path}`)).status;
  assert.deepEqual([await status('/health'), await status('/ready'), await status('/')], [200, 503, 404]);
  assert.equal((await ask('web.default.svc.cluster.local', 'A', {}, unsynced.port)).rcode, 'SERVFAIL');
  nobody[Symbol.dispose]();
});

/** A server that says nothing. */
async function* neverEnding(): AsyncGenerator<never> {
  await new Promise(() => undefined);
  yield* [];
}

test('without upstream servers the world outside is refused', async () => {
  await using alone = await serve({ upstreams: [] });
  assert.equal((await ask('example.org', 'A', {}, alone.port)).rcode, 'REFUSED');
});

test('bad messages', async () => {
  const query = encode({ id: 9, type: 'query', questions: [{ name: 'web.default.svc.cluster.local', type: 'A' }] });
  const with_ = (change: (message: Buffer) => void) => {
    const message = Buffer.from(query);
    change(message);
    return send(message);
  };
  assert.equal((await with_(message => message.writeUInt16BE(0x2800, 2))).rcode, 'NOTIMP');
  assert.equal((await with_(message => message.writeUInt16BE(2, 4))).rcode, 'FORMERR');
  assert.equal((await with_(message => message.writeUInt16BE(3, message.length - 2))).rcode, 'REFUSED');
  assert.equal((await with_(message => (message[12] = 0xc0))).rcode, 'FORMERR');
  assert.equal((await send(query.subarray(0, 20))).rcode, 'FORMERR');
  const version = encode({
    id: 9,
    type: 'query',
    questions: [{ name: 'web.default.svc.cluster.local', type: 'A' }],
    additionals: [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize: 1232,
        extendedRcode: 0,
        ednsVersion: 1,
        flags: 0,
        flag_do: false,
        options: [],
      },
    ],
  });
  const bad = await send(version);
  assert.partialDeepStrictEqual(bad.additionals, [{ type: 'OPT', extendedRcode: 1 }]);
  // Answers, and what is too short to have an id, get no answer; the server goes on.
  const socket = createSocket('udp4');
  for (const junk of [Buffer.alloc(0), Buffer.alloc(5), Buffer.from(query).fill(0x80, 2, 3)])
    socket.send(junk, dns.port, '127.0.0.1');
  assert.equal((await ask('web.default.svc.cluster.local')).rcode, 'NOERROR');
  socket.close();
});

test("metrics under CoreDNS' names", async () => {
  const text = await registry.metrics();
  for (const pattern of [
    /coredns_dns_requests_total\{server="dns:\/\/:53",view="",zone="cluster.local.",proto="udp",family="1",type="A"\} \d+/,
    /coredns_dns_responses_total\{.*rcode="NXDOMAIN",plugin="kubernetes".*\} \d+/,
    /coredns_cache_hits_total\{.*type="success".*\} \d+/,
    /coredns_proxy_request_duration_seconds_count\{.*rcode="NOERROR".*\} \d+/,
    /coredns_dns_request_duration_seconds_count\{.*\} \d+/,
  ])
    assert.match(text, pattern);
});
