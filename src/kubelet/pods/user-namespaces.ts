import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Pod } from '#api/core/v1/pod.ts';
import type { RuntimeHandler, UserNamespace } from '#runtime/runtime.ts';
import { idsPerPodUnit } from '../configuration.ts';
import { readState, writeState } from '../resources/state-file.ts';

export interface UserNamespacesOptions {
  /** Where each pod has its folder. */
  readonly pods: string;
  readonly podsMax: number;
  readonly idsPerPod: number;
}

interface Recorded {
  readonly uidMappings: UserNamespace['uids'];
  readonly gidMappings: UserNamespace['gids'];
}

/** Ids are 32 bits; the highest one means nobody. */
const idsMax = 2 ** 32 - 1;

/** The ids of the host that pods with users of their own have: a range for each, which no other pod of the node has. */
export class UserNamespaces {
  readonly #options: UserNamespacesOptions;
  /** Where the node's ranges begin: nodes of one machine are to have different ones. */
  readonly #baseId: number;
  readonly #taken = new Map<string, number>();

  constructor(options: UserNamespacesOptions) {
    this.#options = options;
    const { pods, podsMax, idsPerPod } = options;
    const ofNode = Math.max(1, podsMax) * idsPerPod;
    const places = Math.max(1, Math.floor((idsMax - idsPerPodUnit) / ofNode));
    const place = createHash('sha256').update(pods).digest().readUInt32BE(0) % places;
    this.#baseId = idsPerPodUnit + place * ofNode;
    mkdirSync(pods, { recursive: true });
    for (const uid of readdirSync(pods)) {
      const known = readState<Recorded>(this.#file(uid))?.uidMappings[0]?.hostId;
      if (known !== undefined) this.#taken.set(uid, known);
    }
  }

  /**
   * The users of a pod that wants its own; `undefined` for all others. Throws when the runtime of the pod cannot do that, or
   * when there is no range left.
   */
  of(pod: Pod, handler: RuntimeHandler | undefined): UserNamespace | undefined {
    if (pod.spec?.hostUsers !== false) return undefined;
    const { uid = '' } = pod.metadata;
    const known = this.#taken.get(uid);
    if (known !== undefined) return this.#namespaceAt(known);
    if (!handler?.features.userNamespaces)
      throw new Error(
        `the handler ${JSON.stringify(handler?.name ?? '')} (handler's name) or the container runtime does not support user namespaces`,
      );
    const first = this.#free();
    const namespace = this.#namespaceAt(first);
    writeState(this.#file(uid), { uidMappings: namespace.uids, gidMappings: namespace.gids });
    this.#taken.set(uid, first);
    return namespace;
  }

  /** The pod's folder is gone. */
  release(podUid: string): void {
    this.#taken.delete(podUid);
  }

  #free(): number {
    const { podsMax, idsPerPod } = this.#options;
    const taken = [...this.#taken.values()];
    for (let place = 0; place < podsMax; place++) {
      const first = this.#baseId + place * idsPerPod;
      // Ranges of a former configuration may lie across.
      if (!taken.some(each => each < first + idsPerPod && first < each + idsPerPod)) return first;
    }
    throw new Error('could not find an empty slot to allocate a user namespace');
  }

  #namespaceAt(hostId: number): UserNamespace {
    const range = [{ containerId: 0, hostId, length: this.#options.idsPerPod }];
    return { mode: 'pod', uids: range, gids: range };
  }

  #file(podUid: string): string {
    return join(this.#options.pods, podUid, 'userns');
  }
}
