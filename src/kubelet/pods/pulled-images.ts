import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AuthConfig } from '#runtime/runtime.ts';

/** Whose credentials a pull was made with. */
export interface PullCredential {
  readonly auth: AuthConfig;
  readonly secret: { readonly uid: string; readonly namespace: string; readonly name: string };
}

export type VerificationPolicy =
  | 'NeverVerify'
  | 'NeverVerifyPreloadedImages'
  | 'NeverVerifyAllowlistedImages'
  | 'AlwaysVerify';

/** As upstream keeps it, a file an image. */
interface PulledRecord {
  readonly kind: 'ImagePulledRecord';
  readonly apiVersion: 'kubelet.config.k8s.io/v1beta1';
  readonly imageRef: string;
  /** By repository: who may use what was pulled from it. */
  readonly credentialMapping: Readonly<Record<string, Access>>;
}

type Access =
  | { readonly nodePodsAccessible: true }
  | { readonly kubernetesSecrets: readonly (PullCredential['secret'] & { readonly credentialHash: string })[] };

/**
 * Remembers with whose credentials an image came to the node: another pod may not use it because it lies there already,
 * but has to show that the registry would give it to him. KEP-2535.
 */
export class PulledImages {
  readonly #pulled: string;
  readonly #pulling: string;
  readonly #policy: VerificationPolicy;
  readonly #allowlist: readonly string[];

  constructor(directory: string, policy: VerificationPolicy, allowlist: readonly string[]) {
    this.#pulled = join(directory, 'pulled');
    this.#pulling = join(directory, 'pulling');
    this.#policy = policy;
    this.#allowlist = allowlist;
    for (const folder of [this.#pulled, this.#pulling]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  /** A pull with credentials begins: until it is recorded, nobody else may use what it brings, not even after a crash. */
  intend(image: string): void {
    writeFileSync(join(this.#pulling, fileOf(image)), JSON.stringify({ kind: 'ImagePullIntent', image }), {
      mode: 0o600,
    });
  }

  /** The pull has brought this image. Without a credential everybody may have it. */
  record(imageRef: string, image: string, credential: PullCredential | undefined): void {
    const old = this.#read(imageRef);
    const repository = repositoryOf(image);
    const before =
      old && Object.hasOwn(old.credentialMapping, repository) ? old.credentialMapping[repository] : undefined;
    const mapping = new Map(Object.entries(old?.credentialMapping ?? {}));
    mapping.set(repository, added(before, credential));
    const record: PulledRecord = {
      kind: 'ImagePulledRecord',
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      imageRef,
      credentialMapping: Object.fromEntries(mapping),
    };
    const file = join(this.#pulled, fileOf(imageRef));
    writeFileSync(`${file}.new`, JSON.stringify(record), { mode: 0o600 });
    renameSync(`${file}.new`, file);
    this.giveUp(image);
  }

  /** The pull has brought nothing. */
  giveUp(image: string): void {
    rmSync(join(this.#pulling, fileOf(image)), { force: true });
  }

  /** Whether an image that lies there may be used without asking its registry. */
  async mayUse(
    imageRef: string,
    image: string,
    credentials: () => Promise<readonly PullCredential[]>,
  ): Promise<boolean> {
    if (this.#policy === 'NeverVerify') return true;
    const record = this.#read(imageRef);
    if (!record) return !this.#isIntended(image) && this.#isTrustedUnseen(image);
    const repository = repositoryOf(image);
    const access = Object.hasOwn(record.credentialMapping, repository)
      ? record.credentialMapping[repository]
      : undefined;
    if (!access) return false;
    if ('nodePodsAccessible' in access) return true;
    const known = new Set(access.kubernetesSecrets.map(({ credentialHash }) => credentialHash));
    return (await credentials()).some(({ auth }) => known.has(hashOf(auth)));
  }

  /** Images that are not there any more are forgotten; one that has just come may not have been listed yet. */
  keepOnly(imageRefs: ReadonlySet<string>, nowMs: number): void {
    const kept = new Set([...imageRefs].map(fileOf));
    for (const name of readdirSync(this.#pulled)) {
      const file = join(this.#pulled, name);
      const writtenMs = statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? nowMs;
      if (!kept.has(name) && nowMs - writtenMs > ageMsMin) rmSync(file, { force: true });
    }
  }

  #isTrustedUnseen(image: string): boolean {
    if (this.#policy === 'AlwaysVerify') return false;
    if (this.#policy === 'NeverVerifyPreloadedImages') return true;
    const repository = repositoryOf(image);
    return this.#allowlist.some(each =>
      each.endsWith('/*') ? repository.startsWith(each.slice(0, -1)) : repository === each,
    );
  }

  #isIntended(image: string): boolean {
    return readText(join(this.#pulling, fileOf(image))) !== undefined;
  }

  #read(imageRef: string): PulledRecord | undefined {
    const text = readText(join(this.#pulled, fileOf(imageRef)));
    return text === undefined ? undefined : (JSON.parse(text) as PulledRecord);
  }
}

const secretsMax = 100;
const ageMsMin = 600_000;

function added(before: Access | undefined, credential: PullCredential | undefined): Access {
  if (!credential || (before && 'nodePodsAccessible' in before)) return { nodePodsAccessible: true };
  const credentialHash = hashOf(credential.auth);
  const others = (before?.kubernetesSecrets ?? []).filter(each => each.credentialHash !== credentialHash);
  return { kubernetesSecrets: [...others.slice(1 - secretsMax), { ...credential.secret, credentialHash }] };
}

function fileOf(name: string): string {
  return `sha256-${createHash('sha256').update(name).digest('hex')}`;
}

function hashOf(auth: AuthConfig): string {
  return createHash('sha256')
    .update(JSON.stringify(Object.entries(auth).toSorted(([a], [b]) => (a < b ? -1 : 1))))
    .digest('hex');
}

/** Without tag and digest. */
function repositoryOf(image: string): string {
  const [name = ''] = image.split('@');
  const slash = name.lastIndexOf('/');
  const colon = name.indexOf(':', slash + 1);
  return colon < 0 ? name : name.slice(0, colon);
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // Nothing was written down.
    return undefined;
  }
}
