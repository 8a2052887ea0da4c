import { createHash } from 'node:crypto';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import { Lease } from '#api/coordination/v1/lease.ts';
import { isReason } from '#api/machinery/errors.ts';
import { formatMicroTime } from '#api/machinery/time.ts';
import type { Client } from '#client/client.ts';

const namespace = 'kube-system';
const identityLabel = 'apiserver.kubernetes.io/identity';
const renewIntervalMs = 10_000;
const leaseSeconds = 3_600;
const sweepIntervalMs = 3_600_000;

/** `apiserver-<hash>`: the same after a restart (KEP-1965). `place` differs between the servers of one machine. */
export function serverIdentity(hostname: string, place = ''): string {
  const parts = [hostname + place, 'kube-apiserver'].map(text => {
    const bytes = Buffer.from(text);
    return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
  });
  const hash = createHash('sha256').update(Buffer.concat(parts)).digest().subarray(0, 16);
  return `apiserver-${base32(hash)}`;
}

/** Says in a Lease that this API server lives, and removes those that have not said so for an hour. */
export function keepIdentityLease(
  parts: {
    readonly client: Client;
    readonly clock: Clock;
    readonly random: Random;
    readonly log: Log;
    readonly hostname: string;
    readonly identity: string;
  },
  signal: AbortSignal,
): void {
  const { client, clock, random, log, hostname, identity } = parts;
  const holderIdentity = `${identity}_${random.uuid()}`;
  const metadata = {
    name: identity,
    namespace,
    labels: { [identityLabel]: 'kube-apiserver', 'kubernetes.io/hostname': hostname },
  };
  const renew = async () => {
    const spec = { holderIdentity, leaseDurationSeconds: leaseSeconds, renewTime: formatMicroTime(clock.now()) };
    try {
      await client.patch(Lease, identity, { type: 'merge', patch: { metadata, spec } }, { namespace });
    } catch (error) {
      if (!isReason(error, 'NotFound')) throw error;
      await client.create(Lease, { metadata, spec }, { namespace });
    }
  };
  const sweep = async () => {
    const { items } = await client.list(Lease, { namespace, labelSelector: `${identityLabel}=kube-apiserver` });
    for (const { metadata: found, spec } of items) {
      const renewedMs = Date.parse(spec?.renewTime ?? '');
      if (renewedMs + (spec?.leaseDurationSeconds ?? 0) * 1000 > clock.now()) continue;
      const { name = '', resourceVersion, uid } = found;
      await client.delete(Lease, name, {
        namespace,
        preconditions: { ...(uid !== undefined && { uid }), ...(resourceVersion !== undefined && { resourceVersion }) },
      });
    }
  };
  const regularly = (work: () => Promise<void>, intervalMs: number, firstMs: number) => {
    const run = () => {
      work()
        .catch((error: unknown) => {
          if (!signal.aborted) log.warn('cannot keep the lease of this API server', { error });
        })
        .finally(() => {
          if (!signal.aborted) cancel = clock.after(intervalMs, run);
        });
    };
    let cancel = clock.after(firstMs, run);
    signal.addEventListener('abort', () => cancel(), { once: true });
  };
  regularly(renew, renewIntervalMs, 0);
  regularly(sweep, sweepIntervalMs, sweepIntervalMs);
}

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';

/** RFC 4648, in lower case, without padding. */
function base32(bytes: Uint8Array): string {
  let text = '';
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) text += alphabet[(value >> (bits - 5)) & 31];
    value &= (1 << bits) - 1;
  }
  return bits > 0 ? text + alphabet[(value << (5 - bits)) & 31] : text;
}
