import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { Endpoints } from '#api/core/v1/endpoints.ts';
import { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import type { Client } from '#client/client.ts';
import { createOrPatch } from '#client/ensure.ts';
import { ExpectationError, type Storage } from '#storage/storage.ts';
import { prefix } from './cache/watch-cache.ts';

export interface Advertised {
  readonly address: string;
  readonly port: number;
}

/** Upstream's: a server refreshes its lease every ten seconds, and is forgotten fifteen after the last time. */
const refreshIntervalMs = 10_000;
const leaseMs = 15_000;

const leasesPrefix = `${prefix}masterleases/`;

/**
 * Keeps the endpoints of the `kubernetes` Service those of the API servers that live: each has an entry that expires in the
 * shared store, as upstream's reconciler "lease". Resolves when this server is among them; it leaves at the end.
 */
export async function keepEndpoints(parts: {
  readonly storage: Storage;
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Log;
  readonly advertise: Advertised;
}): Promise<AsyncDisposable> {
  const { storage, client, clock, log, advertise } = parts;
  const key = leasesPrefix + advertise.address;
  let last: readonly string[] = [];
  let isStopped = false;
  const reconcile = async () => {
    const { entries } = await storage.range(leasesPrefix);
    const addresses = entries.map(entry => entry.key.slice(leasesPrefix.length)).toSorted();
    // Having just written the own one, none at all would be a fault of the store: nothing is taken away for it.
    if (addresses.length === 0) throw new Error('cannot list the API servers: the store names none');
    await writeEndpoints(client, addresses, advertise.port);
    if (addresses.join() !== last.join()) log.info('API servers of this cluster', { addresses });
    last = addresses;
  };
  const refresh = async () => {
    const entry = await storage.get(key);
    const generation = entry ? generationOf(entry.value.bytes) + 1 : 1;
    try {
      await storage.put(key, { bytes: leaseBytes(advertise.address, generation) }, entry?.modRevision ?? 'absent', {
        ttlMs: leaseMs,
      });
    } catch (error) {
      // It has just expired, or a server of the same address has refreshed it.
      if (!(error instanceof ExpectationError)) throw error;
    }
    await reconcile();
  };
  let running: Promise<void> = refresh();
  const tick = () => {
    if (isStopped) return;
    running = refresh()
      .catch((error: unknown) => {
        log.warn('cannot refresh the lease of this API server', { error });
      })
      .then(() => {
        if (!isStopped) cancel = clock.after(refreshIntervalMs, tick);
      });
  };
  await running;
  let cancel = clock.after(refreshIntervalMs, tick);
  return {
    async [Symbol.asyncDispose]() {
      isStopped = true;
      cancel();
      await running;
      try {
        await storage.delete(key, 'any');
        await reconcile();
      } catch (error) {
        // The last one to leave finds nobody; and what is left expires.
        log.debug('cannot leave the endpoints of this cluster', { error });
      }
    },
  };
}

/** The endpoints of the `kubernetes` Service. */
export async function writeEndpoints(client: Client, addresses: readonly string[], port: number): Promise<void> {
  const ports = [{ name: 'https', port, protocol: 'TCP' }];
  await createOrPatch(client, Endpoints, {
    metadata: {
      name: 'kubernetes',
      namespace: 'default',
      labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' },
    },
    subsets: [{ addresses: addresses.map(ip => ({ ip })), ports }],
  });
  await createOrPatch(client, EndpointSlice, {
    metadata: { name: 'kubernetes', namespace: 'default', labels: { 'kubernetes.io/service-name': 'kubernetes' } },
    addressType: addresses[0]?.includes(':') ? 'IPv6' : 'IPv4',
    endpoints: addresses.map(address => ({ addresses: [address], conditions: { ready: true } })),
    ports,
  });
}

function leaseBytes(address: string, generation: number): Buffer {
  const lease = {
    kind: 'Endpoints',
    apiVersion: 'v1',
    metadata: { generation, creationTimestamp: null },
    subsets: [{ addresses: [{ ip: address }] }],
  };
  return Buffer.from(`${JSON.stringify(lease)}\n`);
}

function generationOf(bytes: Uint8Array): number {
  const { metadata } = JSON.parse(Buffer.from(bytes).toString()) as { metadata?: { generation?: number } };
  return metadata?.generation ?? 0;
}
