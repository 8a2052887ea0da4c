import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import type { Expressions } from '../expressions.ts';
import type { User } from '../user.ts';
import { abacAuthorizer } from './abac.ts';
import { readAuthorizationConfiguration } from './authorization-configuration.ts';
import type { Attributes, Authorizer } from './authorizer.ts';
import { authorizationFrom, type AuthorizationArguments } from './configured.ts';

interface Review {
  readonly apiVersion: string;
  readonly spec: { readonly user?: string; readonly resourceAttributes?: { readonly verb?: string } };
}

const ann: User = { name: 'ann', groups: ['dev', 'system:authenticated'] };
const root: User = { name: 'root', groups: ['system:masters'] };
const reviews: Review[] = [];
let answer: (review: Review) => object | number = () => ({ allowed: false });
let folder: string;
let kubeconfig: string;

const server = createServer((request, response) => {
  void bodyOf(request).then(body => {
    const review = JSON.parse(body) as Review;
    reviews.push(review);
    const status = answer(review);
    if (typeof status === 'number') response.writeHead(status).end('{}');
    else response.end(JSON.stringify({ apiVersion: review.apiVersion, kind: 'SubjectAccessReview', status }));
  });
});

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'windlass-authorization-'));
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  kubeconfig = join(folder, 'webhook.yaml');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/review`;
  await writeFile(
    kubeconfig,
    `clusters: [{name: w, cluster: {server: "${url}"}}]\ncontexts: [{name: w, context: {cluster: w}}]\ncurrent-context: w\n`,
  );
});

beforeEach(() => {
  reviews.length = 0;
  answer = () => ({ allowed: false });
});

after(async () => {
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true });
});

function asking(user: User, verb: string, more: Partial<Attributes> = {}): Attributes {
  return {
    user,
    verb,
    resourceRequest: true,
    path: '',
    group: '',
    version: 'v1',
    resource: 'pods',
    subresource: '',
    namespace: 'ns',
    name: '',
    ...more,
  };
}

const rbac: Authorizer = {
  name: 'RBAC',
  authorize: ({ verb }) => ({ decision: verb === 'get' ? 'allow' : 'noOpinion', reason: verb === 'get' ? 'RBAC' : '' }),
  rulesFor: () => ({ resourceRules: [{ verbs: ['get'] }], nonResourceRules: [], incomplete: false }),
};
const node: Authorizer = { name: 'Node', authorize: () => ({ decision: 'noOpinion', reason: '' }) };

const open = (flags: AuthorizationArguments, clock = new ManualClock(), expressions?: Expressions) =>
  authorizationFrom(flags, {
    node,
    rbac,
    expressions: () => (expressions ? Promise.resolve(expressions) : Promise.reject(new Error('no expressions'))),
    clock,
    log: silentLog,
  });

const decision = async (authorizer: Authorizer, attributes: Attributes) =>
  (await authorizer.authorize(attributes)).decision;

test('modes are asked in their order; masters are always let in', async () => {
  await using usual = await open({});
  assert.equal(await decision(usual, asking(ann, 'get')), 'allow');
  assert.equal(await decision(usual, asking(ann, 'list')), 'noOpinion');
  await using allow = await open({ 'authorization-mode': ['AlwaysAllow'] });
  assert.equal(await decision(allow, asking(ann, 'delete')), 'allow');
  await using deny = await open({ 'authorization-mode': ['AlwaysDeny'] });
  assert.equal((await deny.authorize(asking(ann, 'get'))).reason, 'Everything is forbidden.');
  assert.equal(await decision(deny, asking(root, 'delete')), 'allow');
  await assert.rejects(open({ 'authorization-mode': ['RBAC', 'RBAC'] }), /has mode specified more than once/);
  await assert.rejects(open({ 'authorization-mode': ['Webhook'] }), /authorization config file not passed/);
  await assert.rejects(open({ 'authorization-policy-file': '/x' }), /without mode ABAC/);
  await assert.rejects(
    open({ 'authorization-config': '/x', 'authorization-mode': ['RBAC'] }),
    /--authorization-mode can not be specified when --authorization-config is defined/,
  );
});

test('a webhook gets the question with its selectors, and its answers are remembered', async () => {
  const clock = new ManualClock();
  await using authorizer = await open(
    {
      'authorization-mode': ['Webhook', 'RBAC'],
      'authorization-webhook-config-file': kubeconfig,
      'authorization-webhook-version': 'v1',
      'authorization-webhook-cache-authorized-ttl': 10_000,
      'authorization-webhook-cache-unauthorized-ttl': 1_000,
    },
    clock,
  );
  answer = ({ spec }) =>
    spec.resourceAttributes?.verb === 'delete' ? { allowed: false, denied: true, reason: 'never' } : { allowed: true };
  const listing = asking(ann, 'list', {
    fieldSelector: 'spec.nodeName=n1,status.phase!=Running',
    labelSelector: 'a in (x,y),!b',
  });
  assert.equal(await decision(authorizer, listing), 'allow');
  assert.deepEqual(reviews[0], {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    metadata: {},
    spec: {
      resourceAttributes: {
        namespace: 'ns',
        verb: 'list',
        version: 'v1',
        resource: 'pods',
        fieldSelector: {
          requirements: [
            { key: 'spec.nodeName', operator: 'In', values: ['n1'] },
            { key: 'status.phase', operator: 'NotIn', values: ['Running'] },
          ],
        },
        labelSelector: {
          requirements: [
            { key: 'a', operator: 'In', values: ['x', 'y'] },
            { key: 'b', operator: 'DoesNotExist' },
          ],
        },
      },
      user: 'ann',
      groups: ['dev', 'system:authenticated'],
    },
  });
  assert.equal(await decision(authorizer, listing), 'allow');
  assert.equal(reviews.length, 1);
  await clock.advance(10_001);
  await authorizer.authorize(listing);
  assert.equal(reviews.length, 2);
  // A selector that cannot be read leaves the broader question; another user's answer is another.
  await authorizer.authorize(asking(ann, 'list', { fieldSelector: '=(', labelSelector: '((' }));
  assert.equal(reviews.length, 3);
  assert.equal(await decision(authorizer, asking(ann, 'delete')), 'deny');
  const said = await authorizer.authorize(asking(ann, 'delete'));
  assert.deepEqual({ ...said }, { decision: 'deny', reason: 'never' });
  assert.equal(reviews.length, 4);
  await clock.advance(1_001);
  await authorizer.authorize(asking(ann, 'delete'));
  assert.equal(reviews.length, 5);
  // What is not a resource, and masters, who are never asked about.
  await authorizer.authorize(
    asking(ann, 'get', { resourceRequest: false, path: '/metrics', resource: '', version: '', namespace: '' }),
  );
  assert.deepEqual((reviews.at(-1) as { spec: object }).spec, {
    nonResourceAttributes: { path: '/metrics', verb: 'get' },
    user: 'ann',
    groups: ['dev', 'system:authenticated'],
  });
  const before = reviews.length;
  assert.equal(await decision(authorizer, asking(root, 'delete')), 'allow');
  assert.equal(reviews.length, before);
  // Huge names are not remembered.
  const huge = asking(ann, 'get', { name: 'x'.repeat(10_000) });
  await authorizer.authorize(huge);
  await authorizer.authorize(huge);
  assert.equal(reviews.length, before + 2);
});

test('a webhook that fails has no opinion, or denies, as it is configured; both say why', async () => {
  const configuration = (policy: string) => `apiVersion: apiserver.config.k8s.io/v1
kind: AuthorizationConfiguration
authorizers:
- type: Webhook
  name: first
  webhook:
    timeout: 3s
    subjectAccessReviewVersion: v1
    failurePolicy: ${policy}
    cacheUnauthorizedRequests: false
    connectionInfo: {type: KubeConfigFile, kubeConfigFile: ${kubeconfig}}
- {type: RBAC, name: rbac}
`;
  const file = join(folder, 'authorization.yaml');
  await writeFile(file, configuration('NoOpinion'));
  const clock = new ManualClock();
  await using authorizer = await open({ 'authorization-config': file }, clock);
  answer = () => 403;
  assert.equal(await decision(authorizer, asking(ann, 'get')), 'allow', 'the next one allows it');
  const said = await authorizer.authorize(asking(ann, 'list'));
  assert.equal(said.decision, 'noOpinion');
  assert.match(said.error ?? '', /status code 403/);
  // Not remembered: asked each time.
  assert.equal(reviews.length, 2);
  await writeFile(file, configuration('Deny'));
  await clock.advance(10_000);
  while ((await decision(authorizer, asking(ann, 'get'))) !== 'deny')
    await new Promise(resolve => setImmediate(resolve));
  answer = () => ({ allowed: true, denied: true });
  const both = await authorizer.authorize(asking(ann, 'get', { name: 'x' }));
  assert.equal(both.decision, 'deny');
  assert.match(both.error ?? '', /both allow and deny/);
});

test('a configuration of authorizers is read strictly, and everything wrong is told', async () => {
  const wrong = (authorizers: string, why: RegExp) =>
    assert.rejects(
      readAuthorizationConfiguration(
        `apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers: ${authorizers}\n`,
        () => Promise.reject(new Error('no expressions')),
      ),
      why,
    );
  await wrong('[]', /authorizers: Required value: at least one authorization mode must be defined/);
  await wrong('[{type: Magic, name: m}]', /authorizers\[0\]\.type: Unsupported value: "Magic"/);
  await wrong('[{type: RBAC, name: a}, {type: RBAC, name: b}]', /authorizers\[1\]\.type: Duplicate value: "RBAC"/);
  await wrong('[{type: RBAC}]', /authorizers\[0\]\.name: Required value/);
  await wrong('[{type: RBAC, name: Not_A_Name}]', /authorizer name is invalid/);
  await wrong('[{type: RBAC, name: r, extra: 1}]', /unknown field "authorizers\[0\]\.extra"/);
  await wrong('[{type: Webhook, name: w}]', /authorizers\[0\]\.webhook: Required value: required when type=Webhook/);
  await wrong('[{type: RBAC, name: r, webhook: {timeout: 3s}}]', /may only be specified when type=Webhook/);
  await wrong(
    '[{type: Webhook, name: w, webhook: {timeout: 31s}}]',
    /authorizers\[0\]\.timeout: Invalid value: "31s": must be > 0s and <= 30s/,
  );
  await wrong(
    '[{type: Webhook, name: w, webhook: {}}]',
    /subjectAccessReviewVersion: Required value, .*failurePolicy: Required value, .*connectionInfo\.type: Required value/,
  );
  await wrong(
    '[{type: Webhook, name: w, webhook: {connectionInfo: {type: KubeConfigFile, kubeConfigFile: /not/there}}}]',
    /no such file or directory/,
  );
});

test('ABAC: a policy a line, for a user or a group, to read or to do everything', async () => {
  const policy = (spec: object) =>
    JSON.stringify({ apiVersion: 'abac.authorization.kubernetes.io/v1beta1', kind: 'Policy', spec });
  const { authorize } = abacAuthorizer(
    [
      '# comment',
      policy({ user: 'ann', namespace: 'ns', resource: 'pods', apiGroup: '*', readonly: true }),
      policy({ group: 'ops', namespace: '*', resource: '*', apiGroup: '*' }),
      policy({ user: '*', nonResourcePath: '/version*' }),
      '',
    ].join('\n'),
  );
  const may = async (attributes: Attributes) => (await authorize(attributes)).decision === 'allow';
  assert.ok(await may(asking(ann, 'list')));
  assert.ok(!(await may(asking(ann, 'create'))));
  assert.ok(!(await may(asking(ann, 'list', { namespace: 'other' }))));
  assert.ok(await may(asking({ name: 'bob', groups: ['ops'] }, 'create', { namespace: 'other' })));
  const version = { resourceRequest: false, path: '/version/x' };
  assert.ok(await may(asking(ann, 'get', version)));
  assert.ok(!(await may(asking({ name: 'system:anonymous', groups: ['system:unauthenticated'] }, 'get', version))));
  assert.equal((await authorize(asking(ann, 'create'))).reason, 'No policy matched.');
  assert.throws(() => abacAuthorizer('{"kind":"Other","apiVersion":"x"}'), /line 1 of the policy file/);
  assert.throws(() => abacAuthorizer('\nnonsense'), /line 2 of the policy file/);
});

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
