import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Registry } from 'prom-client';
import { ManualClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { seededRandom } from '#base/random.ts';
import { policyMetrics, type PolicyMetrics } from '#admission/policies/metrics.ts';
import { mutatingPolicies, type PolicyContext, validatingPolicies } from '#admission/policies/plugins.ts';
import { alwaysAllow } from '#auth/authorization/always-allow.ts';
import type { Audit } from '#auth/audit/open-audit.ts';
import { parseAuditPolicy } from '#auth/audit/policy.ts';
import { AuditMetrics } from '#auth/audit/sink.ts';
import type { Authorizer } from '#auth/authorization/authorizer.ts';
import { loopbackAdmin, type User } from '#auth/user.ts';
import { inProcessClient } from '#client/in-process.ts';
import { openInformers } from '#client/informers.ts';
import type { ApiServer } from './server.ts';
import { type Answer, openTestServer, type TestServer } from './test-server.ts';

const group = '/apis/admissionregistration.k8s.io/v1';
const maps = '/api/v1/namespaces/default/configmaps';

/** A server with both policy plugins. */
async function open(
  authorizer: Authorizer = alwaysAllow,
  { audit, metrics }: { readonly audit?: Audit; readonly metrics?: PolicyMetrics } = {},
): Promise<TestServer> {
  const starting = Promise.withResolvers<ApiServer>();
  const clock = new ManualClock();
  const random = seededRandom(1);
  const client = inProcessClient<User>(
    async (as, request) => (await starting.promise).handleAs(as, request),
    loopbackAdmin,
  );
  const informers = openInformers(client, { clock, random, log: silentLog });
  const sources = { informers, client, clock, random };
  const context: PolicyContext = { sources, authorizer, metrics };
  const server = await openTestServer({
    admission: [mutatingPolicies(context), validatingPolicies(context)],
    audit,
  });
  starting.resolve(server.server);
  await informers.synced;
  await made(server, '/api/v1/namespaces', { metadata: { name: 'default', labels: { team: 'a' } } });
  await made(server, '/api/v1/namespaces', { metadata: { name: 'other' } });
  return {
    ...server,
    async [Symbol.asyncDispose]() {
      informers[Symbol.dispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

async function made(server: TestServer, path: string, object: object): Promise<Answer> {
  const answer = await server.call('POST', path, object);
  assert.equal(answer.code, 201, answer.text);
  return answer;
}

const mapRule = { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['configmaps'] };

interface Extra {
  readonly spec?: object;
  readonly binding?: object;
  readonly kind?: 'Validating' | 'Mutating';
}

/** A policy named `p` with a binding named `b`. */
async function enforce(server: TestServer, name: string, { spec = {}, binding = {}, kind = 'Validating' }: Extra) {
  const plural = kind.toLowerCase();
  await made(server, `${group}/${plural}admissionpolicies`, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: `${kind}AdmissionPolicy`,
    metadata: { name },
    spec: { matchConstraints: { resourceRules: [mapRule] }, ...spec },
  });
  await made(server, `${group}/${plural}admissionpolicybindings`, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: `${kind}AdmissionPolicyBinding`,
    metadata: { name: `${name}-b` },
    spec: { policyName: name, ...(kind === 'Validating' && { validationActions: ['Deny'] }), ...binding },
  });
}

const map = (name: string, data: object = {}, metadata: object = {}) => ({ metadata: { name, ...metadata }, data });

async function said(server: TestServer, object: object, path = maps): Promise<string> {
  const { code, body } = await server.call('POST', path, object);
  return `${code} ${body.reason ?? ''} ${body.message ?? ''}`.trim();
}

describe('ValidatingAdmissionPolicy', () => {
  test("denies in upstream's words, with the reason it names", async () => {
    await using server = await open();
    const validations = [
      { expression: 'object.data.size() < 3' },
      { expression: "!('secret' in object.data)", message: ' no secrets ', reason: 'Forbidden' },
      {
        expression: "!('loud' in object.data)",
        message: 'too loud',
        messageExpression: "'loud is ' + object.data.loud",
        reason: 'RequestEntityTooLarge',
      },
    ];
    await enforce(server, 'p', { spec: { validations } });
    const denied = "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p-b' denied request:";
    assert.equal(
      await said(server, map('a', { a: '', b: '', c: '' })),
      `422 Invalid ${denied} failed expression: object.data.size() < 3`,
    );
    assert.equal(await said(server, map('a', { secret: '' })), `403 Forbidden ${denied} no secrets`);
    assert.equal(await said(server, map('a', { loud: 'x' })), `413 RequestEntityTooLarge ${denied} loud is x`);
    assert.equal(await said(server, map('a', { loud: 'x\ny' })), `413 RequestEntityTooLarge ${denied} too loud`);
    assert.equal(await said(server, map('a', { quiet: '' })), '201');
    const { body } = await server.call('PUT', `${maps}/a`, map('a', { secret: '' }));
    assert.deepEqual(body.details, {
      name: 'a',
      kind: 'configmaps',
      causes: [{ message: `ValidatingAdmissionPolicy 'p' with binding 'p-b' denied request: no secrets` }],
    });
    assert.equal(
      await said(server, map('a', { secret: '' }), '/api/v1/namespaces/default/secrets'),
      '201',
      'another kind',
    );
  });

  test('sees request, old object, namespace, variables and params', async () => {
    await using server = await open();
    const fact = (text: string, scope = '') => ({ expression: `${text}`, message: scope || text });
    await made(server, '/api/v1/namespaces/default/configmaps', map('limits', { max: '3' }));
    await enforce(server, 'p', {
      spec: {
        paramKind: { apiVersion: 'v1', kind: 'ConfigMap' },
        variables: [
          { name: 'max', expression: 'int(params.data.max)' },
          { name: 'twice', expression: 'variables.max * 2' },
          { name: 'broken', expression: 'object.nothing' },
        ],
        matchConditions: [{ name: 'not-exempt', expression: "!object.metadata.name.startsWith('exempt')" }],
        validations: [
          fact('variables.twice == 6'),
          fact("request.operation == 'CREATE' ? oldObject == null : oldObject.data.v == 'old'"),
          fact("request.userInfo.username == 'system:apiserver' && 'system:masters' in request.userInfo.groups"),
          fact(
            "request.resource.resource == 'configmaps' && request.kind.kind == 'ConfigMap' && request.namespace == 'default'",
          ),
          fact("namespaceObject.metadata.labels.team == 'a' && namespaceObject.metadata.name == 'default'"),
          fact("params.kind == 'ConfigMap' && params.apiVersion == 'v1' && params.metadata.name == 'limits'"),
          fact("object.data.v != 'new' || variables.max == 4", 'v is new'),
        ],
      },
      binding: { paramRef: { name: 'limits', parameterNotFoundAction: 'Deny' } },
    });
    assert.equal(await said(server, map('a', { v: 'old' })), '201');
    assert.equal((await server.call('PUT', `${maps}/a`, map('a', { v: 'other' }))).code, 200);
    assert.match(await said(server, map('b', { v: 'new' })), /denied request: v is new$/);
    assert.equal(await said(server, map('exempt', { v: 'new' })), '201');
    await server.call('DELETE', `${maps}/limits`);
    assert.match(
      await said(server, map('c')),
      /denied request: failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction$/,
    );
  });

  test('failures deny or do not, as the failure policy says', async () => {
    await using server = await open();
    const validations = [{ expression: 'object.nothing == 1' }];
    await enforce(server, 'ignores', { spec: { failurePolicy: 'Ignore', validations } });
    assert.equal(await said(server, map('a')), '201');
    await enforce(server, 'p', { spec: { validations } });
    assert.match(
      await said(server, map('b')),
      /^422 Invalid .* denied request: expression 'object\.nothing == 1' resulted in error: no such key: nothing$/,
    );
  });

  test('a binding warns and audits instead', async () => {
    const annotations: Readonly<Record<string, string>>[] = [];
    const audit: Audit = {
      policy: parseAuditPolicy(
        'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]',
        '/p',
        silentLog,
      ),
      metrics: new AuditMetrics(),
      sink: {
        process(events) {
          for (const { json } of events) annotations.push(JSON.parse(json).annotations ?? {});
          return true;
        },
        async [Symbol.asyncDispose]() {},
      },
      async [Symbol.asyncDispose]() {},
    };
    const metrics = policyMetrics();
    const registry = new Registry();
    metrics.registerOn(registry);
    await using server = await open(alwaysAllow, { audit, metrics });
    await enforce(server, 'p', {
      spec: {
        validations: [{ expression: "object.metadata.name != 'bad'", message: 'bad name' }],
        auditAnnotations: [{ key: 'name', valueExpression: "'name ' + object.metadata.name" }],
      },
      binding: { validationActions: ['Warn', 'Audit'] },
    });
    const { code, headers } = await server.call('POST', maps, map('bad'));
    assert.equal(code, 201);
    assert.equal(
      String(headers['warning']),
      "299 - \"Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p-b': bad name\"",
    );
    const kept = annotations.find(each => 'p/name' in each);
    assert.equal(kept?.['p/name'], 'name bad');
    assert.deepEqual(JSON.parse(kept?.['validation.policy.admission.k8s.io/validation_failure'] ?? ''), [
      {
        message: 'bad name',
        policy: 'p',
        binding: 'p-b',
        expressionIndex: 0,
        validationActions: ['Warn', 'Audit'],
      },
    ]);
    const counted = await registry.getSingleMetricAsString('apiserver_validating_admission_policy_check_total');
    for (const action of ['warn', 'audit'])
      assert.match(
        counted,
        new RegExp(`policy="p",policy_binding="p-b",error_type="no_error",enforcement_action="${action}"} 1`),
      );
  });

  test('matches by namespace, object, name, exclusion, and in equivalent versions', async () => {
    await using server = await open();
    const validations = [{ expression: 'false', message: 'no' }];
    await enforce(server, 'ns', {
      spec: {
        validations,
        matchConstraints: {
          resourceRules: [mapRule],
          namespaceSelector: { matchLabels: { team: 'a' } },
          objectSelector: { matchExpressions: [{ key: 'free', operator: 'DoesNotExist' }] },
          excludeResourceRules: [{ ...mapRule, resourceNames: ['excluded'] }],
        },
      },
    });
    assert.match(await said(server, map('a')), /denied request: no$/);
    assert.equal(await said(server, map('excluded')), '201');
    assert.equal(await said(server, map('b', {}, { labels: { free: '' } })), '201');
    assert.equal(await said(server, map('a'), '/api/v1/namespaces/other/configmaps'), '201');
    const scalers = {
      apiGroups: ['autoscaling'],
      apiVersions: ['v2'],
      operations: ['*'],
      resources: ['horizontalpodautoscalers'],
    };
    await enforce(server, 'v2', {
      spec: {
        validations: [
          {
            expression:
              "object.spec.metrics[0].resource.target.averageUtilization < 90 && object.apiVersion == 'autoscaling/v2' && request.requestKind.version == 'v1'",
            message: 'too hot',
          },
        ],
        matchConstraints: { resourceRules: [scalers] },
      },
    });
    const target = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'w' };
    const scaler = (name: string, targetCPUUtilizationPercentage: number) => ({
      metadata: { name },
      spec: { scaleTargetRef: target, maxReplicas: 3, targetCPUUtilizationPercentage },
    });
    const path = '/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers';
    assert.equal(await said(server, scaler('cool', 50), path), '201');
    assert.match(await said(server, scaler('hot', 95), path), /denied request: too hot$/);
  });

  test('asks the authorizer, also where it answers later, and each thing once', async () => {
    const asked: string[] = [];
    await using server = await open({
      name: 'later',
      async authorize({ verb, resource, name, namespace }) {
        asked.push(`${verb} ${resource} ${namespace}/${name}`);
        await Promise.resolve();
        return { decision: verb === 'publish' ? 'allow' : 'noOpinion', reason: 'because' };
      },
    });
    await enforce(server, 'p', {
      spec: {
        variables: [{ name: 'may', expression: "authorizer.requestResource.check('publish').allowed()" }],
        validations: [
          { expression: 'variables.may' },
          {
            expression:
              "variables.may && !authorizer.group('apps').resource('deployments').namespace('x').check('burn').allowed()",
          },
        ],
      },
    });
    assert.equal(await said(server, map('a')), '201');
    assert.deepEqual(asked.sort(), ['burn deployments x/', 'publish configmaps default/a']);
  });

  test('a definition with expressions that cannot be compiled is refused', async () => {
    await using server = await open();
    const policy = (spec: object) => ({
      metadata: { name: 'p' },
      spec: { matchConstraints: { resourceRules: [mapRule] }, ...spec },
    });
    const path = `${group}/validatingadmissionpolicies`;
    const refused = await server.call(
      'POST',
      path,
      policy({
        variables: [{ name: 'a', expression: '1 +' }],
        matchConditions: [{ name: 'm', expression: 'variables.a' }],
        validations: [{ expression: '1', messageExpression: 'true' }, { expression: 'params.x' }],
        auditAnnotations: [{ key: 'k', valueExpression: '1' }],
      }),
    );
    assert.equal(refused.code, 422);
    const causes = Object.fromEntries(
      refused.body.details.causes.map(({ field, message }: { field: string; message: string }) => [field, message]),
    );
    assert.match(
      causes['spec.variables[0].expression'],
      /^Invalid value: "1 \+": compilation failed: ERROR: <input>:1:4: Syntax error/,
    );
    assert.match(causes['spec.matchConditions[0].expression'], /undeclared reference to 'variables'/);
    assert.equal(causes['spec.validations[0].expression'], 'Invalid value: "1": must evaluate to bool but got int');
    assert.equal(
      causes['spec.validations[0].messageExpression'],
      'Invalid value: "true": must evaluate to string but got bool',
    );
    assert.match(causes['spec.validations[1].expression'], /undeclared reference to 'params'/);
    assert.equal(
      causes['spec.auditAnnotations[0].valueExpression'],
      'Invalid value: "1": must evaluate to one of [string null_type] but got int',
    );
  });
});

describe('MutatingAdmissionPolicy', () => {
  test('applies configurations and patches, in order, and looks again', async () => {
    await using server = await open();
    await enforce(server, 'a-labels', {
      kind: 'Mutating',
      spec: {
        reinvocationPolicy: 'IfNeeded',
        mutations: [
          {
            patchType: 'ApplyConfiguration',
            applyConfiguration: {
              expression:
                "Object{metadata: Object.metadata{labels: {'keys': string(object.data.size())}}, data: {'from': 'a'}}",
            },
          },
        ],
      },
    });
    await enforce(server, 'b-patch', {
      kind: 'Mutating',
      spec: {
        reinvocationPolicy: 'Never',
        mutations: [
          {
            patchType: 'JSONPatch',
            jsonPatch: {
              expression:
                "[JSONPatch{op: 'add', path: '/metadata/annotations', value: {'x/y': 'a'}}, JSONPatch{op: 'replace', path: '/metadata/annotations/' + jsonpatch.escapeKey('x/y'), value: 'b'}, JSONPatch{op: 'add', path: '/data/x', value: 'b'}]",
            },
          },
          {
            patchType: 'JSONPatch',
            jsonPatch: {
              expression:
                "[JSONPatch{op: 'test', path: '/data/x', value: 'no'}, JSONPatch{op: 'remove', path: '/data'}]",
            },
          },
        ],
      },
    });
    const { body } = await made(server, maps, map('a', { one: '1' }));
    assert.deepEqual(body.data, { one: '1', from: 'a', x: 'b' });
    assert.deepEqual(body.metadata.annotations, { 'x/y': 'b' });
    assert.deepEqual(body.metadata.labels, { keys: '3' });
  });

  test("what cannot be done is refused, in upstream's words", async () => {
    await using server = await open();
    const mutation = (expression: string) => ({ patchType: 'ApplyConfiguration', applyConfiguration: { expression } });
    const pods = { ...mapRule, resources: ['pods'] };
    await enforce(server, 'p', {
      kind: 'Mutating',
      spec: {
        reinvocationPolicy: 'Never',
        matchConstraints: { resourceRules: [mapRule, pods] },
        matchConditions: [{ name: 'named', expression: "object.metadata.name != 'skip'" }],
        mutations: [mutation("Object{spec: Object.spec{nodeSelector: {'a': 'b'}, wrong: Object.spec.other{}}}")],
      },
    });
    assert.equal(await said(server, map('skip')), '201');
    assert.equal(
      await said(server, map('a')),
      `403 Invalid policy 'p' with binding 'p-b' denied request: type mismatch: unexpected type name "Object.spec.other", expected "Object.spec.wrong", which matches field name path from root Object type`,
    );
    await server.call('DELETE', `${group}/mutatingadmissionpolicies/p`);
    await enforce(server, 'q', {
      kind: 'Mutating',
      spec: { reinvocationPolicy: 'Never', mutations: [mutation('Object{nonsense: 1}')] },
    });
    assert.equal(
      await said(server, map('a')),
      `403 Invalid policy 'q' with binding 'q-b' denied request: error applying patch: failed to convert patch object to typed object: .nonsense: field not declared in schema`,
    );
    await server.call('DELETE', `${group}/mutatingadmissionpolicies/q`);
    await enforce(server, 'r', {
      kind: 'Mutating',
      spec: {
        reinvocationPolicy: 'Never',
        matchConstraints: { resourceRules: [pods] },
        mutations: [mutation("Object{spec: Object.spec{nodeSelector: {'a': 'b'}}}")],
      },
    });
    const pod = { metadata: { name: 'a' }, spec: { containers: [{ name: 'c', image: 'i' }] } };
    assert.equal(
      await said(server, pod, '/api/v1/namespaces/default/pods'),
      `403 Invalid policy 'r' with binding 'r-b' denied request: error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.nodeSelector`,
    );
  });
});
