import { createServer, request, type IncomingMessage, type Server } from 'node:http';
import { chmodSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import type { Image, ImageLoader, ImageService } from '#runtime/runtime.ts';
import type { DataDir } from './data-dir.ts';

/** The images of a running node agent, for the command line of the same machine. Only the agent's own user may connect. */
export interface ImageSocket extends AsyncDisposable {}

/** Runtimes that speak CRI have no way to take an archive. */
export type NodeImages = ImageService & Partial<ImageLoader>;

/** Of the agent of a node with a number, or of the first agent. */
export function imageSocketPath(dir: DataDir, number?: number): string {
  return join(dir.run, number === undefined ? 'images.sock' : `images-${number}.sock`);
}

/** Of all agents of this machine, the first one's first. */
export function imageSocketPaths(dir: DataDir): readonly string[] {
  const sockets = readdirSync(dir.run).filter(name => /^images-\d+\.sock$/.test(name));
  return [imageSocketPath(dir), ...sockets.map(name => join(dir.run, name))];
}

/** Serves `POST /load` (an archive), `GET /` , `POST /pull?name=`, `DELETE /?name=`; errors are sentences with 400. */
export async function serveImages(path: string, stores: readonly NodeImages[]): Promise<ImageSocket> {
  rmSync(path, { force: true });
  const server = createServer((incoming, outgoing) => {
    answer(incoming, stores).then(
      value => outgoing.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value)),
      (error: unknown) =>
        outgoing
          .writeHead(400, { 'content-type': 'text/plain' })
          .end(error instanceof Error ? error.message : String(error)),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve());
  });
  chmodSync(path, 0o600);
  return {
    async [Symbol.asyncDispose]() {
      await closed(server);
      rmSync(path, { force: true });
    },
  };
}

async function answer(incoming: IncomingMessage, stores: readonly NodeImages[]): Promise<unknown> {
  const url = new URL(incoming.url ?? '/', 'http://socket');
  const name = url.searchParams.get('name') ?? '';
  const [first] = stores;
  if (!first) throw new Error('cannot reach images: this machine has no node');
  switch (`${incoming.method} ${url.pathname}`) {
    case 'GET /':
      return first.listImages();
    case 'POST /load':
      return loadInto(stores, incoming);
    case 'POST /pull':
      await Promise.all(stores.map(store => store.pullImage({ image: name })));
      return first.imageStatus({ image: name });
    case 'DELETE /':
      if ((await first.imageStatus({ image: name })) === undefined)
        throw new Error(`cannot remove image ${name}: it is not here`);
      await Promise.all(stores.map(store => store.removeImage({ image: name })));
      return {};
    default:
      throw new Error(`cannot serve ${incoming.method} ${url.pathname}`);
  }
}

/** One archive into several stores: each reads at its own pace, the slowest sets the pace. */
async function loadInto(stores: readonly NodeImages[], archive: Readable): Promise<readonly string[]> {
  const names = await Promise.all(
    stores.map(store => {
      if (!store.loadImage)
        throw new Error(
          'cannot load images into a runtime that speaks CRI: import them with its own tool (ctr -n k8s.io images import)',
        );
      return store.loadImage(archive.pipe(new PassThrough()));
    }),
  );
  return names[0] ?? [];
}

/** The other end, for the command line. */
export interface ImageSocketClient {
  list(): Promise<readonly Image[]>;
  load(archive: Readable): Promise<readonly string[]>;
  pull(name: string): Promise<Image>;
  remove(name: string): Promise<void>;
}

/** What changes images changes them on all nodes; the first tells what there is. */
export function imageSocketClient([first, ...others]: readonly string[]): ImageSocketClient {
  if (first === undefined) throw new Error('cannot reach images: no node runs on this machine');
  const one = clientAt(first);
  if (others.length === 0) return one;
  const all = [one, ...others.map(clientAt)];
  return {
    list: () => one.list(),
    async load(archive) {
      const [names] = await Promise.all(all.map(each => each.load(archive.pipe(new PassThrough()))));
      return names ?? [];
    },
    async pull(name) {
      const [pulled] = await Promise.all(all.map(each => each.pull(name)));
      return pulled as Image;
    },
    async remove(name) {
      await one.remove(name);
      // A node that has started later may never have had it.
      await Promise.all(all.slice(1).map(each => each.remove(name).catch(ignoreAbsent)));
    },
  };
}

function ignoreAbsent(error: unknown): void {
  if (!(error instanceof Error && error.message.includes('it is not here'))) throw error;
}

function clientAt(path: string): ImageSocketClient {
  const call = (method: string, target: string, body?: Readable) =>
    new Promise<unknown>((resolve, reject) => {
      const outgoing = request({ socketPath: path, method, path: target }, incoming => {
        let text = '';
        incoming.setEncoding('utf8');
        incoming.on('data', (chunk: string) => (text += chunk));
        incoming.on('end', () => (incoming.statusCode === 200 ? resolve(JSON.parse(text)) : reject(new Error(text))));
        incoming.on('error', reject);
      });
      outgoing.on('error', reject);
      if (!body) return outgoing.end();
      body.on('error', error => outgoing.destroy(error));
      return body.pipe(outgoing);
    });
  const named = (name: string) => `?name=${encodeURIComponent(name)}`;
  return {
    list: () => call('GET', '/') as Promise<readonly Image[]>,
    load: archive => call('POST', '/load', archive) as Promise<readonly string[]>,
    pull: name => call('POST', `/pull${named(name)}`) as Promise<Image>,
    remove: async name => {
      await call('DELETE', `/${named(name)}`);
    },
  };
}

function closed(server: Server): Promise<void> {
  return new Promise(resolve => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
