import { Pod, type PodStatus } from '#api/core/v1/pod.ts';
import { isReason } from '#api/machinery/errors.ts';
import type { Client } from '#client/client.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';

/** Writes the status of one pod: one write at a time, and of those that wait only the newest. */
export class StatusWriter {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #signal: AbortSignal;
  readonly #pod: Pick<Pod, 'metadata'>;
  #wanted: PodStatus | undefined;
  /** What is on its way, or was the last to arrive; `undefined`: the API has something else. */
  #sentText: string | undefined;
  #sent: PodStatus | undefined;
  /** The version of the pod that the last write made. */
  #writtenVersion = 0;
  #writing: Promise<void> | undefined;

  constructor(pod: Pod, client: Client, clock: Clock, log: Log, signal: AbortSignal) {
    this.#pod = pod;
    this.#client = client;
    this.#clock = clock;
    this.#log = log;
    this.#signal = signal;
    this.#sent = pod.status;
    this.#sentText = JSON.stringify(pod.status);
  }

  write(status: PodStatus): void {
    if (JSON.stringify(status) === (this.#wanted ? JSON.stringify(this.#wanted) : this.#sentText)) return;
    this.#wanted = status;
    this.#writing ??= this.#drain().finally(() => {
      this.#writing = undefined;
    });
  }

  /**
   * What the API has now. Somebody else may have changed what is ours: then the next `write` goes out even when it says
   * the same as the one before.
   */
  seen(pod: Pod): void {
    if (this.#writing || Number(pod.metadata.resourceVersion) < this.#writtenVersion) return;
    if (this.#sent && differs(pod.status, this.#sent)) this.#sentText = undefined;
  }

  /** Something is still to be written. */
  get isBehind(): boolean {
    return this.#writing !== undefined;
  }

  /** Everything has been written, or the pod is gone. */
  async flushed(): Promise<void> {
    await this.#writing;
  }

  async #drain(): Promise<void> {
    for (let delayMs = 100; this.#wanted && !this.#signal.aborted; ) {
      const status = this.#wanted;
      const text = JSON.stringify(status);
      this.#wanted = undefined;
      if (text === this.#sentText) continue;
      // From here on: what is written while this one is on its way is compared with it.
      this.#sentText = text;
      this.#sent = status;
      try {
        this.#writtenVersion = Number((await this.#patch(status)).metadata.resourceVersion);
        delayMs = 100;
      } catch (error) {
        this.#sentText = undefined;
        // The pod is gone, or is another one by now: nobody wants to know.
        if (isReason(error, 'NotFound') || (isReason(error, 'Conflict') && isOther(error))) return;
        if (this.#signal.aborted) return;
        this.#log.warn('cannot write the status of a pod', { pod: this.#pod.metadata.name, error });
        this.#wanted ??= status;
        await this.#clock.sleep(delayMs, this.#signal).catch(() => undefined);
        delayMs = Math.min(10_000, delayMs * 2);
      }
    }
  }

  #patch(status: PodStatus): Promise<Pod> {
    const { name = '', namespace = '', uid } = this.#pod.metadata;
    // Lists and maps of the status are ours alone, but for conditions, which are merged by type.
    const cleared = { reason: null, message: null, podIP: null, podIPs: null, initContainerStatuses: null };
    const present = Object.fromEntries(Object.entries(cleared).filter(([key]) => !(key in status)));
    const ips = status.podIPs && { podIPs: [{ $patch: 'replace' }, ...status.podIPs] };
    const hostIps = status.hostIPs && { hostIPs: [{ $patch: 'replace' }, ...status.hostIPs] };
    const patch = { metadata: { uid }, status: { ...present, ...status, ...ips, ...hostIps } };
    return this.#client.patch(
      Pod,
      name,
      { type: 'strategic', patch },
      { namespace, subresource: 'status', signal: this.#signal },
    );
  }
}

/** Conditions are what others write, too: the node lifecycle controller says of a silent node's pods that they are not ready. */
function differs(actual: PodStatus | undefined, sent: PodStatus): boolean {
  if (actual?.phase !== sent.phase) return true;
  return (sent.conditions ?? []).some(
    ({ type, status }) => actual?.conditions?.find(each => each.type === type)?.status !== status,
  );
}

/** Conflicts with other writers are tried again; the pod of that name is another one for good. */
function isOther(error: unknown): boolean {
  return error instanceof Error && error.message.includes('UID in precondition');
}
