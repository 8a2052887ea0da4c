import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { load } from 'js-yaml';
import type { HttpsClientOptions } from './https.ts';

interface Named {
  readonly name?: string;
}
interface Cluster {
  readonly server?: string;
  readonly 'certificate-authority'?: string;
  readonly 'certificate-authority-data'?: string;
  readonly 'insecure-skip-tls-verify'?: boolean;
  readonly 'tls-server-name'?: string;
}
interface Credentials {
  readonly 'client-certificate'?: string;
  readonly 'client-certificate-data'?: string;
  readonly 'client-key'?: string;
  readonly 'client-key-data'?: string;
  readonly token?: string;
  readonly tokenFile?: string;
}
interface Context {
  readonly cluster?: string;
  readonly user?: string;
  readonly namespace?: string;
}
interface Kubeconfig {
  readonly 'current-context'?: string;
  readonly clusters?: readonly (Named & { readonly cluster?: Cluster })[];
  readonly users?: readonly (Named & { readonly user?: Credentials })[];
  readonly contexts?: readonly (Named & { readonly context?: Context })[];
}

/** What a context of a kubeconfig says about reaching its cluster. */
export interface KubeconfigContext {
  readonly name: string;
  readonly namespace: string;
  readonly connection: HttpsClientOptions;
}

/** Reads a kubeconfig file; files it names are relative to it. Without a context the current one. */
export async function readKubeconfig(file: string, contextName?: string): Promise<KubeconfigContext> {
  return contextOf(load(await readFile(file, 'utf8')) as Kubeconfig, dirname(file), contextName);
}

async function contextOf(config: Kubeconfig, folder: string, wanted: string | undefined): Promise<KubeconfigContext> {
  const name = wanted ?? config['current-context'] ?? '';
  const context = entry(config.contexts, name, 'context').context ?? {};
  const cluster = entry(config.clusters, context.cluster ?? '', 'cluster').cluster ?? {};
  const user = context.user === undefined ? {} : (entry(config.users, context.user, 'user').user ?? {});
  const { server } = cluster;
  if (server === undefined) throw new Error(`cannot use cluster ${JSON.stringify(context.cluster)}: it has no server`);
  const [caPem, certPem, keyPem] = await Promise.all([
    pem(cluster['certificate-authority-data'], cluster['certificate-authority'], folder),
    pem(user['client-certificate-data'], user['client-certificate'], folder),
    pem(user['client-key-data'], user['client-key'], folder),
  ]);
  return {
    name,
    namespace: context.namespace ?? 'default',
    connection: {
      server,
      ...(caPem !== undefined && { caPem }),
      ...(certPem !== undefined && { certPem }),
      ...(keyPem !== undefined && { keyPem }),
      ...(user.token !== undefined && { token: user.token }),
      // As with upstream, the file wins over the token beside it.
      ...(user.tokenFile !== undefined && { tokenFile: resolve(folder, user.tokenFile) }),
      ...(cluster['tls-server-name'] !== undefined && { tlsServerName: cluster['tls-server-name'] }),
      ...(cluster['insecure-skip-tls-verify'] && { insecureSkipTlsVerify: true }),
    },
  };
}

function entry<Entry extends Named>(entries: readonly Entry[] | undefined, name: string, what: string): Entry {
  const found = entries?.find(each => each.name === name);
  if (!found) throw new Error(`cannot read the kubeconfig: ${what} ${JSON.stringify(name)} does not exist`);
  return found;
}

/** Inline data wins over a file. */
async function pem(data: string | undefined, file: string | undefined, folder: string): Promise<string | undefined> {
  if (data !== undefined) return Buffer.from(data, 'base64').toString('utf8');
  return file === undefined ? undefined : readFile(resolve(folder, file), 'utf8');
}
