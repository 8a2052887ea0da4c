import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gunzipSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { readArchive } from '#runtime/oci/images/archive.ts';
import { decompress } from '#runtime/oci/images/decompress.ts';
import { choosePlatform, parseImageConfig, parseManifest } from '#runtime/oci/images/manifest.ts';
import { digestName, parseReference, tagName } from '#runtime/oci/images/reference.ts';
import { readTar } from '#runtime/oci/images/tar.ts';
import { unpackLayer } from '#runtime/oci/images/unpack.ts';
import { isRuntimeError } from '#runtime/runtime.ts';
import { holds, shown, type Target } from '../target.ts';

const refuses = (error: unknown) => isRuntimeError(error);

/** One entry of an archive, with a header whose sum is right. */
function tarEntry(name: string, type: string, content: Uint8Array | string = '', link = ''): Buffer {
  const body = Buffer.from(content);
  const header = Buffer.alloc(512);
  header.write(name, 0, 100);
  header.write('0000755\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${body.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write(type, 156);
  header.write(link, 157, 100);
  header.write('ustar\u000000', 257);
  return Buffer.concat([summed(header), body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}

function summed(header: Buffer): Buffer {
  header.fill(' ', 148, 156);
  header.write(
    `${header
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  );
  return header;
}

/** Sums are made right again: otherwise hardly any changed archive would be read at all. */
function withSums(archive: Buffer): Buffer {
  const copy = Buffer.from(archive);
  for (let at = 0; at + 512 <= copy.length; ) {
    const header = copy.subarray(at, at + 512);
    if (header.every(byte => byte === 0)) break;
    summed(header);
    const size = Number.parseInt(header.toString('latin1', 124, 135), 8);
    at += 512 + (Number.isSafeInteger(size) && size >= 0 ? Math.ceil(size / 512) * 512 : 0);
  }
  return copy;
}

const end = Buffer.alloc(1024);
const pax = (text: string) => tarEntry('pax', 'x', text);
const outside = '/tmp/windlass-fuzz-outside';

const layers: readonly Buffer[] = [
  [
    tarEntry('a/', '5'),
    tarEntry('a/b', '0', 'text'),
    tarEntry('a/c', '2', '', '../b'),
    tarEntry('d', '1', '', 'a/b'),
    end,
  ],
  [
    pax('12 path=a/b\n30 SCHILY.xattr.user.a=\u0000value\n'),
    tarEntry('x', '0', 'y'),
    tarEntry('.wh.a', '0'),
    tarEntry('a/.wh..wh..opq', '0'),
    end,
  ],
  [tarEntry('././@LongLink', 'L', `${'d/'.repeat(80)}f\0`), tarEntry('d', '0', 'z'), tarEntry('p', '6'), end],
  [
    tarEntry('out', '2', '', outside),
    tarEntry('out/file', '0', 'x'),
    tarEntry('../../../../tmp/windlass-fuzz-outside/file', '0', 'x'),
    end,
  ],
].map(parts => Buffer.concat(parts));

async function* cut(input: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < input.length; at += 700) yield input.subarray(at, at + 700);
}

const tar: Target = {
  name: 'tar',
  form: 'bytes',
  seeds: () => layers,
  declares: refuses,
  async run(input) {
    let entries = 0;
    let bytes = 0;
    for await (const { entry, content } of readTar(cut(withSums(input)))) {
      entries++;
      holds(Number.isSafeInteger(entry.size) && entry.size >= 0, () => `an entry of ${entry.size} bytes`);
      for await (const chunk of content) bytes += chunk.length;
    }
    holds(bytes <= input.length, () => `${bytes} bytes out of ${input.length}`);
    return `${entries}`;
  },
};

let directory: string | undefined;

/** Of this process, taken away at its end. */
function scratch(): string {
  if (directory === undefined) {
    const made = mkdtempSync(join(tmpdir(), 'windlass-fuzz-'));
    process.on('exit', () => rmSync(made, { recursive: true, force: true }));
    directory = made;
  }
  return directory;
}

const layer: Target = {
  name: 'layer',
  form: 'bytes',
  seeds: () => layers,
  declares: error => refuses(error) || isFileError(error),
  async run(input) {
    const root = join(scratch(), 'root');
    rmSync(root, { recursive: true, force: true });
    mkdirSync(root);
    try {
      await unpackLayer(cut(withSums(input)), root);
    } finally {
      holds(!existsSync(outside), () => 'a file was made outside');
      holds(
        readdirSync(scratch()).every(name => name === 'root' || name === 'spool'),
        () => `beside the root there is ${shown(readdirSync(scratch()))}`,
      );
    }
    return `${readdirSync(root).length}`;
  },
};

/** What the file system itself refuses: a name that is too long, a file in the place of a directory. */
function isFileError(error: unknown): boolean {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string';
}

const packed: Target = {
  name: 'decompress',
  form: 'bytes',
  seeds: () => [
    gzipSync('some text '.repeat(50)),
    zstdCompressSync('some text '.repeat(50)),
    Buffer.from('plain'),
    Buffer.of(0x1f, 0x8b),
    Buffer.concat([gzipSync('a'), gzipSync('b')]),
  ],
  declares: error => error instanceof Error && /^(Z_|ERR_|ZSTD_)/.test(String((error as NodeJS.ErrnoException).code)),
  async run(input) {
    const pieces: Buffer[] = [];
    for await (const piece of decompress(Readable.from(cut(input)))) pieces.push(piece as Buffer);
    const output = Buffer.concat(pieces);
    if (input[0] === 0x1f && input[1] === 0x8b)
      holds(output.equals(gunzipSync(input)), () => 'not what gunzip makes of it');
    return `${input[0]} ${Math.min(output.length, 2_000)}`;
  },
};

const sha256 = (content: string) => `sha256:${createHash('sha256').update(content).digest('hex')}`;
const config =
  '{"architecture":"amd64","os":"linux","config":{"Env":["A=b"],"Cmd":["x"],"Volumes":{"/v":{}}},"rootfs":{"type":"layers","diff_ids":["sha256:0000000000000000000000000000000000000000000000000000000000000000"]}}';
const manifest = JSON.stringify({
  schemaVersion: 2,
  config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256(config), size: config.length },
  layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: sha256('layer'), size: 5 }],
});
const index = JSON.stringify({
  manifests: [
    {
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: sha256(manifest),
      size: manifest.length,
      platform: { os: 'linux', architecture: 'amd64' },
      annotations: { 'io.containerd.image.name': 'docker.io/library/a:1' },
    },
  ],
});

const manifests: Target = {
  name: 'manifest',
  form: 'json',
  words: [
    'manifests',
    'layers',
    'config',
    'digest',
    'size',
    'platform',
    'os',
    'architecture',
    'rootfs',
    'diff_ids',
    'Env',
    'Labels',
    'Volumes',
  ],
  seeds: () => [manifest, index, config],
  declares: refuses,
  run(input) {
    const ways: string[] = [];
    for (const read of [
      () => {
        const parsed = parseManifest(input);
        return 'index' in parsed ? choosePlatform(parsed.index).digest.slice(0, 6) : `${parsed.manifest.layers.length}`;
      },
      () => `${parseImageConfig(input).diffIds.length}`,
    ])
      try {
        ways.push(read());
      } catch (error) {
        if (!refuses(error)) throw error;
        ways.push('refused');
      }
    return ways.join();
  },
};

const blob = (content: string) => tarEntry(`blobs/${sha256(content).replace(':', '/')}`, '0', content);

/** The documents of an archive, `[index or manifest.json, config, manifest]`, in a layout whose digests are right. */
const archives: Target = {
  name: 'archive',
  form: 'json',
  words: ['manifests', 'Config', 'RepoTags', 'Layers', 'digest', 'annotations', 'config.json', '../x', 'layer.tar'],
  seeds: () => [
    JSON.stringify({ file: 'index.json', document: JSON.parse(index) as unknown }),
    JSON.stringify({
      file: 'manifest.json',
      document: [{ Config: 'config.json', RepoTags: ['a:1'], Layers: ['layer.tar'] }],
    }),
  ],
  declares: refuses,
  async run(input) {
    const { file, document } = documentOf(input);
    const spool = join(scratch(), 'spool');
    rmSync(spool, { recursive: true, force: true });
    mkdirSync(spool);
    const archive = Buffer.concat([
      tarEntry('oci-layout', '0', '{"imageLayoutVersion":"1.0.0"}'),
      blob(config),
      blob('layer'),
      blob(manifest),
      tarEntry('config.json', '0', config),
      tarEntry('layer.tar', '0', 'layer'),
      tarEntry(file, '0', document),
      end,
    ]);
    const images = await readArchive(Readable.from(cut(archive)), spool);
    for (const { names, layers: files } of images) {
      holds(
        names.every(name => typeof name === 'string'),
        () => `names ${shown(names)}`,
      );
      holds(
        files.every(path => path.startsWith(`${spool}/`)),
        () => `layers ${shown(files)}`,
      );
    }
    return `${images.length}`;
  },
};

/** What is no such pair is the document itself, so that there are some that are no JSON. */
function documentOf(input: Buffer): { readonly file: string; readonly document: string } {
  try {
    const { file, document } = JSON.parse(input.toString()) as { file?: unknown; document?: unknown };
    return { file: file === 'manifest.json' ? file : 'index.json', document: JSON.stringify(document) ?? '' };
  } catch {
    return { file: 'index.json', document: input.toString() };
  }
}

const references: Target = {
  name: 'image-reference',
  form: 'text',
  words: [
    '/',
    ':',
    '@',
    '.',
    '-',
    '_',
    '__',
    'docker.io',
    'localhost',
    ':5000',
    '[::1]',
    'library',
    'latest',
    'A',
    'a',
    sha256(''),
  ],
  seeds: () => [
    'busybox',
    'docker.io/library/busybox:latest',
    `localhost:5000/a/b@${sha256('')}`,
    '[::1]:5000/a',
    'gcr.io/a/b-c.d__e:v1',
  ],
  declares: refuses,
  run(input) {
    const reference = parseReference(input.toString());
    const { digest } = reference;
    const name = tagName(reference) ?? digestName(reference, digest ?? '');
    const again = parseReference(name);
    holds(
      again.host === reference.host && again.repository === reference.repository && again.tag === reference.tag,
      () => `${name} becomes ${shown(again)}`,
    );
    return `${reference.host.length} ${reference.tag !== undefined} ${digest !== undefined}`;
  },
};

export const imageTargets: readonly Target[] = [tar, layer, packed, manifests, archives, references];
