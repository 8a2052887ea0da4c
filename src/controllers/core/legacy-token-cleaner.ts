import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { Secret } from '#api/core/v1/secret.ts';
import { ServiceAccount } from '#api/core/v1/service-account.ts';
import type { Informer } from '#client/informer.ts';
import { patch, remove, wake } from '../actions.ts';
import { defineController } from '../controller.ts';
import { lookup } from '../reads.ts';
import { timeMs } from '../time.ts';

const lastUsedLabel = 'kubernetes.io/legacy-token-last-used';
const invalidSinceLabel = 'kubernetes.io/legacy-token-invalid-since';
const trackingName = 'kube-apiserver-legacy-service-account-token-tracking';
const dayMs = 86_400_000;
/** Upstream's: what nobody has used for a year is no longer valid, and goes after another year. */
const unusedMs = 365 * dayMs;

/**
 * Ends tokens that were once made for every service account: those that an account lists, no pod mounts, and nobody has
 * used for a year. Secrets that somebody made by hand stay.
 */
export const legacyTokenCleaner = defineController({
  name: 'legacy-service-account-token-cleaner',
  reconciles: Secret,
  concerns: ({ type, metadata }) =>
    type === 'kubernetes.io/service-account-token' && metadata.deletionTimestamp === undefined,
  reads: {
    accounts: lookup<Secret, ServiceAccount>(ServiceAccount),
    pods: lookup<Secret, Pod>(Pod),
    maps: lookup<Secret, ConfigMap>(ConfigMap),
  },
  writes: [Secret],
  decide(secret, { accounts, pods, maps, nowMs }) {
    const again = [wake(nowMs + dayMs)];
    const { name = '', namespace, labels = {}, annotations = {}, creationTimestamp } = secret.metadata;
    // Uses are noted since some moment of that day; before, silence says nothing.
    const trackedMs = dayOf(maps.get(trackingName, 'kube-system')?.data?.['since']) + dayMs;
    const yearAgo = new Date(nowMs - unusedMs).toISOString().slice(0, 10);
    if (!(trackedMs + unusedMs <= nowMs) || !(timeMs(creationTimestamp) < nowMs - unusedMs)) return again;
    const lastUsed = labels[lastUsedLabel];
    if (lastUsed !== undefined && (Number.isNaN(dayOf(lastUsed)) || lastUsed >= yearAgo)) return again;
    const account = accounts.get(annotations['kubernetes.io/service-account.name'] ?? '', namespace);
    if (!account?.secrets?.some(each => each.name === name)) return again;
    if (isMounted(name, namespace ?? '', pods)) return again;
    const invalidSince = labels[invalidSinceLabel];
    if (Number.isNaN(dayOf(invalidSince))) {
      const today = new Date(nowMs).toISOString().slice(0, 10);
      return [patch(Secret, secret, { metadata: { labels: { [invalidSinceLabel]: today } } }), ...again];
    }
    return (invalidSince ?? '') >= yearAgo ? again : [remove(Secret, secret)];
  },
});

/** Not a number for what is no day. */
function dayOf(text: string | undefined): number {
  return /^\d{4}-\d{2}-\d{2}$/.test(text ?? '') ? Date.parse(text ?? '') : Number.NaN;
}

function isMounted(secret: string, namespace: string, pods: Informer<Pod>): boolean {
  for (const { spec } of pods.inNamespace(namespace).values())
    if (spec?.volumes?.some(volume => volume.secret?.secretName === secret)) return true;
  return false;
}
