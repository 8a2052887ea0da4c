import { readFileSync } from 'node:fs';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import type { Encryption } from '#apiserver/encryption/encryption.ts';
import { openSqliteStorage } from '#storage/sqlite/sqlite-storage.ts';
import type { Storage } from '#storage/storage.ts';
import type { ClusterConfig, DataDir } from './data-dir.ts';
import { etcdServersIn } from './datastore.ts';
import { argumentsOf } from './flags/components.ts';

export interface OpenedStore {
  readonly storage: Storage;
  /** Absent: everything is stored as it is. */
  readonly encryption: Encryption | undefined;
}

/** The cluster's store: the file in its directory, or the etcd it was told of; what is to be encrypted stands encrypted there. */
export async function openStore(
  dir: DataDir,
  config: ClusterConfig,
  outside: { readonly clock: Clock; readonly random: Random; readonly log: Log },
): Promise<OpenedStore> {
  const given = argumentsOf('kube-apiserver', config.components);
  const { 'encryption-provider-config': file, 'etcd-prefix': keyPrefix, 'storage-media-type': mediaType } = given;
  const encrypted = async (resourceOf?: (key: string) => string) => {
    if (file === undefined) return undefined;
    const { openEncryption } = await import('#apiserver/encryption/encryption.ts');
    const reloads = given['encryption-provider-config-automatic-reload'] ?? false;
    const log = outside.log.child('encryption');
    return openEncryption({ file, reloads, ...(resourceOf && { resourceOf }) }, { ...outside, log });
  };
  const servers = given['etcd-servers'] ?? (config.datastore === undefined ? [] : etcdServersIn(config.datastore));
  if (servers.length === 0) {
    const encryption = await encrypted();
    const storage = await openSqliteStorage({ directory: dir.store });
    return { storage: encryption ? encryption.over(storage) : storage, encryption };
  }
  // gRPC takes a tenth of a second to load: only those pay for it who use it.
  const [{ openEtcdStorage }, { inUpstreamForm, resourceOfPath }] = await Promise.all([
    import('#storage/etcd/etcd-storage.ts'),
    import('#apiserver/upstream-form.ts'),
  ]);
  const pem = (file: string | undefined) => (file === undefined ? undefined : readFileSync(file, 'utf8'));
  const form = { ...(keyPrefix !== undefined && { keyPrefix }), ...(mediaType && { mediaType }) };
  const encryption = await encrypted(path => resourceOfPath(path, form));
  const storage = await openEtcdStorage({
    servers,
    caPem: pem(given['etcd-cafile']),
    certPem: pem(given['etcd-certfile']),
    keyPem: pem(given['etcd-keyfile']),
    clock: outside.clock,
    log: outside.log.child('etcd'),
  });
  return { storage: inUpstreamForm(encryption ? encryption.over(storage) : storage, form), encryption };
}
