import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventLoopTurn } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { errors } from '#api/machinery/errors.ts';
import type { AdmissionPlugin } from '#admission/admission.ts';
import type { AuditEvent } from '#auth/audit/event.ts';
import type { Audit } from '#auth/audit/open-audit.ts';
import { parseAuditPolicy } from '#auth/audit/policy.ts';
import { AuditMetrics } from '#auth/audit/sink.ts';
import { loopbackAdmin } from '#auth/user.ts';
import { openTestServer } from '../test-server.ts';

const maps = '/api/v1/namespaces/default/configmaps';
const secrets = '/api/v1/namespaces/default/secrets';

/** An event as it stands in the log. */
type Logged = Omit<AuditEvent, 'requestObject' | 'responseObject'> & {
  readonly requestObject?: unknown;
  readonly responseObject?: unknown;
};

function openAudit(rules: string, keeps: () => boolean = () => true) {
  const events: Logged[] = [];
  const audit: Audit = {
    policy: parseAuditPolicy(`apiVersion: audit.k8s.io/v1\nkind: Policy\n${rules}`, '/p', silentLog),
    metrics: new AuditMetrics(),
    sink: {
      process(encoded) {
        if (!keeps()) return false;
        for (const { json } of encoded) events.push(JSON.parse(json) as Logged);
        return true;
      },
      async [Symbol.asyncDispose]() {},
    },
    async [Symbol.asyncDispose]() {},
  };
  return { audit, events };
}

const stages = (events: readonly Logged[]) => events.map(({ stage }) => stage);

describe('audit of requests', () => {
  test('an event has all its fields, in upstream’s order', async () => {
    const { audit, events } = openAudit('rules: [{level: RequestResponse}]');
    await using server = await openTestServer({ audit });
    const headers = { 'audit-id': 'mine', 'x-forwarded-for': '10.1.2.3, nonsense', 'user-agent': 'kubectl/v1.36' };
    await server.call('POST', `${maps}?fieldManager=me`, { metadata: { name: 'a' }, data: { k: 'v' } }, headers);
    assert.deepEqual(stages(events), ['RequestReceived', 'ResponseComplete']);
    const [received, complete] = events;
    assert.deepEqual(Object.keys(complete as object), [
      'kind',
      'apiVersion',
      'level',
      'auditID',
      'stage',
      'requestURI',
      'verb',
      'user',
      'sourceIPs',
      'userAgent',
      'objectRef',
      'responseStatus',
      'requestObject',
      'responseObject',
      'requestReceivedTimestamp',
      'stageTimestamp',
      'annotations',
    ]);
    assert.equal(received?.responseStatus, undefined);
    assert.equal(received?.objectRef?.name, undefined);
    assert.equal(complete?.auditID, 'mine');
    assert.equal(complete?.requestURI, `${maps}?fieldManager=me`);
    assert.equal(complete?.verb, 'create');
    assert.deepEqual(complete?.user, { username: loopbackAdmin.name, groups: loopbackAdmin.groups });
    assert.deepEqual(complete?.sourceIPs, ['10.1.2.3', '::1']);
    assert.deepEqual(complete?.objectRef, {
      resource: 'configmaps',
      namespace: 'default',
      name: 'a',
      apiVersion: 'v1',
    });
    assert.deepEqual(complete?.responseStatus, { metadata: {}, code: 201 });
    assert.deepEqual((complete?.requestObject as { data: unknown } | undefined)?.data, { k: 'v' });
    assert.equal((complete?.requestObject as { kind: unknown } | undefined)?.kind, 'ConfigMap');
    assert.ok((complete?.responseObject as { metadata: { uid?: string } } | undefined)?.metadata.uid);
    assert.match(String(complete?.stageTimestamp), /^2026-01-01T00:00:00\.\d{6}Z$/);
    assert.deepEqual(complete?.annotations, { 'authorization.k8s.io/decision': 'allow' });
    const metrics = await server.call('GET', '/metrics');
    assert.match(metrics.text, /apiserver_audit_event_total [1-9]/);
    assert.match(metrics.text, /apiserver_audit_level_total\{level="RequestResponse"\} [1-9]/);
  });

  test('each verb’s own object: patches, options of deletion, configurations that are applied', async () => {
    const { audit, events } = openAudit(
      'omitStages: [RequestReceived]\nrules: [{level: Request, verbs: [patch, delete]}]',
    );
    await using server = await openTestServer({ audit });
    await server.call('POST', maps, { metadata: { name: 'a' } });
    const merge = { 'content-type': 'application/merge-patch+json' };
    const apply = { 'content-type': 'application/apply-patch+yaml' };
    await server.call('PATCH', `${maps}/a`, { data: { k: 'v' } }, merge);
    const yaml = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: w}\n';
    await server.call('PATCH', `${maps}/a?fieldManager=m&force=true`, yaml, apply);
    await server.call('DELETE', `${maps}/a`, { propagationPolicy: 'Background' });
    await server.call('PATCH', `${maps}/gone`, { data: {} }, merge);
    assert.deepEqual(
      events.map(({ requestObject }) => requestObject),
      [
        { data: { k: 'v' } },
        { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' }, data: { k: 'w' } },
        { kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy: 'Background' },
        { data: {} },
      ],
    );
    assert.ok(events.every(({ responseObject }) => responseObject === undefined));
    assert.equal(events.at(-1)?.responseStatus?.code, 404);
    assert.equal(events.at(-1)?.responseStatus?.reason, 'NotFound');
  });

  test('nothing of a secret or a token is in the log at the level Metadata', async () => {
    const { audit, events } = openAudit('rules: [{level: Metadata}]');
    await using server = await openTestServer({ audit });
    const canary = 'canary-7c1f';
    await server.call('POST', secrets, { metadata: { name: 's' }, stringData: { password: canary } });
    const strategic = { 'content-type': 'application/strategic-merge-patch+json' };
    await server.call('PATCH', `${secrets}/s`, { stringData: { password: `${canary}-2` } }, strategic);
    await server.call('GET', secrets);
    await server.call('GET', `${secrets}/s`);
    await server.call('DELETE', `${secrets}/s`);
    const review = { spec: { token: canary } };
    await server.call('POST', '/apis/authentication.k8s.io/v1/tokenreviews', review);
    await server.call('POST', secrets, { metadata: { name: '!' }, stringData: { password: canary } });
    assert.ok(events.length >= 12);
    const text = JSON.stringify(events);
    for (const form of [canary, Buffer.from(canary).toString('base64')]) assert.ok(!text.includes(form.slice(0, 12)));
    assert.equal(
      events.find(({ verb, stage }) => verb === 'create' && stage === 'ResponseComplete')?.objectRef?.name,
      's',
    );
  });

  test('managed fields are left out of objects and lists when the policy says so', async () => {
    const { audit, events } = openAudit(
      'omitManagedFields: true\nomitStages: [RequestReceived]\nrules: [{level: RequestResponse}]',
    );
    await using server = await openTestServer({ audit });
    const yaml = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: w}\n';
    await server.call('PATCH', `${maps}/a?fieldManager=m`, yaml, { 'content-type': 'application/apply-patch+yaml' });
    const listed = await server.call('GET', maps);
    const table = await server.call('GET', `${maps}?includeObject=Object`, undefined, {
      accept: 'application/json;as=Table;v=v1;g=meta.k8s.io',
    });
    assert.match(listed.text + table.text, /managedFields/);
    assert.equal(events.length, 3);
    assert.doesNotMatch(JSON.stringify(events), /managedFields/);
    assert.equal((events[1]?.responseObject as { items: unknown[] } | undefined)?.items.length, 1);
  });

  test('a watch has a beginning and an end; errors and breakdowns have their stage', async () => {
    const broken: AdmissionPlugin = {
      name: 'broken',
      handles: ({ kind }) => kind.kind === 'ConfigMap',
      admit() {
        throw new TypeError('a defect');
      },
    };
    const { audit, events } = openAudit('rules: [{level: RequestResponse}]');
    await using server = await openTestServer({ audit, admission: [broken] });
    const watch = await server.watch(`${maps}?watch=1`);
    assert.deepEqual(stages(events), ['RequestReceived', 'ResponseStarted']);
    assert.deepEqual(events[1]?.responseStatus, { metadata: {}, code: 200 });
    watch.close();
    await eventLoopTurn();
    assert.deepEqual(stages(events.splice(0)), ['RequestReceived', 'ResponseStarted', 'ResponseComplete']);
    assert.equal((await server.call('POST', maps, { metadata: { name: 'a' } })).code, 500);
    assert.deepEqual(stages(events), ['RequestReceived', 'Panic']);
    assert.equal(events.at(1)?.responseStatus?.message, "APIServer panic'd: a defect");
    events.length = 0;
    await server.call('GET', `${maps}/none`);
    assert.deepEqual(
      { ...events[1]?.responseStatus },
      {
        metadata: {},
        status: 'Failure',
        message: 'configmaps "none" not found',
        reason: 'NotFound',
        details: { name: 'none', kind: 'configmaps' },
        code: 404,
      },
    );
  });

  test('impersonated users stand beside those who impersonate; refusals are written down, too', async () => {
    const { audit, events } = openAudit('omitStages: [RequestReceived]\nrules: [{level: Metadata}]');
    await using server = await openTestServer({ audit });
    await server.call('GET', maps, undefined, { 'impersonate-user': 'bob', 'impersonate-group': 'dev' });
    assert.equal(events[0]?.user.username, loopbackAdmin.name);
    assert.equal(events[0]?.impersonatedUser?.username, 'bob');
    assert.deepEqual(events[0]?.impersonatedUser?.groups, ['dev', 'system:authenticated']);
    assert.deepEqual(events[0]?.authenticationMetadata, { impersonationConstraint: 'impersonate:user-info' });
    const strangers = openAudit('rules: [{level: Metadata}]');
    await using closed = await openTestServer({
      audit: strangers.audit,
      authenticate: () => {
        throw errors.unauthorized();
      },
    });
    assert.equal((await closed.call('GET', maps, undefined, { authorization: 'Bearer wrong' })).code, 401);
    assert.deepEqual(stages(strangers.events), ['ResponseStarted']);
    assert.deepEqual(strangers.events[0]?.user, {});
    assert.equal(strangers.events[0]?.responseStatus?.code, 401);
    assert.equal(strangers.events[0]?.responseStatus?.message, 'Authentication failed, attempted: bearer');
    assert.doesNotMatch(JSON.stringify(strangers.events), /wrong/);
  });

  test('where the policy is strict, a request whose event is not kept fails', async () => {
    let keeps = true;
    const { audit } = openAudit('rules: [{level: Metadata}]', () => keeps);
    await using server = await openTestServer({ audit });
    assert.equal((await server.call('GET', maps)).code, 200);
    keeps = false;
    const refused = await server.call('GET', maps);
    assert.equal(refused.code, 500);
    assert.match(refused.text, /failed to store audit event/);
    assert.equal(audit.metrics.rejected, 1);
  });
});
