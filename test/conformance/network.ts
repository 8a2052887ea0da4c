import type { Partly } from '#api/machinery/kind.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { Service } from '#api/core/v1/service.ts';
import type { Trial } from './conformance.ts';
import { schedulableNodes } from './nodes.ts';
import { execIn, nodeProgram, readyPod, type PodWish } from './pods.ts';
import type { Stored } from './waiting.ts';

export interface ServerWish {
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Where it answers over TCP and UDP; default 8080. */
  readonly ports?: readonly number[];
  readonly on?: string;
  readonly more?: PodWish;
}

/** A pod that answers HTTP and UDP with its name (and `/echo?X`, `/method`, `/client`, `/redirect`). */
export function server(
  t: Trial,
  { name = t.unique('server'), labels, ports = [8080], on, more = {} }: ServerWish = {},
): Promise<Stored<Pod>> {
  const { container, volumes } = nodeProgram(`
    import { createServer } from 'node:http';
    import { createSocket } from 'node:dgram';
    import { hostname } from 'node:os';
    const answer = (request, response) => {
      const { pathname, search } = new URL(request.url, 'http://x');
      const body = {
        '/echo': decodeURIComponent(search.slice(1)),
        '/method': request.method,
        '/client': request.socket.remoteAddress.replace('::ffff:', ''),
        '/url': request.url,
      }[pathname] ?? hostname();
      if (pathname === '/redirect') return response.writeHead(301, { location: '/elsewhere' }).end();
      response.setHeader('x-method', request.method);
      response.end(body);
    };
    for (const port of ${JSON.stringify(ports)}) {
      createServer(answer).listen(port, '::');
      const socket = createSocket({ type: 'udp6' });
      socket.on('message', (message, { address, port: from }) => socket.send(hostname(), from, address));
      socket.bind(port);
    }
    process.on('SIGTERM', () => process.exit(0));`);
  const readinessProbe = { tcpSocket: { port: ports[0] ?? 8080 }, periodSeconds: 1 };
  return readyPod(t, {
    name,
    ...(labels && { labels }),
    ...(on !== undefined && { nodeName: on }),
    ...more,
    ...(volumes && { volumes }),
    container: { ...container, readinessProbe, ...more.container },
  });
}

/** One server on each node. */
export async function servers(t: Trial, labels?: Readonly<Record<string, string>>): Promise<readonly Stored<Pod>[]> {
  const nodes = await schedulableNodes(t);
  return Promise.all(nodes.map(({ metadata }) => server(t, { on: metadata.name, ...(labels && { labels }) })));
}

/** What an address answers a pod, over HTTP; throws when it does not. */
export function fetchFrom(t: Trial, pod: string, url: string): Promise<string> {
  return execIn(t, pod, 'timeout', '5', 'wget', '-qO-', url);
}

/** A pod that `fetchFrom` and `datagramFrom` can ask from. */
export function asker(t: Trial, wish: PodWish = {}): Promise<Stored<Pod>> {
  const { container, volumes } = nodeProgram(
    'setInterval(() => {}, 1e9); process.on("SIGTERM", () => process.exit(0));',
  );
  return readyPod(t, { ...wish, ...(container && { container }), ...(volumes && { volumes }) });
}

/** What an address answers a pod to a datagram; empty when nothing comes. */
export function datagramFrom(t: Trial, pod: string, host: string, port: number): Promise<string> {
  const program = `
    const socket = require('node:dgram').createSocket('udp4');
    socket.on('message', message => { process.stdout.write(message); process.exit(); });
    socket.on('error', () => process.exit());
    socket.send('hello', ${port}, ${JSON.stringify(host)});
    setTimeout(() => process.exit(), 1500);`;
  return execIn(t, pod, '/node/node', '--eval', program);
}

/** Resolves when exactly these have answered, each at least once; of those others may have been there before. */
export async function answeredBy(t: Trial, expected: readonly string[], ask: () => Promise<string>): Promise<void> {
  await t.eventually(`${expected.join(', ')} answer`, async () => {
    const heard = new Set<string>();
    for (let attempt = 0; attempt < 12 * expected.length && heard.size < expected.length; attempt++)
      heard.add((await ask()).trim());
    return expected.length === heard.size && expected.every(each => heard.has(each));
  });
}

export async function unreachable(t: Trial, what: string, ask: () => Promise<string>): Promise<void> {
  await t.eventually(`${what} answers no more`, () =>
    ask().then(
      answer => answer.trim() === '',
      () => true,
    ),
  );
}

export function makeService(t: Trial, name: string, spec: Partly<NonNullable<Service['spec']>>): Promise<Service> {
  return t.client.create<Service>(Service, { metadata: { name }, spec } as Partly<Service>, { namespace: t.namespace });
}

export function changeService(t: Trial, name: string, spec: object): Promise<Service> {
  return t.client.patch(Service, name, { type: 'merge', patch: { spec } }, { namespace: t.namespace });
}

/** The InternalIP of each node. */
export async function nodeAddresses(t: Trial): Promise<readonly string[]> {
  return (await schedulableNodes(t)).map(internalAddress);
}

export async function addressOfNode(t: Trial, name: string): Promise<string> {
  return internalAddress(await t.client.get(Node, name));
}

function internalAddress({ status }: Node): string {
  return status?.addresses?.find(({ type }) => type === 'InternalIP')?.address ?? '';
}
