import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { MutatingWebhookConfiguration } from '#api/admissionregistration/v1/mutating-webhook-configuration.ts';
import { ValidatingWebhookConfiguration } from '#api/admissionregistration/v1/validating-webhook-configuration.ts';
import { CustomResourceDefinition } from '#api/apiextensions/v1/custom-resource-definition.ts';
import { HorizontalPodAutoscaler } from '#api/autoscaling/v2/horizontal-pod-autoscaler.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { LimitRange } from '#api/core/v1/limit-range.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ServiceAccount } from '#api/core/v1/service-account.ts';
import { Service } from '#api/core/v1/service.ts';
import { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { defineKind, type Kind } from '#api/machinery/kind.ts';
import { issue, issueAuthority } from '#auth/certificates/issue.ts';
import { systemClock } from '#base/clock.ts';
import { systemRandom } from '#base/random.ts';
import { machineAddress } from '#cluster/nodes.ts';
import { startAggregatedCluster, type AggregatedCluster } from '../aggregation/aggregated-cluster.ts';

const issuing = { clock: systemClock, random: systemRandom };
const namespace = 'default';

describe('admission webhooks in a process of their own', () => {
  let cluster: AggregatedCluster;
  let server: ChildProcess;
  let caBundle: string;
  before(async () => {
    cluster = await startAggregatedCluster();
    const validForMs = 3_600_000;
    const authority = await issueAuthority({ commonName: 'webhooks', validForMs }, issuing);
    const hosts = ['hooks.default.svc'];
    const serving = await issue(authority, { commonName: 'hooks', hosts, usages: ['server'], validForMs }, issuing);
    caBundle = Buffer.from(authority.certPem).toString('base64');
    const host = machineAddress();
    server = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'webhook-server.ts')],
      {
        env: { ...process.env, WEBHOOK_SERVER: JSON.stringify({ host, ...serving }) },
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    const [line] = (await once(server.stdout ?? assert.fail(), 'data')) as [Buffer];
    const port = Number(/listening (\d+)/.exec(line.toString())?.[1]);
    await cluster.client.create(Service, {
      metadata: { name: 'hooks', namespace },
      spec: { ports: [{ name: 'https', port: 8443 }] },
    });
    await cluster.client.create(EndpointSlice, {
      metadata: { name: 'hooks-1', namespace, labels: { 'kubernetes.io/service-name': 'hooks' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: [host] }],
      ports: [{ name: 'https', port, protocol: 'TCP' }],
    });
  });
  after(async () => {
    if (server) {
      const ended = once(server, 'exit');
      server.kill('SIGKILL');
      await ended;
    }
    await cluster?.[Symbol.asyncDispose]();
  });

  const hook = (path: string, rule: object, more: object = {}) => ({
    name: `${path}.example.com`,
    clientConfig: { service: { name: 'hooks', namespace, path: `/${path}`, port: 8443 }, caBundle },
    rules: [{ operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*'], ...rule }],
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    ...more,
  });

  /** Puts a configuration into force; the plugin's copy follows the API a moment later. */
  async function inForce(
    kind: 'mutating' | 'validating',
    webhooks: readonly object[],
    seen: () => Promise<boolean>,
  ): Promise<AsyncDisposable> {
    const { client } = cluster;
    const object = { metadata: { name: 'test' }, webhooks: webhooks as never };
    const configuration = kind === 'mutating' ? MutatingWebhookConfiguration : ValidatingWebhookConfiguration;
    await client.create(configuration as never, object as never);
    const deadlineMs = systemClock.monotonic() + 10_000;
    while (!(await seen())) {
      if (systemClock.monotonic() > deadlineMs) throw new Error('the webhook did not come into force');
      await systemClock.sleep(5);
    }
    return {
      async [Symbol.asyncDispose]() {
        const informer = cluster.plane.informers.of(configuration as never);
        await client.delete(configuration as never, 'test');
        while (informer.objects.size > 0) await systemClock.sleep(5);
      },
    };
  }

  const dry = { namespace, dryRun: true };

  test('objects are converted to the version that a rule names, built-in and custom ones', async () => {
    const { client } = cluster;
    await client.create(CustomResourceDefinition, {
      metadata: { name: 'crates.stable.example.com' },
      spec: {
        group: 'stable.example.com',
        scope: 'Namespaced',
        names: { plural: 'crates', kind: 'Crate' },
        versions: ['v1', 'v2'].map(name => ({
          name,
          served: true,
          storage: name === 'v2',
          schema: {
            openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } as never,
          },
        })),
      },
    });
    await cluster.kubectl('wait', '--for=condition=Established', 'crd/crates.stable.example.com');
    const autoscaler = {
      metadata: { name: 'h', namespace },
      spec: { maxReplicas: 3, scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' } },
    };
    const labelOf = async () =>
      (await client.create(HorizontalPodAutoscaler, autoscaler, dry)).metadata.labels?.['seen-as'];
    await using _force = await inForce(
      'mutating',
      [hook('version', { apiGroups: ['autoscaling', 'stable.example.com'], apiVersions: ['v1'] })],
      async () => (await labelOf()) !== undefined,
    );
    assert.equal(await labelOf(), 'v1-v1-from-v2');
    const stored = await client.create(HorizontalPodAutoscaler, autoscaler, { namespace });
    assert.deepEqual([stored.apiVersion, stored.spec.maxReplicas], ['autoscaling/v2', 3]);
    for (const version of ['v1', 'v2']) {
      const Crate = crateOf(version);
      const crate = await client.create(Crate, { metadata: { name: `c-${version}`, namespace } });
      assert.deepEqual(
        [crate.apiVersion, crate.metadata.labels?.['seen-as']],
        [`stable.example.com/${version}`, `v1-v1-from-${version}`],
      );
    }
  });

  test('what a webhook adds gets what built-in plugins give', async () => {
    const { client } = cluster;
    await client.create(ServiceAccount, { metadata: { name: 'default', namespace } });
    await client.create(LimitRange, {
      metadata: { name: 'limits', namespace },
      spec: { limits: [{ type: 'Container', defaultRequest: { cpu: '50m' }, default: { cpu: '100m' } }] },
    });
    const limits = cluster.plane.informers.of(LimitRange);
    while (limits.objects.size === 0) await systemClock.sleep(5);
    const pod = { metadata: { name: 'p', namespace }, spec: { containers: [{ name: 'main', image: 'main' }] } };
    const admitted = () => client.create(Pod, pod, dry);
    await using _force = await inForce(
      'mutating',
      [hook('sidecar', { resources: ['pods'], operations: ['CREATE'] })],
      async () => (await admitted()).spec?.containers.length === 2,
    );
    const side = (await admitted()).spec?.containers[1];
    assert.equal(side?.resources?.requests?.['cpu'], '50m');
    assert.ok(
      side?.volumeMounts?.some(each => each.name.startsWith('kube-api-access-')),
      'the account is mounted',
    );
  });

  test('kubectl shows refusals, warnings and failures', async () => {
    const create = (...more: readonly string[]) =>
      cluster.kubectlFails('create', 'configmap', 'm', '--from-literal=a=b', ...more);
    const tryOut = () => cluster.client.create(ConfigMap, { metadata: { name: 'x', namespace } }, dry);
    const refused = async () => (await tryOut().catch(() => undefined)) === undefined;
    const rule = { resources: ['configmaps'], operations: ['CREATE'] };
    {
      await using _force = await inForce('validating', [hook('deny', rule)], refused);
      assert.equal(
        await create(),
        'Warning: somebody is watching\nerror: failed to create configmap: admission webhook "deny.example.com" denied the request: CREATE of configmaps is not wanted\n',
      );
      assert.match(await create('--dry-run=server'), /denied the request/);
    }
    {
      await using _force = await inForce('validating', [hook('silent', rule, { timeoutSeconds: 1 })], refused);
      assert.match(
        await create(),
        /Internal error occurred: failed calling webhook "silent\.example\.com": failed to call webhook: Post "https:\/\/hooks\.default\.svc:8443\/silent\?timeout=1s": context deadline exceeded/,
      );
    }
    {
      await using _force = await inForce('validating', [hook('nowhere', rule)], refused);
      assert.match(
        await create(),
        /failed calling webhook "nowhere\.example\.com": failed to call webhook: the server could not find the requested resource/,
      );
    }
    assert.match(
      await cluster.client.raw('/metrics'),
      /apiserver_admission_webhook_rejection_count\{name="silent\.example\.com",type="validating",operation="CREATE",error_type="calling_webhook_error",rejection_code="503"\} \d/,
    );
  });

  test('a match condition keeps requests from a webhook that nobody could call', async () => {
    const rule = { resources: ['configmaps'], operations: ['CREATE'] };
    const matchConditions = [
      { name: 'not-tests', expression: "!object.metadata.name.startsWith('spared')" },
      { name: 'not-nodes', expression: "!('system:nodes' in request.userInfo.groups)" },
    ];
    const create = (name: string) => cluster.client.create(ConfigMap, { metadata: { name, namespace } }, dry);
    await using _force = await inForce(
      'validating',
      [hook('nowhere', rule, { matchConditions })],
      async () => (await create('other').catch(() => undefined)) === undefined,
    );
    assert.equal((await create('spared-1')).metadata.name, 'spared-1');
    await assert.rejects(create('hit'), /failed calling webhook/);
  });
});

function crateOf(version: string): Kind {
  return defineKind({
    group: 'stable.example.com',
    version,
    kind: 'Crate',
    plural: 'crates',
    namespaced: true,
    custom: true,
    type: '',
    fields: {},
  }) as unknown as Kind;
}
