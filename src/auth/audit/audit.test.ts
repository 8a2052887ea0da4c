import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { eventLoopTurn, ManualClock, systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import type { Attributes } from '../authorization/authorizer.ts';
import { buffered } from './buffered.ts';
import { encodeEvent, legacyLine, type AuditEvent, type EncodedEvent } from './event.ts';
import { openAudit } from './open-audit.ts';
import { decideAudit, parseAuditPolicy } from './policy.ts';
import { RotatingFile } from './rotating-file.ts';
import { AuditMetrics, type AuditSink } from './sink.ts';
import { truncating } from './truncate.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'windlass-audit-'));
});
after(() => rm(folder, { recursive: true, force: true }));

const head = 'apiVersion: audit.k8s.io/v1\nkind: Policy\n';
const parse = (text: string) => parseAuditPolicy(head + text, '/p.yaml', silentLog);

function attributes(about: Partial<Attributes>): Attributes {
  return {
    user: { name: 'alice', groups: ['dev'] },
    verb: 'get',
    resourceRequest: true,
    path: '',
    group: '',
    version: 'v1',
    resource: 'pods',
    subresource: '',
    namespace: 'default',
    name: '',
    ...about,
  };
}

function event(about: Partial<AuditEvent> = {}): EncodedEvent {
  return encodeEvent({
    kind: 'Event',
    apiVersion: 'audit.k8s.io/v1',
    level: 'RequestResponse',
    auditID: 'id-1',
    stage: 'ResponseComplete',
    requestURI: '/api/v1/namespaces/default/pods',
    verb: 'list',
    user: { username: 'alice', groups: ['a', 'b'] },
    requestReceivedTimestamp: '2026-01-01T00:00:00.000000Z',
    stageTimestamp: '2026-01-01T00:00:00.000001Z',
    ...about,
  });
}

class Collected implements AuditSink {
  readonly batches: (readonly EncodedEvent[])[] = [];
  closed = false;
  process(events: readonly EncodedEvent[]): boolean {
    this.batches.push(events);
    return true;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.closed = true;
  }
}

const report = () => ({ metrics: new AuditMetrics(), log: silentLog });

describe('policy', () => {
  test('the first rule that fits decides', () => {
    const policy = parse(`
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: None, users: ["system:kube-proxy"], verbs: [watch], resources: [{group: "", resources: [endpoints, services]}]}
- {level: None, nonResourceURLs: ["/healthz*", /version]}
- {level: None, userGroups: [quiet]}
- level: Metadata
  resources:
  - group: ""
    resources: [secrets, configmaps]
  - group: authentication.k8s.io
    resources: [tokenreviews]
- {level: Request, resources: [{group: "", resources: [pods], resourceNames: [one]}], omitManagedFields: false}
- {level: Request, resources: [{group: "", resources: ["pods/*"]}], omitStages: [ResponseStarted]}
- {level: Request, resources: [{group: "*", resources: ["*/scale"]}]}
- {level: RequestResponse, namespaces: [kube-system, ""], verbs: [get]}
- {level: Metadata, resources: [{group: apps}]}
`);
    const level = (about: Partial<Attributes>) => decideAudit(policy, attributes(about)).level;
    const proxy = { name: 'system:kube-proxy', groups: [] };
    assert.equal(level({ user: proxy, verb: 'watch', resource: 'services' }), 'None');
    assert.equal(level({ user: proxy, verb: 'get', resource: 'secrets' }), 'Metadata');
    assert.equal(level({ resourceRequest: false, path: '/healthz/etcd', resource: '' }), 'None');
    assert.equal(level({ user: { name: 'bob', groups: ['quiet'] }, resource: 'secrets' }), 'None');
    assert.equal(level({ resource: 'pods', name: 'one' }), 'Request');
    assert.equal(level({ resource: 'pods', name: 'two' }), 'Request');
    assert.equal(level({ resource: 'podtemplates', name: 'two' }), 'None');
    assert.equal(level({ resource: 'pods', subresource: 'log', name: 'two' }), 'Request');
    assert.equal(level({ group: 'apps', resource: 'deployments', subresource: 'scale' }), 'Request');
    assert.equal(level({ resource: 'nodes', namespace: '' }), 'RequestResponse');
    assert.equal(level({ resource: 'nodes', namespace: '', verb: 'list' }), 'None');
    assert.equal(level({ group: 'apps', resource: 'deployments', verb: 'list' }), 'Metadata');
    const named = decideAudit(policy, attributes({ name: 'one' }));
    assert.equal(named.omitManagedFields, false);
    assert.deepEqual(named.omitStages, ['RequestReceived']);
    const log = decideAudit(policy, attributes({ subresource: 'log' }));
    assert.deepEqual(log.omitStages, ['RequestReceived', 'ResponseStarted']);
    assert.equal(log.omitManagedFields, true);
    assert.deepEqual(decideAudit(policy, attributes({ resource: 'services' })), {
      level: 'None',
      omitStages: ['RequestReceived'],
      omitManagedFields: true,
    });
  });

  const wrong: readonly (readonly [string, string])[] = [
    [
      'rules: [{level: Everything}]',
      'rules[0].level: Unsupported value: "Everything": supported values: "None", "Metadata", "Request", "RequestResponse"',
    ],
    ['rules: [{verbs: [get]}]', 'rules[0].level: Required value'],
    ['rules: []', 'loaded illegal policy with 0 rules'],
    [
      'rules: [{level: None}]\nomitStages: [Never]',
      'omitStages[0]: Invalid value: "Never": allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic',
    ],
    [
      'rules: [{level: None, nonResourceURLs: [logs]}]',
      `rules[0].nonResourceURLs[0]: Invalid value: "logs": non-resource URL rules must begin with a '/' character`,
    ],
    [
      'rules: [{level: None, nonResourceURLs: ["/a*b"]}]',
      'rules[0].nonResourceURLs[0]: Invalid value: "/a*b": non-resource URL wildcards \'*\' must be the final character of the rule',
    ],
    [
      'rules: [{level: None, namespaces: [a], nonResourceURLs: [/a]}]',
      'rules[0].nonResourceURLs: Invalid value: ["/a"]: rules cannot apply to both regular resources and non-resource URLs',
    ],
    [
      'rules: [{level: None, resources: [{group: "", resourceNames: [a]}]}]',
      'rules[0].resources.resourceNames: Invalid value: ["a"]: using resourceNames requires at least one resource',
    ],
    ['rules: [{level: None, resources: [{group: rbac/v1}]}]', 'rules[0].resources.group: Invalid value: "rbac/v1": '],
    ['rules: no', 'failed decoding: rules is not a list of objects'],
  ];
  for (const [text, message] of wrong)
    test(`is refused: ${text.replaceAll('\n', ' ')}`, () => {
      assert.throws(
        () => parse(text),
        (error: Error) => {
          assert.ok(error.message.startsWith('loading audit policy file: '), error.message);
          assert.ok(error.message.endsWith(': from file /p.yaml'), error.message);
          assert.ok(error.message.includes(message), error.message);
          return true;
        },
      );
    });

  test('another kind is refused; a field that nobody knows is only warned about', () => {
    assert.throws(
      () => parseAuditPolicy('apiVersion: audit.k8s.io/v1beta1\nkind: Policy\n', '/p', silentLog),
      /no kind "Policy" is registered for version "audit.k8s.io\/v1beta1"/,
    );
    const warnings: unknown[] = [];
    const log = { ...silentLog, warn: (_message: string, fields: unknown) => warnings.push(fields) };
    parseAuditPolicy(`${head}rules: [{level: None, user: [a]}]`, '/p', log);
    assert.deepEqual(warnings, [{ file: '/p', errors: 'unknown field "rules[0].user"' }]);
  });
});

describe('sinks', () => {
  test('a full file is put aside, old ones go by number and age, and are compressed when asked', async () => {
    const clock = new ManualClock();
    const path = join(folder, 'rotated', 'audit.log');
    await mkdir(join(folder, 'rotated'));
    await writeFile(join(folder, 'rotated', 'audit-2020-01-01T00-00-00.000.log'), 'old');
    await writeFile(join(folder, 'rotated', 'audit-notes.log'), 'not ours');
    const options = { bytesMax: 100, backupsMax: 2, ageMaxMs: 86_400_000, compress: true };
    const file = await RotatingFile.open(path, options, clock);
    for (let index = 0; index < 40; index++) {
      await file.write(`${String(index).padStart(19, '.')}\n`);
      await clock.advance(10);
    }
    await Promise.all([file.write('a\n'), file.write('b\n')]);
    await file[Symbol.asyncDispose]();
    const files = (await readdir(join(folder, 'rotated'))).sort();
    assert.equal(files.length, 4, files.join());
    assert.ok(files.includes('audit-notes.log'));
    const backups = files.filter(each => each.endsWith('.gz'));
    assert.equal(backups.length, 2);
    assert.match(backups[0] as string, /^audit-2026-01-01T00-00-00\.\d{3}\.log\.gz$/);
    const text = gunzipSync(await readFile(join(folder, 'rotated', backups[1] as string))).toString();
    assert.equal(text.split('\n').length, 6);
    assert.match(await readFile(path, 'utf8'), /^a\nb\n$/);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
  });

  test('batches go when they are full or it is time, not faster than they may, and never more than fit', async () => {
    const clock = new ManualClock();
    const sink = new Collected();
    const { metrics, log } = report();
    const throttle = { perSecond: 1, burst: 2 };
    const batch = buffered(sink, { bufferMax: 12, batchMax: 3, waitMs: 1_000, throttle }, { metrics, log }, clock);
    await batch.process([event()]);
    await eventLoopTurn();
    assert.equal(sink.batches.length, 0);
    await clock.advance(1_000);
    assert.equal(sink.batches.length, 1);
    await batch.process(Array.from({ length: 30 }, () => event()));
    await eventLoopTurn();
    assert.equal(metrics.errors.get('buffered'), 18);
    for (const sent of [2, 3, 4]) {
      assert.equal(sink.batches.length, sent);
      await clock.advance(1_000);
    }
    assert.deepEqual(
      sink.batches.map(each => each.length),
      [1, 3, 3, 3, 3],
    );
    await batch.process([event()]);
    await batch[Symbol.asyncDispose]();
    assert.equal(sink.batches.at(-1)?.length, 1);
    assert.ok(sink.closed);
  });

  test('an event that is too large loses its objects, or is dropped and counted', async () => {
    const sink = new Collected();
    const { metrics, log } = report();
    const cut = truncating(sink, { eventBytesMax: 1_000, batchBytesMax: 1_500 }, { metrics, log });
    await cut.process([
      event(),
      event({ requestObject: JSON.stringify('x'.repeat(2_000)), responseObject: '{}' }),
      event({ userAgent: 'u'.repeat(1_000) }),
      event({ requestObject: JSON.stringify('x'.repeat(500)) }),
    ]);
    const kept = sink.batches.flat().map(each => each.event);
    assert.equal(kept.length, 3);
    assert.equal(kept[1]?.requestObject, undefined);
    assert.equal(kept[1]?.responseObject, undefined);
    assert.equal(kept[1]?.annotations?.['audit.k8s.io/truncated'], 'true');
    assert.ok(kept[2]?.requestObject);
    assert.equal(metrics.errors.get('truncate'), 1);
    assert.ok(sink.batches.length > 1);
  });

  test('the format of old', () => {
    assert.equal(
      legacyLine(event({ sourceIPs: ['10.0.0.1'], objectRef: { namespace: 'default' }, userAgent: 'curl' }).event),
      '2026-01-01T00:00:00.000000Z AUDIT: id="id-1" stage="ResponseComplete" ip="10.0.0.1" method="list" user="alice" groups="\\"a\\",\\"b\\"" as="<self>" asgroups="<lookup>" user-agent="curl" namespace="default" uri="/api/v1/namespaces/default/pods" response="<deferred>"',
    );
  });

  test('a webhook gets EventLists, also when it refuses at first', async () => {
    const bodies: string[] = [];
    const server = createServer(async (request, answer) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of request) chunks.push(chunk as Uint8Array);
      bodies.push(Buffer.concat(chunks).toString());
      answer.writeHead(bodies.length === 1 ? 500 : 200).end();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const config = join(folder, 'webhook.kubeconfig');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/audit`;
    await writeFile(
      config,
      `apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: "${url}"}}]\nusers: [{name: u, user: {token: abc}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n`,
    );
    const policyFile = join(folder, 'policy.yaml');
    await writeFile(policyFile, `${head}rules: [{level: Metadata}]`);
    const batch = { bufferMax: 10, batchMax: 2, waitMs: 10 };
    const audit = await openAudit(
      {
        policyFile,
        log: undefined,
        webhook: { file: config, firstPauseMs: 10, mode: 'batch', batch, truncate: undefined },
      },
      { clock: systemClock, log: silentLog },
    );
    try {
      await audit?.sink.process([event(), event({ auditID: 'id-2' }), event({ auditID: 'id-3' })]);
    } finally {
      await audit?.[Symbol.asyncDispose]();
      server.closeAllConnections();
      server.close();
    }
    const lists = bodies.map(each => JSON.parse(each) as { kind: string; items: { auditID: string }[] });
    assert.equal(bodies[0], bodies[1]);
    assert.equal(lists[0]?.kind, 'EventList');
    assert.deepEqual(
      lists.slice(1).map(({ items }) => items.map(({ auditID }) => auditID)),
      [['id-1', 'id-2'], ['id-3']],
    );
  });

  test('without a policy nothing is opened', async () => {
    const nothing = { policyFile: undefined, log: undefined, webhook: undefined };
    assert.equal(await openAudit(nothing, { clock: systemClock, log: silentLog }), undefined);
  });
});
