import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { isReason } from '#api/machinery/errors.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Secret } from '#api/core/v1/secret.ts';
import type { Client } from '#client/client.ts';
import type { Create } from '../authorization/policy/bootstrap-policy.ts';

const lastUsedLabel = 'kubernetes.io/legacy-token-last-used';
const trackingName = 'kube-apiserver-legacy-service-account-token-tracking';

/** Writes on a Secret the day on which its token was used last: once a day, behind the request's back. */
export function legacyTokenUse(client: Client, clock: Clock, log: Log): (secret: Secret) => void {
  const writing = new Set<string>();
  return ({ metadata }) => {
    const day = dayOf(clock);
    const { namespace = '', name = '', labels } = metadata;
    const key = `${namespace}/${name}`;
    if (labels?.[lastUsedLabel] === day || writing.has(key)) return;
    writing.add(key);
    client
      .patch(Secret, name, { type: 'merge', patch: { metadata: { labels: { [lastUsedLabel]: day } } } }, { namespace })
      .catch((error: unknown) => {
        if (!isReason(error, 'NotFound')) log.warn('cannot note the use of a token', { secret: key, error });
      })
      .finally(() => writing.delete(key));
  };
}

/** Says since when such uses are noted, so that silence before that day is not taken for disuse. */
export async function ensureLegacyTokenTracking(create: Create, clock: Clock): Promise<void> {
  await create(ConfigMap, {
    metadata: { name: trackingName, namespace: 'kube-system' },
    data: { since: dayOf(clock) },
  });
}

function dayOf(clock: Clock): string {
  return new Date(clock.now()).toISOString().slice(0, 10);
}
