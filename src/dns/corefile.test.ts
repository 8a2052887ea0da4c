import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { decode, encode, type DecodedPacket, type RecordType } from 'dns-packet';
import { Registry } from 'prom-client';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { Service } from '#api/core/v1/service.ts';
import { ManualClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { seededRandom } from '#base/random.ts';
import { openInformers } from '#client/informers.ts';
import { objectFeed } from '#client/testing/object-feed.ts';
import { parseCorefile } from './corefile.ts';
import { startDns, type Dns } from './dns.ts';

const feed = objectFeed();
const clock = new ManualClock();
const informers = openInformers(feed.client, { clock });
const registry = new Registry();
const lines: string[] = [];
let dns: Dns;

before(async () => {
  feed.put(Namespace, { metadata: { name: 'default' }, spec: {}, status: { phase: 'Active' } });
  feed.put(Service, {
    metadata: { namespace: 'default', name: 'web' },
    spec: { type: 'ClusterIP', sessionAffinity: 'None', clusterIP: '10.96.0.9', ports: [] },
    status: { loadBalancer: {} },
  });
  feed.put(Pod, {
    metadata: { namespace: 'default', name: 'one' },
    spec: { containers: [] },
    status: { phase: 'Running', podIP: '10.244.0.5', podIPs: [{ ip: '10.244.0.5' }] },
  } as unknown as Pod);
  const said = (level: string) => (message: string, fields?: Readonly<Record<string, unknown>>) => {
    const { error } = fields ?? {};
    lines.push(`${level} ${message} ${error instanceof Error ? error.message : ''}`.trim());
  };
  dns = await startDns({
    informers,
    address: '127.0.0.1',
    port: 0,
    clusterDomain: 'cluster.local',
    upstreams: [],
    clock,
    random: seededRandom(1),
    log: { ...silentLog, info: said('info'), error: said('error') },
    registry,
    configMaps: informers.of(ConfigMap),
  });
  await dns.ready;
});

after(async () => {
  await dns[Symbol.asyncDispose]();
  informers[Symbol.dispose]();
});

/** Puts a Corefile and waits until it is served, or found wrong. */
async function serve(corefile: string, more: Readonly<Record<string, string>> = {}): Promise<string> {
  const count = lines.length;
  feed.put(ConfigMap, {
    metadata: { namespace: 'kube-system', name: 'coredns' },
    data: { Corefile: corefile, ...more },
  });
  return heard(count);
}

async function heard(count: number): Promise<string> {
  for (let found: string | undefined; ; await new Promise(resolve => setImmediate(resolve))) {
    found = lines.slice(count).find(line => line.includes('Corefile'));
    if (found !== undefined) return found;
  }
}

async function ask(name: string, type: RecordType = 'A'): Promise<DecodedPacket & { readonly rcode: string }> {
  const socket = createSocket('udp4');
  socket.send(encode({ id: 7, type: 'query', flags: 256, questions: [{ name, type }] }), dns.port, '127.0.0.1');
  const [answer] = (await once(socket, 'message')) as [Buffer];
  socket.close();
  return decode(answer) as DecodedPacket & { readonly rcode: string };
}

async function told(name: string, type: RecordType = 'A'): Promise<readonly string[]> {
  const { rcode, answers = [] } = await ask(name, type);
  if (answers.length === 0) return [rcode];
  return answers.map(answer =>
    'ttl' in answer && 'data' in answer
      ? `${answer.name} ${answer.ttl} ${answer.type} ${String(answer.data)}`
      : answer.type,
  );
}

test('the syntax: blocks, quotes, comments, snippets, and what is wrong with a line', () => {
  const [block, other] = parseCorefile(`
    (shared) {
      errors   # each server has it
      cache 30 { success 100 }
    }
    .:53, example.org {
      import shared
      log . "{remote} \\"{name}\\""
    }
    dns://example.net:1053 { whoami
    }`);
  assert.deepEqual(block?.keys, ['.:53', 'example.org']);
  assert.deepEqual(
    block?.directives.map(({ name, args }) => [name, ...args]),
    [['errors'], ['cache', '30'], ['log', '.', '{remote} "{name}"']],
  );
  assert.deepEqual(block?.directives[1]?.block[0]?.args, ['100']);
  assert.deepEqual(other?.directives[0]?.line, 10);
  for (const [text, why] of [
    ['. {', /Corefile:1: the block does not end/],
    ['.', /has no body/],
    ['. {\n import none\n}', /Corefile:2: there is no snippet/],
    ['. {\n log "x\n}', /a quote does not end/],
  ] as const)
    assert.throws(() => parseCorefile(text), why);
});

test("kubeadm's Corefile is read as it is", async () => {
  const kubeadm = `.:53 {
    errors
    health :0 {
       lameduck 5s
    }
    ready :0
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :0
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
`;
  assert.match(await serve(kubeadm), /info a Corefile is served/);
  assert.deepEqual(await told('web.default.svc.cluster.local'), ['web.default.svc.cluster.local 30 A 10.96.0.9']);
});

test('hosts, rewrite and template, in the order of CoreDNS whatever their order in the file', async () => {
  assert.match(
    await serve(
      `.:53 {
    reload
    kubernetes cluster.local in-addr.arpa {
      pods verified
      fallthrough in-addr.arpa
    }
    hosts NodeHosts {
      10.1.0.7 seven.example.org
      ttl 60
      fallthrough
    }
    rewrite name exact old.example.org web.default.svc.cluster.local
    rewrite name suffix .internal .default.svc.cluster.local answer auto
    rewrite name regex ^([a-z]+)\\.by\\.group\\.$ {1}.default.svc.cluster.local
    rewrite ttl exact five.example.org 5-9
    template IN A ip.example.org {
      match "^ip-(?P<a>[0-9]+)-(?P<b>[0-9]+)\\.ip\\.example\\.org\\.$"
      answer "{{ .Name }} 60 IN A 10.0.{{ .Group.a }}.{{ .Group.b }}"
      fallthrough
    }
    template ANY AAAA {
      rcode NOERROR
    }
}
other.example:53 {
    template IN TXT other.example {
      answer "{{ .Name }} 1 IN TXT \\"from another server\\""
    }
}`,
      { NodeHosts: '10.1.0.5 five.example.org\n' },
    ),
    /info a Corefile is served/,
  );
  assert.deepEqual(await told('old.example.org'), ['old.example.org 5 A 10.96.0.9']);
  assert.deepEqual(await told('web.internal'), ['web.internal 5 A 10.96.0.9']);
  assert.deepEqual(await told('web.by.group'), ['web.by.group 5 A 10.96.0.9']);
  assert.deepEqual(await told('seven.example.org'), ['seven.example.org 60 A 10.1.0.7']);
  assert.deepEqual(await told('five.example.org'), ['five.example.org 9 A 10.1.0.5']);
  assert.deepEqual(await told('5.0.1.10.in-addr.arpa', 'PTR'), ['5.0.1.10.in-addr.arpa 60 PTR five.example.org']);
  assert.deepEqual(await told('ip-3-4.ip.example.org'), ['ip-3-4.ip.example.org 60 A 10.0.3.4']);
  assert.deepEqual(await told('x.ip.example.org'), ['REFUSED']);
  assert.deepEqual(await told('web.default.svc.cluster.local', 'AAAA'), ['NOERROR']);
  assert.deepEqual(await told('a.other.example', 'TXT'), ['a.other.example 1 TXT from another server']);
  // Verified: only pods that are there.
  assert.equal((await told('10-244-0-5.default.pod.cluster.local')).length, 1);
  assert.deepEqual(await told('10-244-0-6.default.pod.cluster.local'), ['NXDOMAIN']);
});

test('a Corefile that is wrong leaves the one before, and says so', async () => {
  for (const [text, why] of [
    ['.:53 {\n  nonsense\n}', /Corefile:2: Unknown directive 'nonsense'/],
    ['.:53 {\n  kubernetes cluster.local {\n    ttl ever\n  }\n}', /Corefile:3: ttl: "ever" is no number/],
    ['.:53 {\n  forward . tls://1.1.1.1\n}', /Corefile:2: forward: .*not served/],
    ['.:53 {\n  hosts /etc/shadow\n}', /Corefile:2: hosts: there is no file \/etc\/shadow/],
    ['.:53 {\n  rewrite name regex (( x\n}', /Corefile:2: rewrite: invalid regex pattern/],
    ['.:53 {\n  errors\n  errors\n}', /Corefile:3: errors may stand in a block only once/],
    ['.:53 {\n}\n.:53 {\n}', /already defined/],
  ] as const) {
    const line = await serve(text);
    assert.match(line, /^error the Corefile cannot be served: the one before stays/);
    assert.match(line, why);
  }
  assert.deepEqual(await told('seven.example.org'), ['seven.example.org 60 A 10.1.0.7']);
});

test('log writes the lines that are asked for; without it answers come from memory and are counted', async () => {
  await serve(`. {
    kubernetes cluster.local
    prometheus :0
    log . "{name} {type} {rcode} {proto}" {
      class denial
    }
    reload
  }`);
  await told('web.default.svc.cluster.local');
  await told('none.default.svc.cluster.local');
  assert.deepEqual(lines.slice(-1), ['info none.default.svc.cluster.local. A NXDOMAIN udp']);
  await serve(`. {
    kubernetes cluster.local
    prometheus :0
    reload
  }`);
  const counted = async () => {
    const text = await registry.metrics();
    return Number(/coredns_dns_requests_total\{[^}]*zone="cluster.local.",[^}]*type="A"\} (\d+)/.exec(text)?.[1]);
  };
  const start = await counted();
  for (let round = 0; round < 5; round++) await told('web.default.svc.cluster.local');
  assert.equal((await counted()) - start, 5);
  assert.match(await registry.metrics(), /coredns_reload_failed_total 7/);
  // What was remembered is forgotten with a change.
  feed.put(Service, {
    metadata: { namespace: 'default', name: 'web' },
    spec: { type: 'ClusterIP', sessionAffinity: 'None', clusterIP: '10.96.0.10', ports: [] },
    status: { loadBalancer: {} },
  });
  for (let text = ''; !text.endsWith('10.96.0.10'); ) text = (await told('web.default.svc.cluster.local'))[0] ?? '';
});

test('a Corefile that is gone leaves ours; without reload a change waits', async () => {
  const count = lines.length;
  feed.delete(ConfigMap, { metadata: { namespace: 'kube-system', name: 'coredns' } } as ConfigMap);
  assert.match(await heard(count), /info a Corefile is served/);
  assert.deepEqual(await told('10-244-0-6.default.pod.cluster.local'), [
    '10-244-0-6.default.pod.cluster.local 5 A 10.244.0.6',
  ]);
  await serve('. {\n  kubernetes cluster.local\n}');
  assert.match(await serve('. {\n  kubernetes other.local\n  reload\n}'), /from the next start on/);
  assert.equal((await told('web.default.svc.cluster.local')).length, 1);
});
