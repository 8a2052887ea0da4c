import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '#base/clock.ts';
import { systemRandom } from '#base/random.ts';
import { issue, issueAuthority } from '#auth/certificates/issue.ts';
import { startScenarioCluster, type ScenarioCluster } from '../scenarios/cluster.ts';
import { eventually } from '../scenarios/eventually.ts';
import { startBackend, type Backend } from './backends.ts';
import { ask, type Request } from './requests.ts';

export const infra = 'gateway-conformance-infra';
export const gatewayApi = 'gateway.networking.k8s.io/v1';

/** A request and who answers it: the name of a backend, or a status. */
export type Case = readonly [request: string | Request, answer: string | number];

export interface GatewayCluster extends AsyncDisposable {
  readonly cluster: ScenarioCluster;
  readonly backends: ReadonlyMap<string, Backend>;
  readonly authority: { readonly certPem: string; readonly keyPem: string };
  /** A certificate for names, by the cluster's own authority. */
  certificate(...hosts: readonly string[]): Promise<{ readonly certPem: string; readonly keyPem: string }>;
  apply(...objects: readonly object[]): Promise<void>;
  remove(...objects: readonly object[]): Promise<void>;
  /** The address of a Gateway that is programmed as it is now. */
  addressOf(gateway: string, namespace?: string): Promise<string>;
  /** Waits until each request gets its answer. */
  expect(address: string, cases: readonly Case[]): Promise<void>;
  /** Waits until an object has conditions: `Accepted=True/Reason`. For routes: of their only parent. */
  conditions(kind: string, name: string, wanted: readonly string[], namespace?: string, index?: number): Promise<void>;
}

const yearMs = 365 * 24 * 3_600_000;

/** A cluster that serves Ingresses and Gateways, with backends of this process. */
export async function startGatewayCluster(...flags: readonly string[]): Promise<GatewayCluster> {
  const issuing = { clock: systemClock, random: systemRandom };
  const authority = await issueAuthority({ commonName: 'gateway test', validForMs: yearMs }, issuing);
  const certificate = (...hosts: readonly string[]) =>
    issue(authority, { commonName: hosts[0] ?? '', hosts, usages: ['server', 'client'], validForMs: yearMs }, issuing);
  const pair = await certificate('abc.example.com', '*.example.com');
  const names = [
    ...['v1', 'v2', 'v3'].flatMap(version => [`infra-backend-${version}`, `grpc-infra-backend-${version}`]),
    'tls-backend',
    'tcp-backend',
    'app-backend-v1',
    'app-backend-v2',
    'web-backend',
  ];
  const backends = new Map<string, Backend>();
  for (const name of names) backends.set(name, await startBackend(name, pair));
  const cluster = await startScenarioCluster(
    '--gateway',
    '--ingress',
    '--load-balancer-pool',
    '198.18.77.0/24',
    ...flags,
  );
  const podCidr = await cluster.kubectl('get', 'nodes', '--output=jsonpath={.items[0].spec.podCIDR}');
  const machine = podCidr.replace(/\d+\/\d+$/, '1');
  const apply = (...objects: readonly object[]) => cluster.apply(...objects);
  const statusOf = async (kind: string, name: string, namespace: string) =>
    cluster.get<{ readonly metadata: { readonly generation: number }; readonly status?: Status }>(
      kind,
      name,
      ...(kind === 'gatewayclass' ? [] : [`--namespace=${namespace}`]),
    );
  await apply(
    ...[infra, 'gateway-conformance-app-backend', 'gateway-conformance-web-backend'].map(namespace),
    ...names.flatMap(name => serviceFor(backends.get(name) as Backend, machine)),
  );
  return {
    cluster,
    backends,
    authority,
    certificate,
    apply,
    async remove(...objects) {
      const file = join(cluster.dataDir, `removed-${files++}.json`);
      writeFileSync(file, objects.map(each => JSON.stringify(each)).join('\n'));
      await cluster.kubectl('delete', '--wait=false', '--ignore-not-found', '--filename', file);
      rmSync(file);
    },
    addressOf: (gateway, of = infra) =>
      eventually(`the Gateway ${gateway} has an address`, async () => {
        const { metadata, status } = await statusOf('gateway', gateway, of);
        const programmed = status?.conditions?.find(each => each.type === 'Programmed');
        if (programmed?.status !== 'True' || programmed.observedGeneration !== metadata.generation) return undefined;
        return status?.addresses?.[0]?.value;
      }),
    async expect(address, cases) {
      for (const [given, answer] of cases) {
        const request = typeof given === 'string' ? parsed(given) : given;
        let last: unknown;
        await eventually(
          `${JSON.stringify(request)} gets ${answer}`,
          async () => {
            const got = await ask(address, request);
            last = got.echo?.backend ?? got.status;
            return last === answer;
          },
          15_000,
        ).catch((error: unknown) => {
          assert.equal(last, answer, `${JSON.stringify(request)}: ${String(error)}`);
        });
      }
    },
    async conditions(kind, name, wanted, of = infra, index = 0) {
      let last: readonly string[] = [];
      await eventually(
        `${kind} ${name} has ${wanted.join(', ')}`,
        async () => {
          const { metadata, status } = await statusOf(kind, name, of);
          const found =
            status?.parents?.[index]?.conditions ?? status?.ancestors?.[index]?.conditions ?? status?.conditions ?? [];
          last = found
            .filter(each => each.observedGeneration === metadata.generation)
            .map(each => `${each.type}=${each.status}/${each.reason}`);
          return wanted.every(each => last.some(own => own === each || own.startsWith(`${each}/`)));
        },
        15_000,
      ).catch(() => assert.deepEqual(last, wanted, `${kind} ${name}`));
    },
    async [Symbol.asyncDispose]() {
      try {
        await cluster[Symbol.asyncDispose]();
      } finally {
        for (const backend of backends.values()) await backend[Symbol.asyncDispose]();
      }
    },
  };
}

interface Status {
  readonly addresses?: readonly { readonly value: string }[];
  readonly conditions?: readonly StatusCondition[];
  readonly parents?: readonly { readonly conditions: readonly StatusCondition[] }[];
  readonly ancestors?: readonly { readonly conditions: readonly StatusCondition[] }[];
}

interface StatusCondition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly observedGeneration: number;
}

let files = 0;

/** `host/path?query`, or only the path. */
function parsed(text: string): Request {
  const slash = text.indexOf('/');
  return slash <= 0 ? { path: text } : { host: text.slice(0, slash), path: text.slice(slash) };
}

function namespace(name: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels: { 'gateway-conformance': name.split('-')[2] === 'infra' ? 'infra' : 'backend' } },
  };
}

/** Services of every backend: 8080 HTTP (gRPC for those that are named so), 8081 HTTP/2, 8082 WebSocket, 443 TLS. */
function serviceFor({ name, ports }: Backend, machine: string): readonly object[] {
  const of = name.startsWith('app-')
    ? 'gateway-conformance-app-backend'
    : name.startsWith('web-')
      ? 'gateway-conformance-web-backend'
      : infra;
  const main = name.startsWith('grpc-') ? ports.h2c : ports.http;
  const list = [
    { name: 'main', port: 8080, to: main },
    { name: 'h2c', port: 8081, to: ports.h2c, appProtocol: 'kubernetes.io/h2c' },
    { name: 'ws', port: 8082, to: ports.http, appProtocol: 'kubernetes.io/ws' },
    { name: 'tls', port: 443, to: ports.tls },
  ];
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: of },
      spec: { ports: list.map(({ to: _, ...port }) => port) },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name, namespace: of, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      endpoints: [{ addresses: [machine] }],
      ports: list.map(({ name: port, to }) => ({ name: port, port: to })),
    },
  ];
}

export function secret(name: string, pair: { readonly certPem: string; readonly keyPem: string }, of = infra): object {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/tls',
    metadata: { name, namespace: of },
    stringData: { 'tls.crt': pair.certPem, 'tls.key': pair.keyPem },
  };
}

export function gateway(name: string, listeners: readonly object[], more: object = {}, of = infra): object {
  return {
    apiVersion: gatewayApi,
    kind: 'Gateway',
    metadata: { name, namespace: of },
    spec: { gatewayClassName: 'windlass', listeners, ...more },
  };
}

export function http(name = 'http', more: object = {}): object {
  return { name, port: 80, protocol: 'HTTP', ...more };
}

export function from(what: string | object): object {
  const namespaces = typeof what === 'string' ? { from: what } : { from: 'Selector', selector: { matchLabels: what } };
  return { allowedRoutes: { namespaces } };
}

export interface RouteWish {
  readonly kind?: 'HTTPRoute' | 'GRPCRoute' | 'TLSRoute';
  readonly namespace?: string;
  readonly hostnames?: readonly string[];
  readonly parents?: readonly object[];
}

export function route(name: string, parent: string, rules: readonly object[], wish: RouteWish = {}): object {
  const { kind = 'HTTPRoute', namespace: of = infra, hostnames, parents } = wish;
  return {
    apiVersion: gatewayApi,
    kind,
    metadata: { name, namespace: of },
    spec: {
      parentRefs: parents ?? [{ name: parent, ...(of !== infra && { namespace: infra }) }],
      ...(hostnames && { hostnames }),
      rules,
    },
  };
}

/** `v1` → `infra-backend-v1` at 8080. */
export function to(name: string, more: object = {}): object {
  return { name: /^v\d$/.test(name) ? `infra-backend-${name}` : name, port: 8080, ...more };
}

export function prefix(value: string, more: object = {}): object {
  return { path: { type: 'PathPrefix', value }, ...more };
}

export function exact(value: string): object {
  return { path: { type: 'Exact', value } };
}

export function rule(backend: string | undefined, matches: readonly object[] = [], more: object = {}): object {
  return {
    ...(matches.length > 0 && { matches }),
    ...(backend !== undefined && { backendRefs: [to(backend)] }),
    ...more,
  };
}
