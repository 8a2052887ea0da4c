import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readdir, readFile, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';

/**
 * Small OCI images for tests and for the tour, made from Debian's static busybox, so that no public registry is needed:
 * `busybox`, `client` (a shell with wget, nc and nslookup), `entrypoint` (tells its arguments) and `web` in two versions
 * (answers its version and host name).
 * Debian's busybox crashes on `wget -T`; `timeout 5 wget …` does the same.
 *
 *     tools/images.ts --archive FILE      a docker archive for `windlass image load`
 *     tools/images.ts --push HOST:PORT    into a registry without TLS
 */
export interface BuiltImage {
  /** `web:v1` */
  readonly name: string;
  readonly config: Buffer;
  readonly layers: readonly BuiltLayer[];
  readonly manifest: Buffer;
}

interface BuiltLayer {
  readonly diffId: string;
  /** The gzipped tar. */
  readonly blob: Buffer;
  readonly digest: string;
  readonly tar: Buffer;
}

export interface ImageRecipe {
  readonly name: string;
  readonly layers: readonly (readonly LayerFile[])[];
  readonly entrypoint?: readonly string[];
  readonly cmd?: readonly string[];
  readonly env?: readonly string[];
  readonly user?: string;
  readonly workingDir?: string;
  readonly stopSignal?: string;
}

/** A file (with content), a link (with a target), or a directory. */
export interface LayerFile {
  readonly path: string;
  readonly content?: string | Buffer;
  readonly link?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly pax?: Readonly<Record<string, string>>;
}

/** All images of the project's own recipes. */
export async function buildImages(): Promise<readonly BuiltImage[]> {
  const base = await busyboxLayer();
  const recipes: ImageRecipe[] = [
    { name: 'busybox:latest', layers: [base], cmd: ['sh'] },
    { name: 'client:latest', layers: [base, clientLayer], cmd: ['sh', '-c', waitForever] },
    {
      name: 'entrypoint:latest',
      layers: [base, ['entrypoint', 'entrypoint-2'].map(path => ({ path, mode: 0o755, content: tellingScript }))],
      entrypoint: ['/entrypoint'],
      cmd: ['default', 'arguments'],
    },
    ...['v1', 'v2'].map(version => ({
      name: `web:${version}`,
      layers: [base, webLayer, [{ path: 'version', content: `${version}\n` }]],
      cmd: ['/server'],
      env: [`VERSION=${version}`, 'PORT=80'],
    })),
  ];
  return Promise.all(recipes.map(buildImage));
}

/** PID 1 hears no signal that it has no handler for. */
const waitForever = "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done";

/** Tells what it was started with. */
const tellingScript = '#!/bin/sh\necho "[$0${*:+ $*}]"\n';

const clientLayer: readonly LayerFile[] = [
  { path: 'etc/motd', content: 'A shell in a pod: try wget, nslookup, nc, ping.\n' },
];

const webLayer: readonly LayerFile[] = [
  { path: 'www', mode: 0o755 },
  { path: 'www/healthz', content: 'ok\n' },
  { path: 'www/cgi-bin', mode: 0o755 },
  {
    // busybox httpd runs it for `/`.
    path: 'www/cgi-bin/index.cgi',
    mode: 0o755,
    content: [
      '#!/bin/sh',
      'printf "Content-Type: text/plain\\r\\n\\r\\n"',
      'echo "web $(cat /version) $(hostname)"',
      '',
    ].join('\n'),
  },
  {
    path: 'server',
    mode: 0o755,
    content: [
      '#!/bin/sh',
      '# Ends DRAIN_SECONDS after SIGTERM, so that requests under way are answered.',
      'httpd -f -v -p "${PORT:-80}" -h /www &',
      'server=$!',
      "trap 'sleep ${DRAIN_SECONDS:-0}; kill $server; exit 0' TERM INT",
      'echo "web $(cat /version) on $(hostname), port ${PORT:-80}"',
      'wait $server',
      '',
    ].join('\n'),
  },
];

async function busyboxLayer(): Promise<readonly LayerFile[]> {
  const binary = await findBusybox();
  const { stdout } = await run(binary, ['--list']);
  const applets = stdout
    .trim()
    .split('\n')
    .filter(name => name !== 'busybox');
  const content = await readFile(binary);
  return [
    ...['bin', 'dev', 'etc', 'home', 'proc', 'root', 'sys', 'usr', 'usr/bin', 'var'].map(path => ({
      path,
      mode: 0o755,
    })),
    { path: 'tmp', mode: 0o1777 },
    { path: 'bin/busybox', content, mode: 0o755 },
    ...applets.map(name => ({ path: `bin/${name}`, link: 'busybox' })),
    { path: 'etc/passwd', content: 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n' },
    { path: 'etc/group', content: 'root:x:0:\nnogroup:x:65534:\n' },
    { path: 'etc/nsswitch.conf', content: 'hosts: files dns\n' },
  ];
}

const run = promisify(execFile);

/** The installed static busybox, or Debian's package, fetched without installing it. */
async function findBusybox(): Promise<string> {
  for (const path of ['/bin/busybox', '/usr/bin/busybox']) if (await isStatic(path)) return path;
  const directory = await mkdtemp(join(tmpdir(), 'windlass-busybox-'));
  await run('apt-get', ['download', 'busybox-static'], { cwd: directory });
  const [archive] = (await readdir(directory)).filter(name => name.endsWith('.deb'));
  if (!archive) throw new Error('cannot make images: apt-get brought no busybox-static package');
  await run('dpkg-deb', ['-x', join(directory, archive), directory]);
  return join(directory, 'bin', 'busybox');
}

/** A dynamic program names its loader. */
async function isStatic(path: string): Promise<boolean> {
  if (!(await stat(path).catch(() => undefined))?.isFile()) return false;
  const head = (await readFile(path)).subarray(0, 4096);
  return !head.includes('ld-linux') && !head.includes('ld-musl');
}

export async function buildImage(recipe: ImageRecipe): Promise<BuiltImage> {
  const layers = await Promise.all(recipe.layers.map(buildLayer));
  const architecture = ({ x64: 'amd64' } as Record<string, string>)[process.arch] ?? process.arch;
  const config = Buffer.from(
    JSON.stringify({
      architecture,
      os: 'linux',
      created: '2026-01-01T00:00:00Z',
      config: {
        Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...(recipe.env ?? [])],
        ...(recipe.entrypoint ? { Entrypoint: recipe.entrypoint } : {}),
        ...(recipe.cmd ? { Cmd: recipe.cmd } : {}),
        ...(recipe.user ? { User: recipe.user } : {}),
        ...(recipe.stopSignal ? { StopSignal: recipe.stopSignal } : {}),
        WorkingDir: recipe.workingDir ?? '/',
      },
      rootfs: { type: 'layers', diff_ids: layers.map(layer => layer.diffId) },
      history: layers.map(() => ({ created_by: 'tools/images.ts' })),
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf(config), size: config.length },
      layers: layers.map(layer => ({
        mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
        digest: layer.digest,
        size: layer.blob.length,
      })),
    }),
  );
  return { name: recipe.name, config, layers, manifest };
}

const manifestType = 'application/vnd.oci.image.manifest.v1+json';

async function buildLayer(files: readonly LayerFile[]): Promise<BuiltLayer> {
  const tar = pack();
  const bytes = collect(tar);
  const mtime = new Date('2026-01-01T00:00:00Z');
  for (const { path, content, link, mode, uid = 0, gid = 0, pax } of files) {
    const common = { name: path, uid, gid, mtime, ...(pax ? { pax } : {}) };
    if (link !== undefined) tar.entry({ ...common, type: 'symlink', linkname: link });
    else if (content === undefined) tar.entry({ ...common, type: 'directory', mode: mode ?? 0o755 });
    else tar.entry({ ...common, mode: mode ?? 0o644 }, content);
  }
  tar.finalize();
  const raw = await bytes;
  // One time stamp for all: the same files give the same digest.
  const blob = gzipSync(raw, { level: 6 });
  return { diffId: digestOf(raw), blob, digest: digestOf(blob), tar: raw };
}

/** One docker archive (`docker save`) with several images. */
export function dockerArchive(images: readonly BuiltImage[]): Readable {
  const tar = pack();
  const written = new Set<string>();
  const add = (name: string, content: Buffer) => {
    if (written.has(name)) return name;
    written.add(name);
    tar.entry({ name }, content);
    return name;
  };
  const list = images.map(image => ({
    Config: add(`${hex(digestOf(image.config))}.json`, image.config),
    RepoTags: [image.name],
    Layers: image.layers.map(layer => add(`${hex(layer.diffId)}/layer.tar`, layer.tar)),
  }));
  tar.entry({ name: 'manifest.json' }, JSON.stringify(list));
  tar.finalize();
  return tar as unknown as Readable;
}

/** One OCI layout, as a tar, with several images. */
export function ociArchive(images: readonly BuiltImage[]): Readable {
  const tar = pack();
  const written = new Set<string>();
  const add = (content: Buffer) => {
    const digest = digestOf(content);
    if (!written.has(digest)) tar.entry({ name: `blobs/sha256/${hex(digest)}` }, content);
    written.add(digest);
    return { digest, size: content.length };
  };
  tar.entry({ name: 'oci-layout' }, JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  const manifests = images.map(image => {
    for (const layer of image.layers) add(layer.blob);
    add(image.config);
    const annotations = { 'org.opencontainers.image.ref.name': image.name };
    return { mediaType: manifestType, ...add(image.manifest), annotations };
  });
  tar.entry({ name: 'index.json' }, JSON.stringify({ schemaVersion: 2, manifests }));
  tar.finalize();
  return tar as unknown as Readable;
}

/** Pushes by the distribution protocol to a registry without TLS; answers the manifest's digest. */
export async function pushImage(
  host: string,
  image: BuiltImage,
  headers: Readonly<Record<string, string>> = {},
): Promise<string> {
  const [repository = '', tag = 'latest'] = image.name.split(':');
  const base = `http://${host}/v2/${repository}`;
  for (const blob of [image.config, ...image.layers.map(layer => layer.blob)]) await pushBlob(base, blob, headers);
  const answer = await fetch(`${base}/manifests/${tag}`, {
    method: 'PUT',
    headers: { ...headers, 'content-type': manifestType },
    body: new Uint8Array(image.manifest),
  });
  if (!answer.ok) throw new Error(`cannot push ${image.name} to ${host}: ${answer.status} ${await answer.text()}`);
  return digestOf(image.manifest);
}

async function pushBlob(base: string, blob: Buffer, headers: Readonly<Record<string, string>>): Promise<void> {
  const digest = digestOf(blob);
  const found = await fetch(`${base}/blobs/${digest}`, { method: 'HEAD', headers });
  if (found.ok) return;
  const begun = await fetch(`${base}/blobs/uploads/`, { method: 'POST', headers });
  const location = begun.headers.get('location');
  if (!begun.ok || !location) throw new Error(`cannot push to ${base}: ${begun.status} ${await begun.text()}`);
  const url = new URL(location, base);
  url.searchParams.set('digest', digest);
  const answer = await fetch(url, {
    method: 'PUT',
    headers: { ...headers, 'content-type': 'application/octet-stream' },
    body: new Uint8Array(blob),
  });
  if (!answer.ok) throw new Error(`cannot push to ${base}: ${answer.status} ${await answer.text()}`);
}

async function collect(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

function hex(digest: string): string {
  return digest.slice('sha256:'.length);
}

async function main(args: readonly string[]): Promise<void> {
  const [mode, target] = args;
  const images = mode && target ? await buildImages() : [];
  if (mode === '--archive' && target) await pipeline(dockerArchive(images), createWriteStream(target));
  else if (mode === '--push' && target)
    for (const image of images) process.stdout.write(`${target}/${image.name} ${await pushImage(target, image)}\n`);
  else {
    process.stderr.write('usage: images.ts --archive FILE | --push HOST:PORT\n');
    process.exitCode = 2;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main(process.argv.slice(2));
