/**
 * An extension API server of its own, for the tests: `node extension-server.ts` with its settings as JSON in the
 * environment. It keeps flunders in memory and believes only what a front proxy says with the right certificate.
 */
import { createServer } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';

interface Settings {
  readonly host: string;
  /** 0, or absent: any free one, which is written to stdout. */
  readonly port?: number;
  readonly certPem: string;
  readonly keyPem: string;
  /** Who signs the certificates of front proxies. */
  readonly proxyCaPem: string;
  /** `modern`: aggregated discovery and OpenAPI v3; `legacy`: as servers of 2019. */
  readonly dialect: 'modern' | 'legacy';
}

interface Flunder {
  readonly apiVersion: string;
  readonly kind: 'Flunder';
  metadata: Record<string, unknown> & { name: string; namespace: string; resourceVersion: string };
  spec?: { reference?: string };
}

const settings = JSON.parse(process.env['EXTENSION_SERVER'] ?? '{}') as Settings;
const group = 'wardle.example.com';
const version = 'v1alpha1';
const groupVersion = `${group}/${version}`;
const flunders = new Map<string, Flunder>();
const watchers = new Set<(event: object) => void>();
let revision = 0;

const server = createServer(
  {
    cert: settings.certPem,
    key: settings.keyPem,
    ca: settings.proxyCaPem,
    requestCert: true,
    rejectUnauthorized: false,
  },
  (request, response) => {
    answer(request, response).catch((error: unknown) =>
      reply(response, 500, failure(500, 'InternalError', String(error))),
    );
  },
);
server.on('upgrade', (request: IncomingMessage, socket) => {
  const user = userOf(request);
  if (request.url?.startsWith(`/apis/${groupVersion}/echo`) && user) {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    socket.write(`hello ${user.name}\n`);
    socket.pipe(socket);
    return;
  }
  // Not 101, and the connection stays open: who believes in a tunnel now can send further requests as anybody.
  socket.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\n\r\nrefused');
  socket.on('data', (data: Buffer) =>
    socket.write(`HTTP/1.1 200 OK\r\nX-Tunnelled: ${data.length}\r\nContent-Length: 0\r\n\r\n`),
  );
});
server.listen(settings.port ?? 0, settings.host, () => {
  const { port } = server.address() as { port: number };
  process.stdout.write(`listening ${port}\n`);
});

function userOf(request: IncomingMessage) {
  const socket = request.socket as TLSSocket;
  if (!socket.authorized) return undefined;
  const name = request.headers['x-remote-user'];
  if (typeof name !== 'string') return undefined;
  const extra: Record<string, string> = {};
  for (const [key, value] of Object.entries(request.headers))
    if (key.startsWith('x-remote-extra-'))
      extra[decodeURIComponent(key.slice('x-remote-extra-'.length))] = String(value);
  return {
    name: Buffer.from(name, 'latin1').toString(),
    uid: request.headers['x-remote-uid'],
    groups: rawValues(request, 'x-remote-group'),
    extra,
    certificate: socket.getPeerCertificate().subject.CN,
  };
}

function rawValues({ rawHeaders }: IncomingMessage, name: string): string[] {
  return rawHeaders.filter((_value, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name);
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  // Kubelets ask without any certificate.
  if (request.url === '/readyz') return reply(response, 200, 'ok');
  const user = userOf(request);
  if (!user) return reply(response, 401, failure(401, 'Unauthorized', 'Unauthorized'));
  const url = new URL(request.url ?? '/', 'https://extension');
  const accept = String(request.headers.accept ?? '');
  const path = url.pathname.replace(/\/$/, '');
  switch (path) {
    case '/apis':
      if (settings.dialect === 'modern' && accept.includes('as=APIGroupDiscoveryList'))
        return reply(response, 200, discovery, 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList');
      return reply(response, 200, { kind: 'APIGroupList', apiVersion: 'v1', groups: [] });
    case `/apis/${groupVersion}`:
      return reply(response, 200, resourceList);
    case '/openapi/v2':
      if (request.headers['if-none-match'] === '"swagger"') return reply(response, 304, undefined);
      response.setHeader('etag', '"swagger"');
      return reply(response, 200, swagger);
    case '/openapi/v3':
      if (settings.dialect === 'legacy') return reply(response, 404, failure(404, 'NotFound', 'not found'));
      return reply(response, 200, {
        paths: { [`apis/${groupVersion}`]: { serverRelativeURL: `/openapi/v3/apis/${groupVersion}?hash=1` } },
      });
    case `/openapi/v3/apis/${groupVersion}`:
      return reply(response, 200, openApi3);
    case `/apis/${groupVersion}/whoami`:
      return reply(response, 200, { ...user, authorization: request.headers.authorization ?? null });
    case `/apis/${groupVersion}/elsewhere`:
      response.setHeader('location', 'https://10.0.0.1/secrets');
      return reply(response, 302, undefined);
  }
  const measured = metricsAt(path, url.searchParams);
  if (measured) return reply(response, 200, measured);
  return resource(request, response, url, accept);
}

/** What the metrics APIs say: three requests a pod, 40 on the Service, 25 and 15 in a queue outside. */
function metricsAt(path: string, query: URLSearchParams): object | undefined {
  const timestamp = new Date().toISOString();
  const custom = '/apis/custom.metrics.k8s.io/v1beta2';
  const list = (kind: string, items: readonly object[]) => ({ kind, apiVersion: 'v1', metadata: {}, items });
  if (path === custom || path === '/apis/external.metrics.k8s.io/v1beta1')
    return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: path.slice('/apis/'.length), resources: [] };
  if (path === `${custom}/namespaces/default/pods/*/requests` && query.get('labelSelector') === 'app=web')
    return list(
      'MetricValueList',
      ['web-1', 'web-2'].map(name => ({ describedObject: { kind: 'Pod', name }, timestamp, value: '3' })),
    );
  if (path === `${custom}/namespaces/default/services/web/hits` && query.get('metricLabelSelector') === 'verb=GET')
    return list('MetricValueList', [{ describedObject: { kind: 'Service', name: 'web' }, timestamp, value: '40' }]);
  if (path === '/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue')
    return list(
      'ExternalMetricValueList',
      ['25', '15000m'].map(value => ({ metricName: 'queue', metricLabels: {}, timestamp, value })),
    );
  return undefined;
}

async function resource(request: IncomingMessage, response: ServerResponse, url: URL, accept: string): Promise<void> {
  const found = new RegExp(`^/apis/${groupVersion}(?:/namespaces/([^/]+))?/flunders(?:/([^/]+))?$`).exec(url.pathname);
  if (!found) return reply(response, 404, failure(404, 'NotFound', 'the server could not find the requested resource'));
  const [, namespace = '', name] = found;
  const key = `${namespace}/${name}`;
  const present = flunders.get(key);
  if (request.method === 'GET' && name === undefined) {
    if (['1', 'true'].includes(url.searchParams.get('watch') ?? '')) return watch(response, namespace, accept);
    const items = [...flunders.values()].filter(each => namespace === '' || each.metadata.namespace === namespace);
    if (accept.includes('as=Table')) return reply(response, 200, table(items));
    return reply(response, 200, {
      kind: 'FlunderList',
      apiVersion: groupVersion,
      metadata: { resourceVersion: String(revision) },
      items,
    });
  }
  if (request.method === 'POST') {
    const flunder = JSON.parse(await textOf(request)) as Flunder;
    flunder.metadata = {
      ...flunder.metadata,
      namespace,
      uid: `00000000-0000-4000-8000-${String(++revision).padStart(12, '0')}`,
      creationTimestamp: '2026-01-01T00:00:00Z',
      resourceVersion: String(revision),
    };
    if (flunders.has(`${namespace}/${flunder.metadata.name}`))
      return reply(
        response,
        409,
        failure(409, 'AlreadyExists', `flunders.${group} "${flunder.metadata.name}" already exists`),
      );
    flunders.set(`${namespace}/${flunder.metadata.name}`, flunder);
    announce('ADDED', flunder);
    return reply(response, 201, flunder);
  }
  if (!present) return reply(response, 404, failure(404, 'NotFound', `flunders.${group} "${name}" not found`));
  if (request.method === 'DELETE') {
    flunders.delete(key);
    announce('DELETED', present);
    return reply(response, 200, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' });
  }
  if (accept.includes('as=Table')) return reply(response, 200, table([present]));
  return reply(response, 200, present);
}

function watch(response: ServerResponse, namespace: string, accept: string): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.flushHeaders();
  const push = (event: object) => {
    const { type, object } = event as { type: string; object: Flunder };
    if (namespace !== '' && object.metadata.namespace !== namespace) return;
    response.write(`${JSON.stringify({ type, object: accept.includes('as=Table') ? table([object]) : object })}\n`);
  };
  for (const each of flunders.values()) push({ type: 'ADDED', object: each });
  watchers.add(push);
  response.on('close', () => watchers.delete(push));
}

function announce(type: string, object: Flunder): void {
  for (const push of watchers) push({ type, object });
}

function table(items: readonly Flunder[]): object {
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: { resourceVersion: String(revision) },
    columnDefinitions: [
      { name: 'Name', type: 'string', format: 'name', description: '', priority: 0 },
      { name: 'Reference', type: 'string', format: '', description: '', priority: 0 },
    ],
    rows: items.map(each => ({
      cells: [each.metadata.name, each.spec?.reference ?? ''],
      object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: each.metadata },
    })),
  };
}

function failure(code: number, reason: string, message: string): object {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code };
}

function reply(response: ServerResponse, code: number, body: unknown, type = 'application/json'): void {
  const text = body === undefined ? '' : JSON.stringify(body);
  response.writeHead(code, { 'content-type': type });
  response.end(text);
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

const verbs = ['create', 'delete', 'get', 'list', 'watch'];
const gvk = { group, version, kind: 'Flunder' };
const resourceList = {
  kind: 'APIResourceList',
  apiVersion: 'v1',
  groupVersion,
  resources: [
    { name: 'flunders', singularName: 'flunder', namespaced: true, kind: 'Flunder', verbs, shortNames: ['fl'] },
  ],
};
const discovery = {
  kind: 'APIGroupDiscoveryList',
  apiVersion: 'apidiscovery.k8s.io/v2',
  metadata: {},
  items: [
    {
      metadata: { name: group },
      versions: [
        {
          version,
          freshness: 'Current',
          resources: [
            {
              resource: 'flunders',
              responseKind: gvk,
              scope: 'Namespaced',
              singularResource: 'flunder',
              verbs,
              shortNames: ['fl'],
            },
          ],
        },
      ],
    },
  ],
};
const definition = (prefix: string, combine: boolean) => ({
  type: 'object',
  description: 'Flunder is a thing that this server keeps.',
  properties: {
    apiVersion: { type: 'string', description: 'The version.' },
    kind: { type: 'string', description: 'The kind.' },
    metadata: combine ? { allOf: [{ $ref: `${prefix}io.example.Meta` }] } : { $ref: `${prefix}io.example.Meta` },
    spec: {
      type: 'object',
      description: 'What a flunder is to be.',
      properties: { reference: { type: 'string', description: 'Another flunder, by its name.' } },
    },
  },
  'x-kubernetes-group-version-kind': [gvk],
});
const meta = {
  type: 'object',
  description: 'What a flunder is called.',
  properties: { name: { type: 'string' }, namespace: { type: 'string' } },
};
const path = `/apis/${groupVersion}/namespaces/{namespace}/flunders`;
const swagger = {
  swagger: '2.0',
  info: { title: 'wardle', version: 'v0' },
  paths: {
    [path]: {
      parameters: [{ name: 'namespace', in: 'path', type: 'string', required: true, uniqueItems: true }],
      post: {
        consumes: ['application/json'],
        produces: ['application/json'],
        parameters: [
          { name: 'body', in: 'body', required: true, schema: { $ref: '#/definitions/com.example.wardle.Flunder' } },
        ],
        responses: { 201: { description: 'Created', schema: { $ref: '#/definitions/com.example.wardle.Flunder' } } },
        'x-kubernetes-action': 'post',
        'x-kubernetes-group-version-kind': gvk,
      },
    },
    '/apis/other.example.com/v1/others': { get: { responses: {} } },
  },
  definitions: {
    'com.example.wardle.Flunder': definition('#/definitions/', false),
    'io.example.Meta': meta,
    'io.example.Unused': { type: 'object' },
  },
};
const openApi3 = {
  openapi: '3.0.0',
  info: { title: 'wardle', version: 'v0' },
  paths: {
    [path]: {
      post: {
        requestBody: {
          content: { 'application/json': { schema: { $ref: '#/components/schemas/com.example.wardle.Flunder' } } },
        },
        responses: { 201: { description: 'Created' } },
        'x-kubernetes-action': 'post',
        'x-kubernetes-group-version-kind': gvk,
      },
    },
  },
  components: {
    schemas: {
      'com.example.wardle.Flunder': definition('#/components/schemas/', true),
      'io.example.Meta': meta,
    },
  },
};
