import { RuntimeError } from '../../runtime.ts';

/** A blob of the content store, as OCI describes it. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: Platform;
}

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

export interface Manifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** What an image says about the containers made from it. */
export interface ImageConfig {
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly env: readonly string[];
  readonly user: string;
  readonly workingDir: string;
  readonly stopSignal: string;
  readonly volumes: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** The digests of the layers' tar streams, the lowest first. */
  readonly diffIds: readonly string[];
}

export const mediaTypes = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
} as const;

const layersMax = 127;

/** A manifest, or an index with the manifest for each platform. Refuses what is both or neither. */
export function parseManifest(bytes: Uint8Array): { manifest: Manifest } | { index: readonly Descriptor[] } {
  const value = asObject(parseJson(bytes, 'manifest'), 'manifest');
  const { config, layers, manifests } = value;
  // A document with both could be read differently by two programs (CVE-2021-41190).
  if (manifests !== undefined && (config !== undefined || layers !== undefined)) throw invalid('ambiguous manifest');
  if (Array.isArray(manifests)) return { index: manifests.map(entry => parseDescriptor(entry)) };
  if (!Array.isArray(layers)) throw invalid('manifest without layers');
  if (layers.length > layersMax) throw invalid(`manifest with ${layers.length} layers, more than ${layersMax}`);
  return { manifest: { config: parseDescriptor(config), layers: layers.map(entry => parseDescriptor(entry)) } };
}

/** The entry for this machine: the same system and processor, by the closest variant. */
export function choosePlatform(index: readonly Descriptor[], wanted: Platform = ownPlatform()): Descriptor {
  const fitting = index.filter(
    ({ platform }) => platform?.os === wanted.os && platform.architecture === wanted.architecture,
  );
  const best = fitting.find(({ platform }) => (platform?.variant ?? '') === (wanted.variant ?? '')) ?? fitting[0];
  if (best) return best;
  throw new RuntimeError('NotFound', `no match for platform in manifest: not found`);
}

export function ownPlatform(): Platform {
  const architecture = ({ x64: 'amd64', ia32: '386' } as Record<string, string>)[process.arch] ?? process.arch;
  return architecture === 'arm64' ? { os: 'linux', architecture, variant: 'v8' } : { os: 'linux', architecture };
}

export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const value = asObject(parseJson(bytes, 'image config'), 'image config');
  const config = asObject(value.config ?? {}, 'image config');
  const rootfs = asObject(value.rootfs ?? {}, 'image config');
  return {
    entrypoint: strings(config.Entrypoint),
    cmd: strings(config.Cmd),
    env: strings(config.Env),
    user: text(config.User),
    workingDir: text(config.WorkingDir),
    stopSignal: text(config.StopSignal),
    volumes: Object.keys(asObject(config.Volumes ?? {}, 'image config')),
    labels: Object.fromEntries(
      Object.entries(asObject(config.Labels ?? {}, 'image config')).map(([key, label]) => [key, text(label)]),
    ),
    diffIds: strings(rootfs.diff_ids).map(checkDigest),
  };
}

function parseDescriptor(value: unknown): Descriptor {
  const { mediaType, digest, size, platform } = asObject(value, 'descriptor');
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw invalid('descriptor without a size');
  const known = platform === undefined ? undefined : asObject(platform, 'platform');
  return {
    mediaType: text(mediaType),
    digest: checkDigest(text(digest)),
    size,
    ...(known
      ? {
          platform: {
            os: text(known.os),
            architecture: text(known.architecture),
            ...(known.variant ? { variant: text(known.variant) } : {}),
          },
        }
      : {}),
  };
}

/** Digests become file names: nothing but the two algorithms that OCI registers gets through. */
export function checkDigest(digest: string): string {
  if (/^sha256:[0-9a-f]{64}$|^sha512:[0-9a-f]{128}$/.test(digest)) return digest;
  throw invalid(`digest ${JSON.stringify(digest.slice(0, 100))}`);
}

export function parseJson(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (cause) {
    throw new RuntimeError('InvalidArgument', `invalid ${what}: not JSON`, { cause });
  }
}

export function asObject(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw invalid(`${what}: not an object`);
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter(item => typeof item === 'string') : [];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function invalid(what: string): RuntimeError {
  return new RuntimeError('InvalidArgument', `invalid ${what}`);
}
