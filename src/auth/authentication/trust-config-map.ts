import { ConfigMap } from '#api/core/v1/config-map.ts';
import type { Client } from '#client/client.ts';
import { createOrPatch } from '#client/ensure.ts';
import type { RequestHeaders } from './request-header.ts';

/** By whom API servers beside this one let themselves be told who a user is. */
export interface FrontProxyTrust {
  readonly caPem: string;
  readonly allowedNames: readonly string[];
  readonly headers: RequestHeaders;
}

/** `kube-system/extension-apiserver-authentication`: what an API server that is aggregated trusts. */
export function ensureTrustConfigMap(
  client: Client,
  trust: { readonly clientCaPem: string; readonly frontProxy?: FrontProxyTrust | undefined },
): Promise<void> {
  const { clientCaPem, frontProxy } = trust;
  const list = (values: readonly string[]) => JSON.stringify(values.map(headerCase));
  return createOrPatch(client, ConfigMap, {
    metadata: { name: 'extension-apiserver-authentication', namespace: 'kube-system' },
    data: {
      'client-ca-file': clientCaPem,
      ...(frontProxy && {
        'requestheader-allowed-names': JSON.stringify(frontProxy.allowedNames),
        'requestheader-client-ca-file': frontProxy.caPem,
        'requestheader-extra-headers-prefix': list(frontProxy.headers.extraPrefixes),
        'requestheader-group-headers': list(frontProxy.headers.groups),
        'requestheader-uid-headers': list(frontProxy.headers.uids),
        'requestheader-username-headers': list(frontProxy.headers.usernames),
      }),
    },
  });
}

/** `x-remote-user` as it is usually written: `X-Remote-User`. */
function headerCase(name: string): string {
  return name.replace(/(^|-)[a-z]/g, each => each.toUpperCase());
}
