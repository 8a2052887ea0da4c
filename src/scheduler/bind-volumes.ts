import type { Clock } from '#base/clock.ts';
import { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import { PersistentVolume } from '#api/core/v1/persistent-volume.ts';
import type { Client } from '#client/client.ts';
import { referenceTo } from '#client/events.ts';
import type { Informer } from '#client/informer.ts';
import type { VolumeReservation } from './plugin.ts';
import { selectedNodeAnnotation } from './plugins/volume-binding.ts';
import type { StorageState } from './storage-state.ts';

export interface VolumeBinder {
  readonly client: Client;
  readonly clock: Clock;
  readonly claims: Informer<PersistentVolumeClaim>;
  /** How long volumes may take to be bound or made (upstream's bindTimeoutSeconds). */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Promises volumes and nodes to claims, so that no other pod is placed by them. The result takes the promise back. */
export function reserveVolumes(storage: StorageState, nodeName: string, reservation: VolumeReservation): () => void {
  for (const { claim, volume } of reservation.bindings)
    storage.promisedVolumes.set(volume.metadata.name ?? '', keyOf(claim));
  for (const claim of reservation.provisions) storage.promisedNodes.set(keyOf(claim), nodeName);
  return () => {
    for (const { volume } of reservation.bindings) storage.promisedVolumes.delete(volume.metadata.name ?? '');
    for (const claim of reservation.provisions) storage.promisedNodes.delete(keyOf(claim));
  };
}

/** Writes what was promised, and waits until the volume controllers have bound every claim. Throws when they cannot. */
export async function bindVolumes(
  binder: VolumeBinder,
  nodeName: string,
  reservation: VolumeReservation,
): Promise<void> {
  const { client, signal } = binder;
  for (const { claim, volume } of reservation.bindings) {
    if (volume.spec?.claimRef?.uid === claim.metadata.uid) continue;
    const { resourceVersion: _, ...claimRef } = referenceTo(claim, PersistentVolumeClaim);
    const annotations = { ...volume.metadata.annotations, 'pv.kubernetes.io/bound-by-controller': 'yes' };
    const metadata = { ...volume.metadata, ...(volume.spec?.claimRef === undefined && { annotations }) };
    await client.update(PersistentVolume, { ...volume, metadata, spec: { ...volume.spec, claimRef } }, { signal });
  }
  for (const claim of reservation.provisions) {
    if (claim.metadata.annotations?.[selectedNodeAnnotation] === nodeName) continue;
    const annotations = { ...claim.metadata.annotations, [selectedNodeAnnotation]: nodeName };
    const { namespace = '' } = claim.metadata;
    await client.update(
      PersistentVolumeClaim,
      { ...claim, metadata: { ...claim.metadata, annotations } },
      { namespace, signal },
    );
  }
  const waiting = new Map(
    [...reservation.bindings.map(each => each.claim), ...reservation.provisions].map(each => [keyOf(each), each]),
  );
  await untilBound(binder, nodeName, waiting, new Set(reservation.provisions.map(keyOf)));
}

function untilBound(
  { claims, clock, timeoutMs, signal }: VolumeBinder,
  nodeName: string,
  waiting: ReadonlyMap<string, PersistentVolumeClaim>,
  provisioned: ReadonlySet<string>,
): Promise<void> {
  const left = new Set(waiting.keys());
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const annotated = new Set<string>();
  const see = (claim: PersistentVolumeClaim) => {
    const key = keyOf(claim);
    if (!left.has(key)) return;
    const { annotations = {} } = claim.metadata;
    if (annotations[selectedNodeAnnotation] === nodeName) annotated.add(key);
    // A provisioner that cannot make the volume for this node takes the annotation away.
    else if (provisioned.has(key) && annotated.has(key))
      return reject(new Error(`provisioning failed for PVC "${claim.metadata.name}"`));
    if (claim.spec?.volumeName && annotations['pv.kubernetes.io/bind-completed'] !== undefined) left.delete(key);
    if (left.size === 0) resolve();
  };
  const gone = (claim: PersistentVolumeClaim) => {
    if (left.has(keyOf(claim))) reject(new Error(`persistentvolumeclaim "${claim.metadata.name}" not found`));
  };
  const unsubscribe = claims.subscribe({ added: see, updated: see, deleted: gone });
  const cancelTimeout = clock.after(timeoutMs, () => reject(new Error('binding volumes: context deadline exceeded')));
  const abort = () => reject(signal.reason instanceof Error ? signal.reason : new Error('the scheduler ends'));
  signal.addEventListener('abort', abort, { once: true });
  return promise.finally(() => {
    unsubscribe();
    cancelTimeout();
    signal.removeEventListener('abort', abort);
  });
}

function keyOf({ metadata }: PersistentVolumeClaim): string {
  return `${metadata.namespace}/${metadata.name}`;
}
