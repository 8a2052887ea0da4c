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
  #writtenText: string;
  #writing: Promise<void> | undefined;

  constructor(pod: Pod, client: Client, clock: Clock, log: Log, signal: AbortSignal) {
    this.#pod = pod;
    this.#client = client;
    this.#clock = clock;
    this.#log = log;
    this.#signal = signal;
    this.#writtenText = JSON.stringify(pod.status);
  }

  write(status: PodStatus): void {
    if (JSON.stringify(status) === (this.#wanted ? JSON.stringify(this.#wanted) : this.#writtenText)) return;
    this.#wanted = status;
    this.#writing ??= this.#drain().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Everything has been written, or the pod is gone. */
  async flushed(): Promise<void> {
    await this.#writing;
  }

  async #drain(): Promise<void> {
    for (let delayMs = 100; this.#wanted && !this.#signal.aborted; ) {
      const status = this.#wanted;
      this.#wanted = undefined;
      const text = JSON.stringify(status);
      if (text === this.#writtenText) continue;
      try {
        await this.#patch(status);
        this.#writtenText = text;
        delayMs = 100;
      } catch (error) {
        // The pod is gone, or is another one by now: nobody wants to know.
        if (isReason(error, 'NotFound', 'Conflict')) return;
        this.#log.warn('cannot write the status of a pod', { pod: this.#pod.metadata.name, error });
        this.#wanted ??= status;
        await this.#clock.sleep(delayMs, this.#signal).catch(() => undefined);
        delayMs = Math.min(10_000, delayMs * 2);
      }
    }
  }

  async #patch(status: PodStatus): Promise<void> {
    const { name = '', namespace = '', uid } = this.#pod.metadata;
    // Lists and maps of the status are ours alone, but for conditions, which are merged by type.
    const cleared = { reason: null, message: null, podIP: null, podIPs: null, initContainerStatuses: null };
    const present = Object.fromEntries(Object.entries(cleared).filter(([key]) => !(key in status)));
    const ips = status.podIPs && { podIPs: [{ $patch: 'replace' }, ...status.podIPs] };
    const hostIps = status.hostIPs && { hostIPs: [{ $patch: 'replace' }, ...status.hostIPs] };
    const patch = { metadata: { uid }, status: { ...present, ...status, ...ips, ...hostIps } };
    await this.#client.patch(
      Pod,
      name,
      { type: 'strategic', patch },
      { namespace, subresource: 'status', signal: this.#signal },
    );
  }
}
