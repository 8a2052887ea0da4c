import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventLoopTurn, ManualClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import type { AdmissionPlugin } from '#admission/admission.ts';
import { loopbackAdmin, type User } from '#auth/user.ts';
import type { Client } from '#client/client.ts';
import { inProcessClient } from '#client/in-process.ts';
import { type Answer, answerOf, openTestServer, requestOf, type TestServer } from '../test-server.ts';
import { flowSchemaPresets, priorityLevelPresets } from './bootstrap-configuration.ts';
import { allocate } from './concurrency-allocation.ts';
import { ensureFlowControlConfiguration, keepFlowControlConfiguration } from './ensure-configuration.ts';
import { FlowMetrics } from './flow-metrics.ts';
import { QueueSet, type Ticket } from './queue-set.ts';
import { RetryAfter } from './retry-after.ts';
import { dealHand } from './shuffle-sharding.ts';
import { estimateWork } from './work-estimate.ts';

const schemas = '/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas';
const levels = '/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations';
const maps = '/api/v1/namespaces/default/configmaps';
const authenticated = 'system:authenticated';
const alice: User = { name: 'alice', groups: [authenticated] };
const bob: User = { name: 'bob', groups: [authenticated] };

async function settled(server: TestServer): Promise<void> {
  await server.clock.advance(1_100);
  for (let turn = 0; turn < 20; turn++) await eventLoopTurn();
}

/** A server with upstream's configuration in its store. */
async function openFairServer(options: Parameters<typeof openTestServer>[0] = {}): Promise<TestServer> {
  const server = await openTestServer({
    authenticate: ({ headers }) => users.get(String(headers['x-user'])) ?? loopbackAdmin,
    ...options,
  });
  await ensure(server);
  await settled(server);
  return server;
}

const users = new Map([alice, bob].map(user => [user.name, user]));

function clientOf({ server }: TestServer): Client {
  return inProcessClient((user: User, request) => server.handleAs(user, request), loopbackAdmin);
}

function ensure(server: TestServer): Promise<void> {
  return ensureFlowControlConfiguration(clientOf(server), server.server.seed);
}

/** Holds every create of a ConfigMap until it is let go. */
class Gate {
  #waiting: (() => void)[] = [];
  #open = false;
  readonly plugin: AdmissionPlugin = {
    name: 'gate',
    handles: ({ kind, operation }) => kind.kind === 'ConfigMap' && operation === 'CREATE',
    admit: () => (this.#open ? undefined : new Promise<void>(resolve => this.#waiting.push(resolve))) as Promise<void>,
  };

  get held(): number {
    return this.#waiting.length;
  }

  release(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const go of waiting) go();
  }

  open(): void {
    this.#open = true;
    this.release();
  }
}

function create(server: TestServer, user: string, name: string): Promise<Answer> {
  return server.call('POST', maps, { metadata: { name }, data: {} }, { 'x-user': user });
}

async function turns(count = 10): Promise<void> {
  for (let turn = 0; turn < count; turn++) await eventLoopTurn();
}

describe('configuration', () => {
  test('is upstream’s, kept with the annotation, and says that every level exists', async () => {
    await using server = await openFairServer();
    const { body } = await server.call('GET', schemas);
    assert.deepEqual(
      body.items.map((each: { metadata: { name: string } }) => each.metadata.name).sort(),
      flowSchemaPresets.map(({ name }) => name).sort(),
    );
    for (const { metadata, status } of body.items) {
      assert.equal(metadata.annotations['apf.kubernetes.io/autoupdate-spec'], 'true');
      assert.equal(status.conditions[0].type, 'Dangling');
      assert.equal(status.conditions[0].status, 'False');
      assert.equal(status.conditions[0].reason, 'Found');
    }
    const found = await server.call('GET', levels);
    assert.equal(found.body.items.length, priorityLevelPresets.length);
    const low = found.body.items.find((each: { metadata: { name: string } }) => each.metadata.name === 'workload-low');
    assert.deepEqual(low.spec, {
      type: 'Limited',
      limited: {
        nominalConcurrencyShares: 100,
        lendablePercent: 90,
        limitResponse: { type: 'Queue', queuing: { queues: 128, handSize: 6, queueLengthLimit: 50 } },
      },
    });
  });

  test('is put right where it is mandatory or nobody’s own, and left where somebody made it theirs', async () => {
    await using server = await openFairServer();
    const stop = keepFlowControlConfiguration(clientOf(server), server.server.seed, server.clock, silentLog);
    const merge = { 'content-type': 'application/merge-patch+json' };
    await server.call('PATCH', `${schemas}/probes`, { spec: { matchingPrecedence: 7 } }, merge);
    const own = { 'apf.kubernetes.io/autoupdate-spec': 'false' };
    const mine = { metadata: { annotations: own }, spec: { matchingPrecedence: 9_001 } };
    await server.call('PATCH', `${schemas}/service-accounts`, mine, merge);
    await server.call('PATCH', `${schemas}/catch-all`, { metadata: { annotations: own } }, merge);
    await server.call('DELETE', `${schemas}/exempt`);
    await server.call('DELETE', `${schemas}/system-nodes`);
    const exempt = { spec: { exempt: { nominalConcurrencyShares: 7, lendablePercent: 0 } } };
    assert.equal((await server.call('PATCH', `${levels}/exempt`, exempt, merge)).code, 200);
    const shipped = { metadata: { name: 'old', annotations: { 'apf.kubernetes.io/autoupdate-spec': 'true' } } };
    const spec = { priorityLevelConfiguration: { name: 'system' }, matchingPrecedence: 5_000 };
    assert.equal((await server.call('POST', schemas, { ...shipped, spec })).code, 201);
    await server.clock.advance(60_000);
    await settled(server);
    stop();
    const spec_ = async (name: string) => (await server.call('GET', `${schemas}/${name}`)).body;
    assert.equal((await spec_('probes')).spec.matchingPrecedence, 2);
    assert.equal((await spec_('service-accounts')).spec.matchingPrecedence, 9_001);
    assert.equal((await spec_('catch-all')).metadata.annotations['apf.kubernetes.io/autoupdate-spec'], 'true');
    assert.equal((await spec_('exempt')).spec.matchingPrecedence, 1);
    assert.equal((await spec_('system-nodes')).spec.matchingPrecedence, 500);
    assert.equal((await server.call('GET', `${schemas}/old`)).code, 404);
    assert.equal((await server.call('GET', `${levels}/exempt`)).body.spec.exempt.nominalConcurrencyShares, 7);
  });

  test('a schema whose level is missing says so, and gets no requests until the level comes', async () => {
    await using server = await openFairServer();
    const rule = {
      subjects: [{ kind: 'User', user: { name: 'alice' } }],
      resourceRules: [
        { verbs: ['*'], apiGroups: ['*'], resources: ['*'], namespaces: ['default'], clusterScope: false },
      ],
    };
    await server.call('POST', schemas, {
      metadata: { name: 'alices' },
      spec: { priorityLevelConfiguration: { name: 'vip' }, matchingPrecedence: 50, rules: [rule] },
    });
    await settled(server);
    const read = async () => (await server.call('GET', `${schemas}/alices`)).body;
    const dangling = await read();
    assert.deepEqual(
      { ...dangling.status.conditions[0], lastTransitionTime: '' },
      {
        type: 'Dangling',
        status: 'True',
        lastTransitionTime: '',
        reason: 'NotFound',
        message:
          'This FlowSchema references the PriorityLevelConfiguration object named "vip" but there is no such object',
      },
    );
    const uid = async (user: string, path: string) =>
      (await server.call('GET', path, undefined, { 'x-user': user })).headers['x-kubernetes-pf-flowschema-uid'];
    assert.notEqual(await uid('alice', maps), dangling.metadata.uid);
    await server.call('POST', levels, {
      metadata: { name: 'vip' },
      spec: { type: 'Limited', limited: { limitResponse: { type: 'Reject' } } },
    });
    await settled(server);
    assert.equal((await read()).status.conditions[0].status, 'False');
    assert.equal(await uid('alice', maps), dangling.metadata.uid);
    assert.notEqual(await uid('alice', '/api/v1/namespaces/other/configmaps'), dangling.metadata.uid);
    assert.notEqual(await uid('bob', maps), dangling.metadata.uid);
    await server.call('DELETE', `${levels}/vip`);
    await settled(server);
    assert.notEqual(await uid('alice', maps), dangling.metadata.uid);
  });

  test('every answer names its schema and level; without anything stored the mandatory ones hold', async () => {
    await using bare = await openTestServer({ authenticate: () => alice });
    const none = await bare.call('GET', maps);
    assert.equal(none.headers['x-kubernetes-pf-flowschema-uid'], '');
    await using server = await openFairServer();
    const level = await server.call('GET', `${levels}/global-default`);
    const schema = await server.call('GET', `${schemas}/global-default`);
    for (const path of [maps, '/version', `${maps}/nothing`]) {
      const { headers } = await server.call('GET', path, undefined, { 'x-user': 'alice' });
      assert.equal(headers['x-kubernetes-pf-prioritylevel-uid'], level.body.metadata.uid, path);
      assert.equal(headers['x-kubernetes-pf-flowschema-uid'], schema.body.metadata.uid, path);
    }
    const exempt = await server.call('GET', `${levels}/exempt`);
    const probe = await server.call('GET', '/readyz', undefined, { 'x-user': 'alice' });
    assert.equal(probe.headers['x-kubernetes-pf-prioritylevel-uid'], exempt.body.metadata.uid);
  });
});

describe('a server at its limits', () => {
  const small = { readOnlyMax: 16, mutatingMax: 8, fair: true };

  test('one tenant at ten times saturation waits and is refused; another goes first; probes and admins always', async () => {
    const gate = new Gate();
    await using server = await openFairServer({ admission: [gate.plugin], inFlight: small });
    const flood = Array.from({ length: 600 }, (_, index) => create(server, 'alice', `alice-${index}`));
    await turns();
    const busy = gate.held;
    assert.ok(busy >= 1 && busy <= 24, `${busy} at once`);
    // One hand of queues is full: what is more is refused at once.
    const codes = new Map<number, number>();
    let answered = 0;
    for (const each of flood)
      void each.then(({ code }) => {
        answered++;
        codes.set(code, (codes.get(code) ?? 0) + 1);
      });
    await turns();
    assert.equal(codes.get(429), answered);
    assert.equal(600 - answered - busy, 300, 'six queues of fifty wait');
    // Bob came last and is served with the next ones.
    const late = create(server, 'bob', 'bob-1');
    let bobIsServed = false;
    void late.then(() => (bobIsServed = true));
    for (const path of ['/readyz', '/livez', '/healthz'])
      assert.equal((await server.call('GET', path, undefined, { 'x-user': 'alice' })).code, 200);
    assert.equal((await server.call('GET', maps)).code, 200);
    let rounds = 0;
    for (; !bobIsServed && rounds < 20; rounds++) {
      gate.release();
      await turns();
    }
    assert.ok(bobIsServed && rounds <= 7, `bob waited ${rounds} rounds, in line he would have ${300 / busy}`);
    const dump = await server.call('GET', '/debug/api_priority_and_fairness/dump_priority_levels');
    const row = dump.text.split('\n').find(line => line.startsWith('global-default'));
    assert.match(String(row), /^global-default, +[1-6], +false, +false, +\d+, +\d+, +\d+, +\d+, +0, +0$/);
    const queues = await server.call('GET', '/debug/api_priority_and_fairness/dump_queues');
    assert.match(queues.text, /^PriorityLevelName, Index, +PendingRequests, ExecutingRequests, /);
    const requests = await server.call('GET', '/debug/api_priority_and_fairness/dump_requests?includeRequestDetails=1');
    assert.match(requests.text, /global-default, +global-default, +\d+, +0, +alice, .*alice, +create, .*default, /);
    gate.open();
    await Promise.all(flood);
    assert.equal(codes.get(429), 600 - 300 - busy);
    assert.equal(codes.get(201), 300 + busy);
    const metrics = await server.call('GET', '/metrics');
    assert.match(
      metrics.text,
      new RegExp(
        `apiserver_flowcontrol_rejected_requests_total\\{priority_level="global-default",flow_schema="global-default",reason="queue-full"\\} ${300 - busy}\n`,
      ),
    );
    assert.match(metrics.text, /apiserver_flowcontrol_current_executing_seats\{[^}]*global-default"\} 0\n/);
    assert.match(metrics.text, /apiserver_flowcontrol_nominal_limit_seats\{priority_level="workload-low"\} 10\n/);
    assert.match(metrics.text, /apiserver_flowcontrol_request_wait_duration_seconds_bucket\{[^}]*execute="true"/);
    assert.match(metrics.text, /apiserver_flowcontrol_priority_level_seat_utilization_count\{/);
    assert.match(metrics.text, /apiserver_current_inflight_requests\{request_kind="mutating"\} 0\n/);
  });

  test('who waits longer than a quarter of the time of the request is refused; who goes away is forgotten', async () => {
    const gate = new Gate();
    await using server = await openFairServer({ admission: [gate.plugin], inFlight: small });
    const first = Array.from({ length: 24 }, (_, index) => create(server, 'alice', `first-${index}`));
    await turns();
    const busy = gate.held;
    const abort = new AbortController();
    const headers = { 'x-user': 'alice' };
    const gone = server.server
      .handle(requestOf('POST', maps, { metadata: { name: 'gone' } }, headers, abort.signal))
      .then(answerOf);
    const hasty = server.call('POST', `${maps}?timeout=4s`, { metadata: { name: 'hasty' } }, headers);
    await turns();
    abort.abort();
    assert.equal((await gone).code, 429);
    await server.clock.advance(1_000);
    const refused = await hasty;
    assert.equal(refused.code, 429);
    assert.equal(refused.text, 'Too many requests, please try again later.\n');
    assert.equal(refused.headers['retry-after'], '1');
    gate.open();
    for (const { code } of await Promise.all(first)) assert.equal(code, 201);
    assert.ok(busy < 24);
  });

  test('a watch takes seats only until it has sent its state', async () => {
    await using server = await openFairServer({ inFlight: { readOnlyMax: 8, mutatingMax: 4, fair: true } });
    await server.call('POST', maps, { metadata: { name: 'a' } });
    const executing = async () =>
      /current_executing_requests\{priority_level="global-default",flow_schema="global-default"\} (\d+)/.exec(
        (await server.call('GET', '/metrics')).text,
      )?.[1];
    const watches = [];
    for (let index = 0; index < 40; index++)
      watches.push(await server.watch(`${maps}?watch=1&timeoutSeconds=600`, { 'x-user': 'alice' }));
    await turns();
    assert.ok(watches.every(({ code, events }) => code === 200 && events.length === 1));
    assert.equal(await executing(), '0');
    for (const watch of watches) watch.close();
  });

  test('without fairness the simple limits hold', async () => {
    const gate = new Gate();
    await using server = await openFairServer({
      admission: [gate.plugin],
      inFlight: { readOnlyMax: 2, mutatingMax: 2, fair: false },
    });
    const held = [create(server, 'alice', 'a'), create(server, 'alice', 'b')];
    await turns();
    const refused = await create(server, 'alice', 'c');
    assert.equal(refused.code, 429);
    assert.equal(refused.headers['retry-after'], '1');
    assert.equal(refused.headers['x-kubernetes-pf-flowschema-uid'], undefined);
    assert.equal((await server.call('GET', maps, undefined, { 'x-user': 'alice' })).code, 200);
    gate.open();
    await Promise.all(held);
  });

  test('a level that needs more borrows what others do not use, and gives it back', async () => {
    const gate = new Gate();
    await using server = await openFairServer({ admission: [gate.plugin] });
    const seats = async () =>
      Number(
        /current_limit_seats\{priority_level="global-default"\} (\d+)/.exec(
          (await server.call('GET', '/metrics')).text,
        )?.[1],
      );
    await server.clock.advance(10_000);
    const before = await seats();
    const flood = Array.from({ length: 340 }, (_, index) => create(server, 'alice', `f-${index}`));
    await turns();
    for (let period = 0; period < 3; period++) await server.clock.advance(10_000);
    await turns();
    const during = await seats();
    assert.ok(during > before * 2, `${before} → ${during}`);
    assert.ok(gate.held > before);
    gate.open();
    await Promise.all(flood);
    for (let period = 0; period < 180; period++) await server.clock.advance(10_000);
    assert.ok((await seats()) < during / 2);
  });
});

describe('the parts', () => {
  test('a hand has as many different queues as it should, and flows have different ones', () => {
    const hands = Array.from({ length: 200 }, (_, index) => dealHand('schema', `user-${index}`, 128, 6));
    for (const hand of hands) {
      assert.equal(new Set(hand).size, 6);
      assert.ok(hand.every(card => card >= 0 && card < 128));
    }
    assert.ok(new Set(hands.map(hand => [...hand].sort().join())).size > 195);
    assert.deepEqual(new Set(dealHand('s', '', 4, 4)), new Set([0, 1, 2, 3]));
  });

  test('the sum is divided in fair parts of the targets, within bounds', () => {
    const wish = (lower: number, target: number, upper = 1_000) => ({ lower, target, upper });
    const seats = (sum: number, ...wishes: ReturnType<typeof wish>[]) => allocate(sum, wishes)?.seats;
    assert.deepEqual(seats(100, wish(0, 10), wish(0, 40)), [20, 80]);
    assert.deepEqual(seats(100, wish(50, 50), wish(0, 450)), [50, 50]);
    assert.deepEqual(seats(100, wish(0, 10, 15), wish(0, 40)), [15, 85]);
    assert.deepEqual(seats(60, wish(20, 30), wish(40, 90)), [20, 40]);
    assert.equal(seats(10, wish(20, 30)), undefined);
    assert.equal(seats(10, wish(0, 5, 7)), undefined);
  });

  test('queues are served in turn, whatever each of them holds', async () => {
    const clock = new ManualClock();
    const metrics = new FlowMetrics(clock);
    const queues = new QueueSet({ type: 'reject' }, metrics.level('l'), clock, () => {});
    queues.configure({ type: 'queue', queues: 2, handSize: 1, queueLengthMax: 100 }, 1);
    const order: string[] = [];
    const executing: Ticket[] = [];
    const begin = (flow: 'a' | 'b') => {
      const ticket = queues.start({
        work: { initialSeats: 1, finalSeats: 0, finalMs: 0 },
        series: metrics.flow('l', flow),
        hand: [flow === 'a' ? 0 : 1],
        note: () => assert.fail('nobody looks'),
      }) as Ticket;
      const run = () => {
        order.push(flow);
        executing.push(ticket);
      };
      if (ticket.state === 'executing') run();
      else ticket.onTurn = run;
    };
    for (let index = 0; index < 6; index++) begin('a');
    for (let index = 0; index < 3; index++) begin('b');
    while (executing.length > 0) {
      await clock.advance(5);
      queues.finish(executing.shift() as Ticket);
    }
    assert.equal(order.join('').slice(0, 6).replaceAll('a', '').length, 3, order.join(''));
    assert.ok(queues.isIdle);
  });

  test('a list is as wide as what it reads, a write as its watchers keep the server busy', () => {
    const info = (verb: string, name = '') => ({ verb, name }) as Parameters<typeof estimateWork>[0];
    const sources = (count: number, watchers = 0) => ({
      sizeOf: () => ({ count, meanBytes: 1_000 }),
      watchersOf: () => watchers,
    });
    const seats = (verb: string, query: string, count: number, max = 10, name = '') =>
      estimateWork(info(verb, name), new URLSearchParams(query), max, sources(count)).initialSeats;
    assert.equal(seats('list', '', 50), 1);
    assert.equal(seats('list', '', 500), 5);
    assert.equal(seats('list', '', 50_000), 10);
    assert.equal(seats('list', '', 50_000, 3), 3);
    assert.equal(seats('list', 'limit=200', 50_000), 2);
    assert.equal(seats('list', '', 50_000, 10, 'one'), 1);
    assert.equal(seats('watch', 'resourceVersion=5', 50_000), 1);
    assert.equal(seats('watch', '', 50_000), 10);
    assert.equal(seats('get', '', 50_000), 1);
    const write = (watchers: number) => estimateWork(info('create'), new URLSearchParams(), 10, sources(1, watchers));
    assert.deepEqual(write(9), { initialSeats: 1, finalSeats: 0, finalMs: 0 });
    assert.deepEqual(write(2_000), { initialSeats: 1, finalSeats: 10, finalMs: 2 });
  });

  test('refusals that go on double the time that clients are told to wait, up to 32 s', async () => {
    const clock = new ManualClock();
    const retry = new RetryAfter(clock);
    let longest = 0;
    for (let second = 0; second < 300; second++) {
      for (let index = 0; index < 50; index++) longest = retry.refused('level');
      await clock.advance(1_000);
    }
    assert.equal(longest, 32);
    assert.equal(retry.refused('another'), 1);
    for (let second = 0; second < 60; second++) {
      await clock.advance(40_000);
      longest = retry.refused('level');
    }
    assert.equal(longest, 1);
  });
});
