import type { Log } from '#base/log.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import type { Client } from '#client/client.ts';
import { createOrPatch } from '#client/ensure.ts';
import type { Informers } from '#client/informers.ts';
import type { Create } from '../authorization/policy/bootstrap-policy.ts';
import type { RequestHeaders } from './request-header.ts';

/** By whom API servers beside this one let themselves be told who a user is. */
export interface FrontProxyTrust {
  readonly caPem: string;
  readonly allowedNames: readonly string[];
  readonly headers: RequestHeaders;
}

interface Trust {
  readonly clientCaPem: string;
  readonly frontProxy?: FrontProxyTrust | undefined;
}

const name = 'extension-apiserver-authentication';
const namespace = 'kube-system';

/** `kube-system/extension-apiserver-authentication`: what an API server that is aggregated trusts. */
export async function ensureTrustConfigMap(client: Client, trust: Trust, create?: Create): Promise<void> {
  const map = { metadata: { name, namespace }, data: dataOf(trust) };
  if ((await create?.(ConfigMap, map)) !== true) await createOrPatch(client, ConfigMap, map);
}

/** Writes it again when somebody has changed or deleted it. */
export function keepTrustConfigMap(client: Client, informers: Informers, trust: Trust, log: Log): () => void {
  const wanted = Object.entries(dataOf(trust));
  const restore = ({ metadata }: ConfigMap) => {
    if (metadata.name !== name || metadata.namespace !== namespace) return;
    ensureTrustConfigMap(client, trust).catch((error: unknown) =>
      log.error('cannot publish what extension API servers trust', { error }),
    );
  };
  return informers.of(ConfigMap).subscribe({
    updated: map => {
      if (!wanted.every(([key, value]) => map.data?.[key] === value)) restore(map);
    },
    deleted: restore,
  });
}

function dataOf({ clientCaPem, frontProxy }: Trust): Record<string, string> {
  const list = (values: readonly string[]) => JSON.stringify(values.map(headerCase));
  return {
    'client-ca-file': clientCaPem,
    ...(frontProxy && {
      'requestheader-allowed-names': JSON.stringify(frontProxy.allowedNames),
      'requestheader-client-ca-file': frontProxy.caPem,
      'requestheader-extra-headers-prefix': list(frontProxy.headers.extraPrefixes),
      'requestheader-group-headers': list(frontProxy.headers.groups),
      'requestheader-uid-headers': list(frontProxy.headers.uids),
      'requestheader-username-headers': list(frontProxy.headers.usernames),
    }),
  };
}

/** `x-remote-user` as it is usually written: `X-Remote-User`. */
function headerCase(name: string): string {
  return name.replace(/(^|-)[a-z]/g, each => each.toUpperCase());
}
