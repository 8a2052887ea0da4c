import assert from 'node:assert/strict';
import { join } from 'node:path';
import { APIService } from '#api/apiregistration/v1/api-service.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Service } from '#api/core/v1/service.ts';
import { issue, issueAuthority } from '#auth/certificates/issue.ts';
import { systemClock } from '#base/clock.ts';
import { systemRandom } from '#base/random.ts';
import { conformance, type Trial } from '../conformance.ts';
import { nodeProgram, readyPod } from '../pods.ts';

const group = 'wardle.example.com';
const version = 'v1alpha1';
const name = `${version}.${group}`;
const root = `/apis/${group}/${version}`;

conformance(it => {
  // Upstream's image of a sample API server is not to be had here: one of our own does what the test asks of it.
  it('[sig-api-machinery] Aggregator Should be able to support the 1.17 Sample API Server using the current Aggregator [LinuxOnly] [Conformance]', async t => {
    const { client, namespace } = t;
    const caPem = await startSampleServer(t);
    t.defer(() => client.delete(APIService, name).catch(() => undefined));
    await client.create(APIService, {
      metadata: { name, labels: { 'e2e-test': namespace } },
      spec: {
        group,
        version,
        groupPriorityMinimum: 2000,
        versionPriority: 200,
        service: { namespace, name: 'sample-api', port: 7443 },
        caBundle: Buffer.from(caPem).toString('base64'),
      },
    });
    await t.eventually('the sample API server is available', async () => {
      const { status } = await client.get(APIService, name);
      return status.conditions?.some(each => each.type === 'Available' && each.status === 'True');
    });
    const flunders = `${root}/namespaces/${namespace}/flunders`;
    await t.eventually('it answers', async () => (await t.request('GET', flunders)).code === 200);
    const flunder = { apiVersion: `${group}/${version}`, kind: 'Flunder', metadata: { name: 'rest-flunder' } };
    const created = await t.request('POST', flunders, { body: flunder });
    assert.equal(created.code, 201, created.text);
    const listed = (await t.request('GET', flunders)).json<{ items: { metadata: { name: string } }[] }>();
    assert.deepEqual(
      listed.items.map(each => each.metadata.name),
      ['rest-flunder'],
    );
    await t.eventually('it is discovered', async () => {
      const text = await t.kubectl('api-resources', `--api-group=${group}`, '--output=name', '--cached=false');
      return text.trim() === `flunders.${group}`;
    });
    assert.equal((await t.kubectl('get', 'flunders', '--output=name')).trim(), `flunder.${group}/rest-flunder`);
    await t.kubectl('delete', 'flunder', 'rest-flunder');
    assert.equal((await t.request('GET', `${flunders}/rest-flunder`)).code, 404);

    const status = `/apis/apiregistration.k8s.io/v1/apiservices/${name}/status`;
    const read = (await t.request('GET', status)).json<APIService>();
    assert.equal(read.metadata.name, name);
    const patched = await t.request('PATCH', status, {
      body: { metadata: { annotations: { patched: 'yes' } } },
      contentType: 'application/merge-patch+json',
    });
    assert.equal(patched.code, 200, patched.text);
    const condition = { type: 'StatusUpdated', status: 'True' as const, reason: 'E2E', message: 'Set from e2e test' };
    await t.eventually('the status is replaced', async () => {
      const latest = await client.get(APIService, name);
      const conditions = [...(latest.status.conditions ?? []), condition];
      const replaced = await t.request('PUT', status, { body: { ...latest, status: { conditions } } });
      return replaced.code === 200;
    });
    assert.ok((await client.get(APIService, name)).status.conditions?.some(each => each.type === 'StatusUpdated'));
    await client.deleteCollection(APIService, { labelSelector: `e2e-test=${namespace}` });
    await t.eventually('the group has gone', async () => (await t.request('GET', flunders)).code === 404);
  });
});

/** In a pod behind the Service `sample-api`. Resolves with who signed its certificate. */
async function startSampleServer(t: Trial): Promise<string> {
  const { client, namespace } = t;
  const issuing = { clock: systemClock, random: systemRandom };
  const validForMs = 3_600_000;
  const authority = await issueAuthority({ commonName: 'sample-api-ca', validForMs }, issuing);
  const serving = await issue(
    authority,
    { commonName: 'sample-api', hosts: [`sample-api.${namespace}.svc`], usages: ['server'], validForMs },
    issuing,
  );
  // As every extension API server learns whom to believe.
  const trust = await client.get(ConfigMap, 'extension-apiserver-authentication', { namespace: 'kube-system' });
  const proxyCaPem = trust.data?.['requestheader-client-ca-file'] ?? '';
  const settings = { host: '0.0.0.0', port: 8443, ...serving, proxyCaPem, dialect: 'legacy' };
  const { container, volumes = [] } = nodeProgram('');
  const mounts = (container as { readonly volumeMounts?: readonly object[] }).volumeMounts ?? [];
  await client.create(
    Service,
    {
      metadata: { name: 'sample-api' },
      spec: { selector: { app: 'sample-api' }, ports: [{ port: 7443, targetPort: 8443 }] },
    },
    { namespace },
  );
  await readyPod(t, {
    name: 'sample-api',
    labels: { app: 'sample-api' },
    container: {
      ...container,
      command: ['/node/node', '/server/extension-server.ts'],
      env: [{ name: 'EXTENSION_SERVER', value: JSON.stringify(settings) }],
      volumeMounts: [...mounts, { name: 'server', mountPath: '/server', readOnly: true }],
      readinessProbe: { httpGet: { path: '/readyz', port: 8443, scheme: 'HTTPS' }, periodSeconds: 1 },
    },
    volumes: [...volumes, { name: 'server', hostPath: { path: join(import.meta.dirname, '..', '..', 'aggregation') } }],
  });
  return authority.certPem;
}
