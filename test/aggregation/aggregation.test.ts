import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { connect } from 'node:tls';
import { after, before, describe, test } from 'node:test';
import { APIService } from '#api/apiregistration/v1/api-service.ts';
import { CustomResourceDefinition } from '#api/apiextensions/v1/custom-resource-definition.ts';
import { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { Service } from '#api/core/v1/service.ts';
import { defineKind, type Kind } from '#api/machinery/kind.ts';
import { systemClock } from '#base/clock.ts';
import {
  apiServiceName,
  apiServiceOf,
  group,
  startAggregatedCluster,
  version,
  type AggregatedCluster,
  type Extension,
} from './aggregated-cluster.ts';

const groupVersion = `${group}/${version}`;
const Flunder = defineKind({
  group,
  version,
  kind: 'Flunder',
  plural: 'flunders',
  namespaced: true,
  type: '',
  fields: {},
}) as unknown as Kind;
const aggregated = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

/** Looks until it is so; the documents of other servers are read in the background. */
async function until<Value>(what: string, look: () => Promise<Value | undefined | false>): Promise<Value> {
  const deadlineMs = systemClock.monotonic() + 20_000;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (systemClock.monotonic() > deadlineMs) throw new Error(`${what} did not come about`);
    await systemClock.sleep(20);
  }
}

describe('an extension API server in a process of its own', () => {
  let cluster: AggregatedCluster;
  let extension: Extension;
  before(async () => {
    cluster = await startAggregatedCluster();
    extension = await cluster.startExtension('modern');
  });
  after(async () => {
    await extension?.[Symbol.asyncDispose]();
    await cluster?.[Symbol.asyncDispose]();
  });

  const raw = async (path: string, accept = 'application/json') =>
    JSON.parse(await cluster.client.raw(path, { accept }));

  test('what this server serves has objects of its own', async () => {
    const lines = await until('registration', async () => {
      const text = await cluster.kubectl('get', 'apiservices', '--no-headers');
      return text.includes('v1.apps') && text.trim().split('\n');
    });
    const { metadata, spec, status } = await cluster.client.get(APIService, 'v1.apps');
    assert.equal(metadata.labels?.['kube-aggregator.kubernetes.io/automanaged'], 'onstart');
    assert.deepEqual({ ...spec }, { group: 'apps', version: 'v1', groupPriorityMinimum: 17_800, versionPriority: 15 });
    assert.equal(status.conditions?.[0]?.reason, 'Local');
    assert(
      lines.every(line => /\s+Local\s+True\s+/.test(line)),
      lines.join('\n'),
    );
    assert(!lines.some(line => line.includes('apiregistration')));
    assert.equal(await cluster.client.raw('/livez/autoregister-completion'), 'ok');
  });

  test('a custom resource brings an object and takes it away', async () => {
    await cluster.client.create(CustomResourceDefinition, {
      metadata: { name: 'crates.stable.example.com' },
      spec: {
        group: 'stable.example.com',
        scope: 'Namespaced',
        names: { plural: 'crates', kind: 'Crate' },
        versions: [
          { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } as never } },
        ],
      },
    });
    await cluster.reasonIs('Local', 'v1.stable.example.com');
    const { metadata, spec } = await cluster.client.get(APIService, 'v1.stable.example.com');
    assert.equal(metadata.labels?.['kube-aggregator.kubernetes.io/automanaged'], 'true');
    assert.deepEqual([spec.groupPriorityMinimum, spec.versionPriority], [1000, 100]);
    // Kept at every moment: whoever deletes it gets it back.
    await cluster.client.delete(APIService, 'v1.stable.example.com');
    await cluster.reasonIs('Local', 'v1.stable.example.com');
    await cluster.client.delete(CustomResourceDefinition, 'crates.stable.example.com');
    await until('removal', async () => {
      const { items } = await cluster.client.list(APIService);
      return !items.some(each => each.metadata.name === 'v1.stable.example.com');
    });
  });

  test('a certificate that nobody vouches for is not trusted', async () => {
    await cluster.client.create(APIService, apiServiceOf(undefined));
    const message = await cluster.reasonIs('FailedDiscoveryCheck');
    assert.match(
      message,
      /^failing or missing response from https:\/\/\S+\/apis\/wardle\.example\.com\/v1alpha1: Get "/,
    );
    const refused = await cluster.kubectlFails('get', '--raw', `/apis/${groupVersion}`);
    assert.match(refused, /the server is currently unable to handle the request/);
    const discovered = await raw('/apis', aggregated);
    const stale = discovered.items.find((each: { metadata: { name: string } }) => each.metadata.name === group);
    assert.deepEqual(stale.versions, [{ version, resources: [], freshness: 'Stale' }]);
    const exposition = await cluster.client.raw('/metrics');
    assert.match(exposition, /aggregator_unavailable_apiservice\{name="v1alpha1\.wardle\.example\.com"\} 1/);
    const trusting = async (insecureSkipTLSVerify: boolean) => {
      const { metadata, spec } = apiServiceOf(undefined);
      const present = await cluster.client.get(APIService, metadata.name);
      await cluster.client.update(APIService, { ...present, spec: { ...spec, insecureSkipTLSVerify } });
    };
    await trusting(true);
    await cluster.reasonIs('Passed');
    await trusting(false);
    await cluster.reasonIs('FailedDiscoveryCheck');
  });

  test('with its authority it is available, and kubectl works with its resources', async () => {
    const present = await cluster.client.get(APIService, apiServiceName);
    await cluster.client.update(APIService, {
      ...present,
      spec: { ...present.spec, ...apiServiceOf(extension.caPem).spec },
    });
    assert.equal(await cluster.reasonIs('Passed'), 'all checks passed');
    await until('discovery', async () => {
      const { items } = await raw('/apis', aggregated);
      return items.some(
        (each: { metadata: { name: string }; versions: { freshness: string; resources: object[] }[] }) =>
          each.metadata.name === group &&
          each.versions[0]?.freshness === 'Current' &&
          each.versions[0]?.resources.length === 1,
      );
    });
    await until('OpenAPI', async () => (await raw('/openapi/v3')).paths[`apis/${groupVersion}`] !== undefined);
    assert.match(
      await cluster.kubectl('api-resources', '--api-group', group),
      /flunders +fl +wardle\.example\.com\/v1alpha1 +true +Flunder/,
    );
    const child = spawn('kubectl', ['--kubeconfig', cluster.kubeconfig, 'create', '-f', '-'], { stdio: 'pipe' });
    child.stdin.end(
      `apiVersion: ${groupVersion}\nkind: Flunder\nmetadata: {name: one, namespace: default}\nspec: {reference: two}\n`,
    );
    const [created, complaints] = await Promise.all(
      [child.stdout, child.stderr].map(async each => (await each.toArray()).join('')),
    );
    assert.equal(complaints, '');
    assert.equal(created?.trim(), `flunder.${group}/one created`);
    assert.match(await cluster.kubectl('get', 'fl'), /NAME +REFERENCE\none +two/);
    assert.match(await cluster.kubectl('get', 'flunder', 'one', '-o', 'yaml'), /reference: two/);
    assert.match(await cluster.kubectl('explain', 'flunder.spec.reference'), /Another flunder, by its name\./);
    // Names that it does not know are refused in its words, before it is asked.
    assert.match(await cluster.kubectlFails('explain', 'flunder.spec.missing'), /field "missing" does not exist/);
  });

  test('watches are passed on event by event, to kubectl and to clients of this process', async () => {
    const watch = spawn('kubectl', ['--kubeconfig', cluster.kubeconfig, 'get', 'fl', '-w', '--output-watch-events'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let seen = '';
    watch.stdout.on('data', (data: Buffer) => (seen += data.toString()));
    try {
      await until('the first event', async () => seen.includes('one'));
      const stop = new AbortController();
      const events = cluster.client.watch(Flunder, { namespace: 'default', signal: stop.signal });
      const seenHere: string[] = [];
      const watched = (async () => {
        for await (const event of events) seenHere.push(event.type);
      })().catch(() => undefined);
      await until('the first event here', async () => seenHere.includes('ADDED'));
      await cluster.kubectl('delete', 'fl', 'one', '--wait=false');
      await until('the second event here', async () => seenHere.includes('DELETED'));
      stop.abort(new Error('seen'));
      await watched;
      await until('the second event', async () => /DELETED +one/.test(seen));
    } finally {
      watch.kill('SIGKILL');
    }
  });

  test('it learns who asks, and nobody but the front proxy can say so', async () => {
    const { name, groups, certificate, authorization } = await raw(`/apis/${groupVersion}/whoami`);
    assert.equal(certificate, 'front-proxy-client');
    assert.equal(authorization, null);
    assert.equal(name, 'system:apiserver');
    assert(groups.includes('system:masters'));
    const impersonated = JSON.parse(
      await cluster.kubectl(
        'get',
        '--raw',
        `/apis/${groupVersion}/whoami`,
        '--as=jerome',
        '--as-group=system:masters',
        '--as-group=a,b',
        '--as-uid=42',
      ),
    );
    assert.equal(impersonated.name, 'jerome');
    assert.equal(impersonated.uid, '42');
    assert(impersonated.groups.includes('a,b'), 'a group keeps its comma');
  });

  test('who may not, is refused before the other server is asked', async () => {
    const refused = await cluster.kubectlFails('get', 'fl', '--as', 'somebody');
    assert.match(
      refused,
      /flunders\.wardle\.example\.com is forbidden: User "somebody" cannot list resource "flunders"/,
    );
  });

  test('redirects lead nowhere', async () => {
    const refused = await cluster.client.raw(`/apis/${groupVersion}/elsewhere`).catch((error: Error) => error.message);
    assert.equal(refused, 'the backend attempted to redirect this request, which is not permitted');
  });

  test('an upgrade is a tunnel with 101 alone (CVE-2018-1002105)', async () => {
    const speak = async (path: string, then: string) => {
      const { hostname, port } = new URL(cluster.server);
      const { certPem, keyPem } = cluster.adminCert;
      const socket = connect({
        host: hostname,
        port: Number(port),
        cert: certPem,
        key: keyPem,
        rejectUnauthorized: false,
      });
      socket.write(
        `GET ${path} HTTP/1.1\r\nHost: x\r\nX-Remote-User: evil\r\nX-Remote-Group: system:masters\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`,
      );
      let said = '';
      let ended = false;
      socket.on('data', (data: Buffer) => (said += data.toString()));
      socket.on('close', () => (ended = true));
      socket.on('error', () => (ended = true));
      await until('an answer', async () => said.includes('\r\n\r\n'));
      if (!ended) socket.write(then);
      await until('an echo or the end', async () => ended || said.includes('again'));
      socket.destroy();
      return said;
    };
    const tunnelled = await speak(`/apis/${groupVersion}/echo`, 'again');
    assert.match(tunnelled, /^HTTP\/1\.1 101 /);
    // What a client says of itself in the front proxy's headers goes no further.
    assert.match(tunnelled, /hello kubernetes-admin\n/);
    const refused = await speak(
      `/apis/${groupVersion}/other`,
      'GET / HTTP/1.1\r\nHost: x\r\nX-Remote-User: again\r\n\r\n',
    );
    assert.match(refused, /^HTTP\/1\.1 403 /);
    assert(!refused.includes('Tunnelled'), 'nothing reaches the other server after it refused');
  });

  test('its part of OpenAPI v2 is merged, and nothing else of it', async () => {
    const swagger = await until('OpenAPI v2', async () => {
      const document = await raw('/openapi/v2');
      return document.definitions['com.example.wardle.Flunder'] && document;
    });
    assert(swagger.paths[`/apis/${groupVersion}/namespaces/{namespace}/flunders`]);
    assert.equal(swagger.paths['/apis/other.example.com/v1/others'], undefined);
    assert.equal(swagger.definitions['io.example.Unused'], undefined);
    assert(swagger.definitions['io.k8s.api.core.v1.Pod']);
  });

  test('every reason of unavailability is told in upstream words', async () => {
    await cluster.client.delete(EndpointSlice, 'wardle-1', { namespace: 'default' });
    assert.equal(
      await cluster.reasonIs('EndpointsNotFound'),
      'cannot find endpointslices for service/wardle in "default"',
    );
    const slice = (ready: boolean, name: string) => ({
      metadata: { name: 'wardle-2', namespace: 'default', labels: { 'kubernetes.io/service-name': 'wardle' } },
      addressType: 'IPv4' as const,
      endpoints: [{ addresses: ['192.0.2.1'], conditions: { ready } }],
      ports: [{ name, port: 443, protocol: 'TCP' as const }],
    });
    await cluster.client.create(EndpointSlice, slice(false, 'https'));
    assert.equal(
      await cluster.reasonIs('MissingEndpoints'),
      'endpointslices for service/wardle in "default" have no addresses with port name "https"',
    );
    const service = await cluster.client.get(Service, 'wardle', { namespace: 'default' });
    await cluster.client.update(Service, {
      ...service,
      spec: { ...service.spec, ports: [{ name: 'https', port: 8443, protocol: 'TCP' }] },
    });
    assert.equal(
      await cluster.reasonIs('ServicePortError'),
      'service/wardle in "default" is not listening on port 443',
    );
    await cluster.client.delete(Service, 'wardle', { namespace: 'default' });
    assert.equal(await cluster.reasonIs('ServiceNotFound'), 'service/wardle in "default" is not present');
    assert.match(
      await cluster.client.raw('/metrics'),
      /aggregator_unavailable_apiservice_total\{name="v1alpha1\.wardle\.example\.com",reason="EndpointsNotFound"\} 1/,
    );
  });

  test('with its object everything of it goes', async () => {
    await cluster.client.delete(APIService, apiServiceName);
    await until('its group has gone', async () => {
      const { groups } = await raw('/apis');
      return !groups.some((each: { name: string }) => each.name === group);
    });
    await until(
      'its OpenAPI has gone',
      async () => (await raw('/openapi/v3')).paths[`apis/${groupVersion}`] === undefined,
    );
    const text = await cluster.client.raw(`/apis/${groupVersion}`).catch((error: Error) => error.message);
    assert.match(text, /404|could not find/);
  });

  test('a server of old knows neither aggregated discovery nor OpenAPI v3, and is served all the same', async () => {
    await using old = await cluster.startExtension('legacy');
    await cluster.client.create(APIService, apiServiceOf(old.caPem));
    await cluster.reasonIs('Passed');
    const { items } = await until('discovery', async () => {
      const document = await raw('/apis', aggregated);
      const found = document.items.find((each: { metadata: { name: string } }) => each.metadata.name === group);
      return found?.versions[0].freshness === 'Current' && found.versions[0].resources.length > 0 && document;
    });
    const { versions } = items.find((each: { metadata: { name: string } }) => each.metadata.name === group);
    assert.equal(versions[0].resources[0].responseKind.kind, 'Flunder');
    await until('OpenAPI', async () => (await raw('/openapi/v3')).paths[`apis/${groupVersion}`] !== undefined);
    assert.match(await cluster.kubectl('explain', 'flunder.spec.reference'), /Another flunder, by its name\./);
  });
});
