import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { type BuiltImage, buildImage, buildImages, dockerArchive, ociArchive, pushImage } from '../../tools/images.ts';
import { type Registry, startRegistry } from '../../tools/registry.ts';
import { isRuntimeError } from '#runtime/runtime.ts';
import { cannotRunContainers } from './fixture.ts';
import { Images } from '#runtime/oci/images/images.ts';
import { parseRegistries, type Registries } from '#runtime/oci/images/registries.ts';

const skip = await cannotRunContainers();

describe('images', { skip: skip ?? false }, () => {
  let built: readonly BuiltImage[];
  let registry: Registry;
  const directories: string[] = [];

  before(async () => {
    built = await buildImages();
    registry = await startRegistry();
    for (const image of built) await pushImage(registry.host, image);
  });
  after(async () => {
    await registry[Symbol.asyncDispose]();
    for (const directory of directories) await rm(directory, { recursive: true, force: true });
  });

  const open = async (registries?: Registries, directory?: string) => {
    const at = directory ?? (await mkdtemp(join(tmpdir(), 'windlass-images-')));
    directories.push(at);
    return {
      images: await Images.open({ directory: at, clock: systemClock, log: silentLog, registries }),
      directory: at,
    };
  };
  const named = (name: string) => built.find(image => image.name === name) as BuiltImage;
  const digest = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

  it('pulls by tag and by digest, and knows the image by all its names', async () => {
    const { images } = await open();
    const web = named('web:v1');
    const name = `${registry.host}/web:v1`;
    const id = await images.pull({ image: name });
    assert.equal(id, digest(web.config));
    const status = await images.status({ image: name });
    assert.deepEqual(status?.repoTags, [name]);
    assert.deepEqual(status?.repoDigests, [`${registry.host}/web@${digest(web.manifest)}`]);
    assert.ok((status?.sizeBytes ?? 0) > 100_000);
    const byDigest = `${registry.host}/web@${digest(web.manifest)}`;
    assert.equal(await images.pull({ image: byDigest }), id);
    for (const image of [id, id.slice('sha256:'.length), byDigest])
      assert.equal((await images.status({ image }))?.id, id);
    assert.equal((await images.list()).length, 1);
    const resolved = await images.resolve({ image: name });
    const [top = ''] = resolved.snapshots;
    assert.equal(await readFile(join(images.snapshotDirectory(top), 'version'), 'utf8'), 'v1\n');
  });

  it('unpacks a layer that images share once, and fetches it once for pulls at the same time', async () => {
    const { images, directory } = await open();
    await Promise.all(
      ['web:v1', 'web:v2', 'client', 'busybox'].map(image => images.pull({ image: `${registry.host}/${image}` })),
    );
    const snapshots = await readdir(join(directory, 'snapshots'));
    // busybox, client's, web's common one, and a version each.
    assert.equal(snapshots.length, 5);
    assert.equal((await images.list()).length, 4);
  });

  it('collects what nothing needs any more', async () => {
    const { images, directory } = await open();
    for (const tag of ['v1', 'v2']) await images.pull({ image: `${registry.host}/web:${tag}` });
    const used = (await images.resolve({ image: `${registry.host}/web:v1` })).snapshots;
    images.keepSnapshots(() => new Set(used));
    await images.remove({ image: `${registry.host}/web:v1` });
    assert.equal((await readdir(join(directory, 'snapshots'))).length, 4, 'a container still stands on v1');
    images.keepSnapshots(() => new Set());
    await images.remove({ image: `${registry.host}/web:v2` });
    assert.deepEqual(await readdir(join(directory, 'snapshots')), []);
    assert.deepEqual(await readdir(join(directory, 'blobs', 'sha256')), []);
    assert.deepEqual(await images.list(), []);
    await images.remove({ image: 'never-there' });
  });

  it('remembers its images, and drops what a crash left half-done', async () => {
    const { images, directory } = await open();
    await images.pull({ image: `${registry.host}/web:v1` });
    await images[Symbol.asyncDispose]();
    await writeFile(join(directory, 'ingest', 'torn'), 'x');
    const again = await open(undefined, directory);
    assert.equal((await again.images.list()).length, 1);
    assert.deepEqual(await readdir(join(directory, 'ingest')), []);
    await again.images.resolve({ image: `${registry.host}/web:v1` });
  });

  it('moves a tag to the image that has it now', async () => {
    const { images } = await open();
    const moved = (content: string) => buildImage({ name: 'moved:latest', layers: [[{ path: 'file', content }]] });
    await pushImage(registry.host, await moved('one'));
    const first = await images.pull({ image: `${registry.host}/moved` });
    await pushImage(registry.host, await moved('two'));
    const second = await images.pull({ image: `${registry.host}/moved` });
    assert.notEqual(first, second);
    assert.deepEqual((await images.status({ image: first }))?.repoTags, []);
    assert.equal((await images.status({ image: `${registry.host}/moved` }))?.id, second);
  });

  it('loads docker archives and OCI layouts', async () => {
    for (const archive of [dockerArchive, ociArchive]) {
      const { images } = await open();
      const names = await images.load(Readable.from(archive([named('web:v1'), named('web:v2')])));
      assert.deepEqual(names.toSorted(), ['docker.io/library/web:v1', 'docker.io/library/web:v2']);
      const { config } = await images.resolve({ image: 'web:v2' });
      assert.deepEqual(config.cmd, ['/server']);
    }
    const { images } = await open();
    await assert.rejects(images.load(Readable.from([Buffer.alloc(2048)])), error =>
      isRuntimeError(error, 'InvalidArgument'),
    );
    await assert.rejects(images.load(Readable.from([Buffer.from('no archive at all'.repeat(100))])), error =>
      isRuntimeError(error, 'InvalidArgument'),
    );
  });

  it('uses a mirror of the registries file, and the registry itself when the mirror lacks the image', async () => {
    const asked: string[] = [];
    await using mirror = await serve((request, response) => {
      asked.push(request.url ?? '');
      response.writeHead(404).end();
    });
    const registries = parseRegistries(
      { mirrors: { 'docker.io': { endpoint: [`http://${mirror.host}`, `http://${registry.host}`] } } },
      () => '',
    );
    const { images } = await open(registries);
    await assert.rejects(images.pull({ image: 'web:v1' }), error => isRuntimeError(error));
    assert.deepEqual(asked.slice(0, 1), ['/v2/library/web/manifests/v1']);
    await pushImage(registry.host, { ...named('web:v1'), name: 'library/web:v1' });
    await images.pull({ image: 'web:v1' });
    assert.deepEqual((await images.status({ image: 'web:v1' }))?.repoTags, ['docker.io/library/web:v1']);
  });

  it('says that an image does not exist', async () => {
    const { images } = await open();
    await assert.rejects(
      images.pull({ image: `${registry.host}/nothing:v9` }),
      error =>
        isRuntimeError(error, 'NotFound') &&
        /failed to pull and unpack image .*nothing:v9.*not found/.test(error.message),
    );
    await assert.rejects(images.pull({ image: 'UPPER/case' }), error => isRuntimeError(error, 'InvalidArgument'));
    await assert.rejects(images.pull({ image: '127.0.0.1:1/x' }), error => isRuntimeError(error, 'Unavailable'));
  });

  it('chooses this machine’s entry of an index', async () => {
    const web = named('web:v1');
    const type = 'application/vnd.oci.image.index.v1+json';
    const entry = (architecture: string, bytes: Buffer) => ({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: digest(bytes),
      size: bytes.length,
      platform: { os: 'linux', architecture },
    });
    const own = process.arch === 'x64' ? 'amd64' : process.arch;
    const index = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: type,
        manifests: [entry('s390x', named('web:v2').manifest), entry(own, web.manifest)],
      }),
    );
    const put = await fetch(`http://${registry.host}/v2/web/manifests/multi`, {
      method: 'PUT',
      headers: { 'content-type': type },
      body: new Uint8Array(index),
    });
    assert.ok(put.ok, await put.text());
    const { images } = await open();
    const id = await images.pull({ image: `${registry.host}/web:multi` });
    assert.equal(id, digest(web.config));
    assert.deepEqual((await images.status({ image: id }))?.repoDigests, [`${registry.host}/web@${digest(index)}`]);
  });

  it('authenticates by Basic and by Bearer, and gives credentials to nobody else', async () => {
    const elsewhere: IncomingMessage['headers'][] = [];
    await using storage = await serve((request, response) => {
      elsewhere.push(request.headers);
      response.end(blobOf(named('web:v1'), request.url ?? ''));
    });
    const basic = `Basic ${Buffer.from('user:secret').toString('base64')}`;
    for (const scheme of ['basic', 'bearer']) {
      const seen: string[] = [];
      await using front = await serve((request, response) => {
        const { authorization = '' } = request.headers;
        seen.push(authorization);
        const path = request.url ?? '';
        if (path.startsWith('/token')) {
          if (authorization !== basic) return response.writeHead(401).end();
          return response.end(JSON.stringify({ token: 'the-token' }));
        }
        const challenge = `Bearer realm="http://${request.headers.host}/token",service="test",scope="repository:web:pull"`;
        const wanted = scheme === 'basic' ? basic : 'Bearer the-token';
        if (authorization !== wanted)
          return response
            .writeHead(401, { 'www-authenticate': scheme === 'basic' ? 'Basic realm="x"' : challenge })
            .end();
        if (path.includes('/manifests/')) return response.end(named('web:v1').manifest);
        return response.writeHead(307, { location: `http://${storage.host}${path}` }).end();
      });
      const { images } = await open();
      const image = `${front.host}/web:v1`;
      await assert.rejects(images.pull({ image }), error => isRuntimeError(error, 'Unauthenticated'));
      await images.pull({ image }, { username: 'user', password: 'secret' });
      assert.ok(seen.includes(basic));
    }
    assert.ok(elsewhere.length > 0);
    assert.ok(elsewhere.every(headers => headers.authorization === undefined));
  });

  it('keeps a pod’s pull secret from mirrors', async () => {
    const seen: (string | undefined)[] = [];
    await using mirror = await serve((request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(401, { 'www-authenticate': 'Basic realm="mirror"' }).end();
    });
    const registries = parseRegistries(
      { mirrors: { [registry.host]: { endpoint: [`http://${mirror.host}`] } } },
      () => '',
    );
    const { images } = await open(registries);
    await images.pull({ image: `${registry.host}/web:v1` }, { username: 'user', password: 'secret' });
    assert.deepEqual(seen, [undefined]);
  });

  it('refuses content that is not what was promised', async () => {
    const web = named('web:v1');
    const lies: Record<string, (path: string) => Buffer> = {
      'other bytes': path => Buffer.from(blobOf(web, path)).fill(0, 10, 20),
      'too few': path => blobOf(web, path).subarray(0, -1),
      'too many': path => Buffer.concat([blobOf(web, path), Buffer.from('x')]),
    };
    for (const [lie, answer] of Object.entries(lies)) {
      await using server = await serve((request, response) => {
        const path = request.url ?? '';
        if (path.includes('/manifests/')) return response.end(web.manifest);
        return response.end(path.includes(digest(web.config)) ? web.config : answer(path));
      });
      const { images, directory } = await open();
      await assert.rejects(images.pull({ image: `${server.host}/web:v1` }), /failed to verify/, lie);
      assert.deepEqual(await images.list(), []);
      assert.deepEqual(await readdir(join(directory, 'snapshots')), []);
      assert.deepEqual(await readdir(join(directory, 'ingest')), []);
    }
  });

  it('refuses a manifest that is both an index and a manifest, one too large, and one by another digest', async () => {
    const web = named('web:v1');
    const both = Buffer.from(JSON.stringify({ ...JSON.parse(web.manifest.toString()), manifests: [] }));
    for (const answer of [both, Buffer.alloc(5 * 1024 * 1024, ' ')]) {
      await using server = await serve((_, response) => response.end(answer));
      const { images } = await open();
      await assert.rejects(images.pull({ image: `${server.host}/web:v1` }), error => isRuntimeError(error));
      await assert.rejects(images.pull({ image: `${server.host}/web@${digest(web.manifest)}` }), error =>
        isRuntimeError(error),
      );
    }
  });

  it('stops when it is aborted, for itself only', async () => {
    const web = named('web:v1');
    const waiting: ServerResponse[] = [];
    await using server = await serve((request, response) => {
      const path = request.url ?? '';
      if (path.includes('/manifests/')) return response.end(web.manifest);
      if (path.includes(digest(web.config))) return response.end(web.config);
      return waiting.push(response);
    });
    const { images } = await open();
    const stop = new AbortController();
    const image = `${server.host}/web:v1`;
    const aborted = images.pull({ image }, undefined, stop.signal);
    const going = images.pull({ image });
    while (waiting.length < 3) await systemClock.sleep(5);
    stop.abort(new Error('no longer wanted'));
    await assert.rejects(aborted, /no longer wanted/);
    for (const response of waiting) response.end(blobOf(web, response.req.url ?? ''));
    assert.equal(await going, digest(web.config));
  });

  it('keeps blobs unreadable for others', async () => {
    const { images, directory } = await open();
    await images.pull({ image: `${registry.host}/web:v1` });
    assert.equal((await stat(join(directory, 'blobs', 'sha256'))).mode & 0o077, 0);
  });
});

function blobOf(image: BuiltImage, path: string): Buffer {
  const wanted = path.split('/').at(-1);
  const all = [image.config, ...image.layers.map(layer => layer.blob)];
  const found = all.find(bytes => `sha256:${createHash('sha256').update(bytes).digest('hex')}` === wanted);
  assert.ok(found, path);
  return found;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => unknown;

async function serve(handler: Handler): Promise<{ readonly host: string } & AsyncDisposable> {
  const server: Server = createServer(handler);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    host: `127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () =>
      new Promise(resolve => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
