import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { User } from '#auth/user.ts';
import { argumentsOf } from '#cluster/flags/components.ts';
import { admin, openPlane } from './plane.ts';

const apiServer = (...words: string[]) => ({
  apiServerArguments: argumentsOf('kube-apiserver', { 'kube-apiserver': words }),
});
const alice: User = { name: 'alice', groups: ['system:authenticated'] };
const secrets = '/api/v1/namespaces/default/secrets';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'windlass-flags-'));
});
after(() => rm(folder, { recursive: true }));

test('an audit log by upstream’s flags: who did what, refusals too, and no secret', async () => {
  const policy = join(folder, 'policy.yaml');
  const log = join(folder, 'logs', 'audit.log');
  await writeFile(
    policy,
    `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
# The server's own parts are many and say little.
- {level: None, userGroups: ["system:serviceaccounts"]}
- {level: None, users: ["system:apiserver", "system:kube-scheduler"]}
- level: Metadata
  resources:
  - {group: "", resources: [secrets, configmaps, serviceaccounts/token]}
  - {group: authentication.k8s.io, resources: [tokenreviews]}
- {level: RequestResponse}
`,
  );
  {
    await using world = await openPlane(apiServer(`audit-policy-file=${policy}`, `audit-log-path=${log}`));
    await world.askAs(admin, 'POST', secrets, { metadata: { name: 's' }, stringData: { password: 'canary-31b' } });
    await world.askAs(alice, 'GET', `${secrets}/s`);
    const token = await world.askAs(admin, 'POST', '/api/v1/namespaces/default/serviceaccounts', {
      metadata: { name: 'robot' },
    });
    assert.equal(token.code, 201, token.text);
    const asked = await world.askAs(admin, 'POST', '/api/v1/namespaces/default/serviceaccounts/robot/token', {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: {},
    });
    assert.equal(asked.code, 201, asked.text);
    const text = await readFile(log, 'utf8');
    assert.ok(!text.includes('canary') && !text.includes(asked.body.status.token));
    const events = text
      .trim()
      .split('\n')
      .map(line => JSON.parse(line));
    const refused = events.find(each => each.user.username === 'alice');
    assert.equal(refused.responseStatus.code, 403);
    assert.equal(refused.annotations['authorization.k8s.io/decision'], 'forbid');
    const made = events.find(each => each.objectRef?.resource === 'serviceaccounts' && each.verb === 'create');
    assert.equal(made.level, 'RequestResponse');
    assert.equal(made.responseObject.metadata.name, 'robot');
  }
  assert.equal((await stat(log)).mode & 0o777, 0o600);
});

test('requests at once by upstream’s flags, with and without fairness', async () => {
  await using small = await openPlane(apiServer('max-requests-inflight=40', 'max-mutating-requests-inflight=20'));
  const nominal = async (world: typeof small) => {
    // What is stored counts a moment after it was stored.
    await world.clock.advance(100);
    const { text } = await world.askAs(admin, 'GET', '/metrics');
    return /nominal_limit_seats\{priority_level="workload-low"\} (\d+)/.exec(text)?.[1];
  };
  assert.equal(await nominal(small), '25');
  await using simple = await openPlane(apiServer('enable-priority-and-fairness=false'));
  assert.equal(await nominal(simple), undefined);
  const { headers } = await simple.askAs(alice, 'GET', '/version');
  assert.equal(headers['x-kubernetes-pf-flowschema-uid'], undefined);
});

test('flags that are wrong are refused in a sentence', async () => {
  const policy = join(folder, 'wrong.yaml');
  await writeFile(policy, 'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Most}]\n');
  const log = `audit-log-path=${join(folder, 'never.log')}`;
  await assert.rejects(
    openPlane(apiServer(`audit-policy-file=${policy}`, log)),
    /^Error: loading audit policy file: rules\[0\]\.level: Unsupported value: "Most"/,
  );
  const tracing = join(folder, 'tracing.yaml');
  await writeFile(
    tracing,
    'apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\nsamplingRatePerMillion: 2000000\n',
  );
  await assert.rejects(openPlane(apiServer(`tracing-config-file=${tracing}`)), /less than or equal to one million/);
  for (const [word, message] of [
    ['audit-log-mode=sometimes', /audit-log-mode is one of batch, blocking, blocking-strict/],
    ['audit-policy-file=/nowhere', /audit-policy-file names a file that is not there/],
    ['goaway-chance=0.5', /goaway-chance can not be less than 0 or greater than 0\.02/],
    ['cors-allowed-origins=example.com', /cors-allowed-origins takes regular expressions that pin/],
    ['strict-transport-security-directives=always', /has the invalid value "always"/],
    ['max-requests-inflight=many', /max-requests-inflight takes a whole number/],
  ] as const)
    assert.throws(() => apiServer(word), message);
});
