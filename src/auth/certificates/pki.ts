import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { systemRandom, type Random } from '#base/random.ts';
import {
  authorityExpires,
  newKeyPem,
  publicKeyPemOf,
  reasonToRenew,
  renewalMsOf,
  type CertificateRequest,
  type CertifiedKey,
} from './certificate.ts';
import { issue, issueAuthority } from './issue.ts';

const dayMs = 24 * 60 * 60_000;
const authorityValidMs = 3650 * dayMs;
const leafValidMs = 365 * dayMs;
/** Authorities that expire within this time get a new certificate at start; so do others, whatever their lifetime. */
const renewBeforeMs = 30 * dayMs;

/** Every certificate and key of a cluster, as in kubeadm's directory; each as it is now. */
export interface Pki {
  readonly directory: string;
  readonly ca: CertifiedKey;
  readonly apiserver: CertifiedKey;
  readonly apiserverKubeletClient: CertifiedKey;
  readonly admin: CertifiedKey;
  readonly controllerManager: CertifiedKey;
  readonly scheduler: CertifiedKey;
  readonly frontProxyCa: CertifiedKey;
  readonly frontProxyClient: CertifiedKey;
  /** Signs and verifies service-account tokens: EC P-256. */
  readonly serviceAccount: { readonly privateKeyPem: string; readonly publicKeyPem: string };
  /** A node agent's client certificate (`system:node:<name>`) and its server's certificate. */
  node(name: string, addresses?: Addresses): Promise<{ readonly client: CertifiedKey; readonly serving: CertifiedKey }>;
  /** Any other client, kept under `<file>.crt` and `<file>.key`. */
  client(file: string, commonName: string, organizations?: readonly string[]): Promise<CertifiedKey>;
  /** Makes anew what is due, or everything; resolves with the files' names. Authorities and keys of tokens stay. */
  renew(which?: 'due' | 'all'): Promise<readonly string[]>;
  /** Takes over what another process has renewed; resolves with the files' names. */
  reload(): Promise<readonly string[]>;
  /** When the next certificate is due. */
  readonly nextRenewalMs: number;
}

export interface Addresses {
  readonly hosts?: readonly string[];
  readonly ips?: readonly string[];
}

export interface PkiOptions extends Addresses {
  readonly clock: Clock;
  readonly random?: Random;
  readonly clusterName?: string;
  readonly clusterDomain?: string;
  /** The `kubernetes` Service's address. */
  readonly serviceIp?: string;
}

/** Makes what is missing, reloads what is there, renews what expires or names other addresses. */
export async function ensurePki(directory: string, options: PkiOptions): Promise<Pki> {
  const { clusterName = 'kubernetes', clusterDomain = 'cluster.local', serviceIp = '10.96.0.1' } = options;
  const issuing = { clock: options.clock, random: options.random ?? systemRandom };
  await mkdir(directory, { recursive: true, mode: 0o755 });

  const authority = async (file: string, commonName: string): Promise<CertifiedKey> => {
    const found = await readPair(directory, file);
    if (found && !authorityExpires(found.certPem, issuing.clock, renewBeforeMs)) return found;
    const made = await issueAuthority(
      { commonName, validForMs: authorityValidMs, ...(found && { keyPem: found.keyPem }) },
      issuing,
    );
    await writePair(directory, file, made);
    return made;
  };
  const kept = new Map<string, Kept>();
  const make = async (file: string, by: CertifiedKey, request: Request): Promise<CertifiedKey> => {
    const made = await issue(by, { ...request, validForMs: leafValidMs }, issuing);
    await writePair(directory, file, made);
    kept.set(file, { by, request, pair: made });
    return made;
  };
  const isGood = (pair: CertifiedKey, by: CertifiedKey, request: Request) =>
    reasonToRenew(pair, by.certPem, request, issuing.clock, renewBeforeMs) === undefined;
  const leaf = async (by: CertifiedKey, file: string, request: Request) => {
    const found = await readPair(directory, file);
    if (!found || !isGood(found, by, request) || renewalMsOf(found.certPem) <= issuing.clock.now())
      return make(file, by, request);
    kept.set(file, { by, request, pair: found });
    return found;
  };
  const current = (file: string): CertifiedKey => (kept.get(file) as Kept).pair;

  const [ca, frontProxyCa, serviceAccount] = await Promise.all([
    authority('ca', clusterName),
    authority('front-proxy-ca', 'front-proxy-ca'),
    serviceAccountKeys(directory),
  ]);
  const client = (file: string, commonName: string, organizations: readonly string[] = []) =>
    leaf(ca, file, { commonName, organizations, usages: ['client'] });
  const serving = {
    commonName: 'kube-apiserver',
    hosts: unique([
      'kubernetes',
      'kubernetes.default',
      'kubernetes.default.svc',
      `kubernetes.default.svc.${clusterDomain}`,
      'localhost',
      ...(options.hosts ?? []),
    ]),
    ips: unique(['127.0.0.1', '::1', serviceIp, ...(options.ips ?? [])]),
    usages: ['server'] as const,
  };
  await Promise.all([
    leaf(ca, 'apiserver', serving),
    client('apiserver-kubelet-client', 'kube-apiserver-kubelet-client', ['kubeadm:cluster-admins']),
    client('admin', 'kubernetes-admin', ['system:masters']),
    client('controller-manager', 'system:kube-controller-manager'),
    client('scheduler', 'system:kube-scheduler'),
    leaf(frontProxyCa, 'front-proxy-client', { commonName: 'front-proxy-client', usages: ['client'] }),
  ]);
  return {
    directory,
    ca,
    get apiserver() {
      return current('apiserver');
    },
    get apiserverKubeletClient() {
      return current('apiserver-kubelet-client');
    },
    get admin() {
      return current('admin');
    },
    get controllerManager() {
      return current('controller-manager');
    },
    get scheduler() {
      return current('scheduler');
    },
    frontProxyCa,
    get frontProxyClient() {
      return current('front-proxy-client');
    },
    serviceAccount,
    client,
    async renew(which = 'due') {
      const renewed: string[] = [];
      for (const [file, { by, request, pair }] of kept) {
        if (which === 'due' && renewalMsOf(pair.certPem) > issuing.clock.now()) continue;
        await make(file, by, request);
        renewed.push(file);
      }
      return renewed;
    },
    async reload() {
      const reloaded: string[] = [];
      for (const [file, { by, request, pair }] of kept) {
        const found = await readPair(directory, file);
        if (!found || found.certPem === pair.certPem || !isGood(found, by, request)) continue;
        kept.set(file, { by, request, pair: found });
        reloaded.push(file);
      }
      return reloaded;
    },
    get nextRenewalMs() {
      return Math.min(...[...kept.values()].map(({ pair }) => renewalMsOf(pair.certPem)));
    },
    async node(name, addresses = {}) {
      const file = `kubelet-${encodeURIComponent(name)}`;
      const commonName = `system:node:${name}`;
      const organizations = ['system:nodes'];
      const [nodeClient, nodeServing] = await Promise.all([
        client(`${file}-client`, commonName, organizations),
        leaf(ca, `${file}-serving`, {
          commonName,
          organizations,
          hosts: unique([name, 'localhost', ...(addresses.hosts ?? [])]),
          ips: unique(['127.0.0.1', ...(addresses.ips ?? [])]),
          usages: ['server'],
        }),
      ]);
      return { client: nodeClient, serving: nodeServing };
    },
  };
}

type Request = Omit<CertificateRequest, 'validForMs'>;

interface Kept {
  readonly by: CertifiedKey;
  readonly request: Request;
  readonly pair: CertifiedKey;
}

async function serviceAccountKeys(directory: string) {
  const found = await readText(join(directory, 'sa.key'));
  const privateKeyPem = found ?? newKeyPem();
  const publicKeyPem = publicKeyPemOf(privateKeyPem);
  if (found === undefined) await writeFileAtomic(join(directory, 'sa.key'), privateKeyPem, 0o600);
  if ((await readText(join(directory, 'sa.pub'))) !== publicKeyPem)
    await writeFileAtomic(join(directory, 'sa.pub'), publicKeyPem, 0o644);
  return { privateKeyPem, publicKeyPem };
}

async function readPair(directory: string, file: string): Promise<CertifiedKey | undefined> {
  const [certPem, keyPem] = await Promise.all([
    readText(join(directory, `${file}.crt`)),
    readText(join(directory, `${file}.key`)),
  ]);
  return certPem === undefined || keyPem === undefined ? undefined : { certPem, keyPem };
}

/** The key first: a certificate without its key is made again, a key without its certificate too. */
async function writePair(directory: string, file: string, { certPem, keyPem }: CertifiedKey): Promise<void> {
  await writeFileAtomic(join(directory, `${file}.key`), keyPem, 0o600);
  await writeFileAtomic(join(directory, `${file}.crt`), certPem, 0o644);
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new Error(`cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** Readers see the old file or the whole new one. */
async function writeFileAtomic(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.${process.pid}.new`;
  {
    await using file = await open(temporary, 'w', mode);
    await file.writeFile(text);
  }
  await rename(temporary, path);
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}
