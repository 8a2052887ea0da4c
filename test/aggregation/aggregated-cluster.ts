import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { APIService } from '#api/apiregistration/v1/api-service.ts';
import { Service } from '#api/core/v1/service.ts';
import { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { newKeyPem } from '#auth/certificates/certificate.ts';
import { issue, issueAuthority } from '#auth/certificates/issue.ts';
import { kubeconfigFor } from '#auth/certificates/kubeconfig.ts';
import { systemClock } from '#base/clock.ts';
import { Lifetime } from '#base/lifetime.ts';
import { silentLog } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import type { Client } from '#client/client.ts';
import { startControlPlane, type ControlPlane } from '#cluster/control-plane.ts';
import { startNodes } from '#cluster/start-cluster.ts';
import { machineAddress } from '#cluster/nodes.ts';
import { openMemoryStorage } from '#storage/memory/memory-storage.ts';

const run = promisify(execFile);
const issuing = { clock: systemClock, random: systemRandom };
const validForMs = 3_600_000;

export const group = 'wardle.example.com';
export const version = 'v1alpha1';
export const apiServiceName = `${version}.${group}`;

/** A control plane in this process with a certificate as front proxy, and extension API servers beside it. */
export interface AggregatedCluster extends AsyncDisposable {
  readonly plane: ControlPlane;
  readonly client: Client;
  readonly server: string;
  readonly adminCert: { readonly certPem: string; readonly keyPem: string };
  kubectl(...args: readonly string[]): Promise<string>;
  kubectlFails(...args: readonly string[]): Promise<string>;
  kubeconfig: string;
  /** Starts the extension API server as a process of its own, behind the Service `default/wardle`. */
  startExtension(dialect: 'modern' | 'legacy'): Promise<Extension>;
  /** Resolves when the APIService has this reason. */
  reasonIs(reason: string, name?: string): Promise<string>;
}

export interface Extension extends AsyncDisposable {
  readonly caPem: string;
  readonly port: number;
}

export async function startAggregatedCluster(
  options: { readonly hollowNodes?: number } = {},
): Promise<AggregatedCluster> {
  const lifetime = new Lifetime();
  const [authority, proxyAuthority, extensionAuthority] = await Promise.all(
    ['kubernetes', 'front-proxy-ca', 'extension-ca'].map(commonName =>
      issueAuthority({ commonName, validForMs }, issuing),
    ),
  );
  assert(authority && proxyAuthority && extensionAuthority);
  const [serving, admin, frontProxyClient] = await Promise.all([
    issue(authority, { commonName: 'kube-apiserver', ips: ['127.0.0.1'], usages: ['server'], validForMs }, issuing),
    issue(
      authority,
      { commonName: 'kubernetes-admin', organizations: ['system:masters'], usages: ['client'], validForMs },
      issuing,
    ),
    issue(proxyAuthority, { commonName: 'front-proxy-client', usages: ['client'], validForMs }, issuing),
  ]);
  const plane = await startControlPlane({
    storage: lifetime.own(openMemoryStorage()),
    credentials: {
      caCertPem: authority.certPem,
      caKeyPem: authority.keyPem,
      serviceAccountKeyPem: newKeyPem(),
      frontProxyClient,
    },
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    podCIDR: '10.244.0.0/16',
    serviceCIDR: '10.96.0.0/16',
    serviceIP: '10.96.0.1',
    clusterDomain: 'cluster.local',
    advertise: undefined,
  });
  lifetime.own(plane);
  const { port } = await plane.apiServer.listen({
    host: '127.0.0.1',
    port: 0,
    tls: { ...serving, clientCaPem: authority.certPem },
  });
  const { hollowNodes = 0 } = options;
  if (hollowNodes > 0) {
    await plane.startActing();
    lifetime.own(await startNodes(plane, hollowNodes, { clock: systemClock, random: systemRandom, log: silentLog }));
  }
  const directory = mkdtempSync(join(tmpdir(), 'windlass-aggregation-'));
  lifetime.defer(() => rmSync(directory, { recursive: true, force: true }));
  const kubeconfig = join(directory, 'kubeconfig');
  const server = `https://127.0.0.1:${port}`;
  writeFileSync(kubeconfig, kubeconfigFor({ server, caPem: authority.certPem, ...admin, name: 'test' }));
  const { client } = plane;
  const kubectl = async (...args: readonly string[]) => {
    const { stdout } = await run('kubectl', [
      '--kubeconfig',
      kubeconfig,
      '--cache-dir',
      join(directory, 'cache'),
      ...args,
    ]);
    return stdout;
  };
  return {
    plane,
    client,
    server,
    adminCert: admin,
    kubeconfig,
    kubectl,
    async kubectlFails(...args) {
      try {
        await kubectl(...args);
      } catch (error) {
        return (error as { stderr: string }).stderr;
      }
      throw new Error(`kubectl ${args.join(' ')} was to fail`);
    },
    startExtension: dialect => startExtension(client, dialect, extensionAuthority, proxyAuthority.certPem),
    async reasonIs(reason, name = apiServiceName) {
      const abort = new AbortController();
      const late = systemClock.after(20_000, () => abort.abort(new Error(`${name} did not become ${reason}`)));
      try {
        for await (const event of client.watch(APIService, {
          fieldSelector: `metadata.name=${name}`,
          sendInitialEvents: true,
          allowWatchBookmarks: true,
          signal: abort.signal,
        })) {
          if (event.type === 'BOOKMARK') continue;
          const found = event.object.status.conditions?.find(each => each.type === 'Available');
          if (found?.reason === reason) return found.message ?? '';
        }
      } finally {
        late();
        abort.abort(new Error('seen'));
      }
      throw new Error(`${name} did not become ${reason}`);
    },
    [Symbol.asyncDispose]: () => lifetime[Symbol.asyncDispose](),
  };
}

async function startExtension(
  client: Client,
  dialect: 'modern' | 'legacy',
  authority: { readonly certPem: string; readonly keyPem: string },
  proxyCaPem: string,
): Promise<Extension> {
  const host = machineAddress();
  const serving = await issue(
    authority,
    { commonName: 'wardle', hosts: ['wardle.default.svc'], usages: ['server'], validForMs },
    issuing,
  );
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'extension-server.ts')],
    {
      env: { ...process.env, EXTENSION_SERVER: JSON.stringify({ host, ...serving, proxyCaPem, dialect }) },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const port = Number(/listening (\d+)/.exec(line.toString())?.[1]);
  assert(port > 0);
  const slice = {
    metadata: { name: 'wardle-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'wardle' } },
    addressType: 'IPv4' as const,
    endpoints: [{ addresses: [host] }],
    ports: [{ name: 'https', port, protocol: 'TCP' as const }],
  };
  const service = {
    metadata: { name: 'wardle', namespace: 'default' },
    spec: { ports: [{ name: 'https', port: 443 }] },
  };
  await client.patch(
    Service,
    'wardle',
    { type: 'apply', object: { apiVersion: 'v1', kind: 'Service', ...service } },
    how,
  );
  await client.patch(
    EndpointSlice,
    'wardle-1',
    { type: 'apply', object: { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', ...slice } },
    how,
  );
  return {
    caPem: authority.certPem,
    port,
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

const how = { namespace: 'default', fieldManager: 'test', force: true };

/** The APIService of the extension API server. */
export function apiServiceOf(caPem: string | undefined) {
  return {
    metadata: { name: apiServiceName },
    spec: {
      group,
      version,
      groupPriorityMinimum: 2000,
      versionPriority: 15,
      service: { namespace: 'default', name: 'wardle', port: 443 },
      ...(caPem !== undefined && { caBundle: Buffer.from(caPem).toString('base64') }),
    },
  };
}
