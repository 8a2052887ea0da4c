/** `etcd://127.0.0.1:2379,127.0.0.1:22379` → `http://127.0.0.1:2379`, …; throws a sentence. */
export function etcdServersIn(datastore: string): readonly string[] {
  const [, scheme = '', hosts = ''] = /^(etcds?|https?):\/\/(.+)$/.exec(datastore) ?? [];
  const servers = hosts.split(',').filter(host => host !== '');
  if (servers.length === 0 || !servers.every(host => /^(\[[0-9a-fA-F:.]+\]|[^:/[\],]+)(:\d{1,5})?$/.test(host)))
    throw new Error(`cannot use the datastore ${JSON.stringify(datastore)}: it is not like etcd://host:2379,host:2379`);
  const secure = scheme === 'etcds' || scheme === 'https';
  return servers.map(host => `${secure ? 'https' : 'http'}://${host}`);
}
