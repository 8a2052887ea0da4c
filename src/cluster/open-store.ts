import { readFileSync } from 'node:fs';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { openSqliteStorage } from '#storage/sqlite/sqlite-storage.ts';
import type { Storage } from '#storage/storage.ts';
import type { ClusterConfig, DataDir } from './data-dir.ts';
import { etcdServersIn } from './datastore.ts';
import { argumentsOf } from './flags/components.ts';

/** The cluster's store: the file in its directory, or the etcd it was told of. */
export async function openStore(
  dir: DataDir,
  config: ClusterConfig,
  outside: { readonly clock: Clock; readonly log: Log },
): Promise<Storage> {
  const given = argumentsOf('kube-apiserver', config.components);
  const servers = given['etcd-servers'] ?? (config.datastore === undefined ? [] : etcdServersIn(config.datastore));
  if (servers.length === 0) return openSqliteStorage({ directory: dir.store });
  // gRPC takes a tenth of a second to load: only those pay for it who use it.
  const [{ openEtcdStorage }, { inUpstreamForm }] = await Promise.all([
    import('#storage/etcd/etcd-storage.ts'),
    import('#apiserver/upstream-form.ts'),
  ]);
  const pem = (file: string | undefined) => (file === undefined ? undefined : readFileSync(file, 'utf8'));
  const storage = await openEtcdStorage({
    servers,
    caPem: pem(given['etcd-cafile']),
    certPem: pem(given['etcd-certfile']),
    keyPem: pem(given['etcd-keyfile']),
    clock: outside.clock,
    log: outside.log.child('etcd'),
  });
  const { 'etcd-prefix': keyPrefix, 'storage-media-type': mediaType } = given;
  return inUpstreamForm(storage, { ...(keyPrefix !== undefined && { keyPrefix }), ...(mediaType && { mediaType }) });
}
