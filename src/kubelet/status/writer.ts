import { Pod, type PodStatus } from '#api/core/v1/pod.ts';
import { isReason } from '#api/machinery/errors.ts';
import type { Client } from '#client/client.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';

const passing = ['PodResizePending', 'PodResizeInProgress'];

/** Writes the status of one pod: one write at a time, and of those that wait only the newest. */
export class StatusWriter {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #signal: AbortSignal;
  readonly #missing: (() => Promise<void>) | undefined;
  readonly #pod: Pick<Pod, 'metadata'>;
  readonly #closing = new AbortController();
  /** Every type of condition that the API has shown or was told. */
  readonly #shown = new Set<string>();
  #wanted: PodStatus | undefined;
  /** What is on its way, or was the last to arrive; `undefined`: the API has something else. */
  #sentText: string | undefined;
  #sent: PodStatus | undefined;
  /** The version of the pod that the last write made. */
  #writtenVersion = 0;
  #writing: Promise<void> | undefined;
  #waitingSinceMs: number | undefined;

  /** `missing` makes the object that is written to, when there is none; without it a pod that is missing is let go. */
  constructor(
    pod: Pick<Pod, 'metadata' | 'status'>,
    client: Client,
    clock: Clock,
    log: Log,
    signal: AbortSignal,
    missing?: () => Promise<void>,
  ) {
    this.#missing = missing;
    this.#pod = pod;
    this.#client = client;
    this.#clock = clock;
    this.#log = log;
    this.#signal = signal;
    this.#sent = pod.status;
    for (const { type } of pod.status?.conditions ?? []) this.#shown.add(type);
    this.#sentText = JSON.stringify(pod.status);
  }

  write(status: PodStatus): void {
    if (JSON.stringify(status) === (this.#wanted ? JSON.stringify(this.#wanted) : this.#sentText)) return;
    this.#wanted = status;
    this.#writing ??= this.#drain();
  }

  /**
   * What the API has now. Somebody else may have changed what is ours: then the next `write` goes out even when it says
   * the same as the one before.
   */
  seen(pod: Pod): void {
    for (const { type } of pod.status?.conditions ?? []) this.#shown.add(type);
    if (this.#writing || Number(pod.metadata.resourceVersion) < this.#writtenVersion) return;
    if (this.#sent && differs(pod.status, this.#sent)) this.#sentText = undefined;
  }

  /**
   * The pod with the status that the next one is to be made from: what is on its way counts before it has come back.
   * Otherwise two statuses that differ in a time only would follow each other for ever.
   */
  ahead(pod: Pod): Pod {
    const isBehind = this.#writing !== undefined || Number(pod.metadata.resourceVersion) < this.#writtenVersion;
    const newest = this.#wanted ?? (isBehind && this.#sentText !== undefined ? this.#sent : undefined);
    if (!newest) return pod;
    const own = new Set((newest.conditions ?? []).map(({ type }) => type));
    const others = (pod.status?.conditions ?? []).filter(({ type }) => !own.has(type));
    return { ...pod, status: { ...pod.status, ...newest, conditions: [...(newest.conditions ?? []), ...others] } };
  }

  /** Since when a write is on its way that the API has not answered. */
  get waitingSinceMs(): number | undefined {
    return this.#waitingSinceMs;
  }

  /** Everything has been written, or the pod is gone. */
  async flushed(): Promise<void> {
    await this.#writing;
  }

  /** As `flushed`, but what the API does not take at once is given up. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the node agent was stopped'));
    await this.#writing;
  }

  async #drain(): Promise<void> {
    try {
      for (let delayMs = 100; this.#wanted && !this.#signal.aborted; ) {
        const status = this.#wanted;
        this.#wanted = undefined;
        if (await this.#send(status)) {
          delayMs = 100;
          continue;
        }
        if (this.#closing.signal.aborted) return;
        this.#wanted ??= status;
        const woken = AbortSignal.any([this.#signal, this.#closing.signal]);
        await this.#clock.sleep(delayMs, woken).catch(() => undefined);
        delayMs = Math.min(10_000, delayMs * 2);
      }
    } finally {
      // At once: what is wanted in the next moment begins anew.
      this.#writing = undefined;
    }
  }

  /** False: it has to be tried again. */
  async #send(status: PodStatus): Promise<boolean> {
    const text = JSON.stringify(status);
    if (text === this.#sentText) return true;
    // From here on: what is written while this one is on its way is compared with it.
    this.#sentText = text;
    this.#sent = status;
    this.#waitingSinceMs = this.#clock.now();
    try {
      this.#writtenVersion = Number((await this.#patch(status)).metadata.resourceVersion);
      return true;
    } catch (error) {
      this.#sentText = undefined;
      // The pod is gone, or is another one by now: nobody wants to know.
      if (isReason(error, 'NotFound') && this.#missing) return await this.#makeAndSend(status, this.#missing);
      if (isReason(error, 'NotFound') || (isReason(error, 'Conflict') && isOther(error))) return true;
      if (this.#signal.aborted) return true;
      this.#log.warn('cannot write the status of a pod', { pod: this.#pod.metadata.name, error });
      return false;
    } finally {
      this.#waitingSinceMs = undefined;
    }
  }

  async #makeAndSend(status: PodStatus, make: () => Promise<void>): Promise<boolean> {
    try {
      await make();
      this.#writtenVersion = Number((await this.#patch(status)).metadata.resourceVersion);
      this.#sentText = JSON.stringify(status);
      return true;
    } catch (error) {
      this.#log.info('cannot show a static pod to the API yet', { pod: this.#pod.metadata.name, error });
      return false;
    }
  }

  /** Conditions that come and go: what the API may still have and does not hold any more. */
  #outdated(status: PodStatus): readonly object[] {
    const gone = passing.filter(type => this.#shown.has(type) && !status.conditions?.some(each => each.type === type));
    for (const { type } of status.conditions ?? []) this.#shown.add(type);
    return gone.map(type => ({ type, $patch: 'delete' }));
  }

  #patch(status: PodStatus): Promise<Pod> {
    const { name = '', namespace = '', uid } = this.#pod.metadata;
    // Lists and maps of the status are ours alone, but for conditions, which are merged by type.
    const cleared = { reason: null, message: null, podIP: null, podIPs: null, initContainerStatuses: null };
    const present = Object.fromEntries(Object.entries(cleared).filter(([key]) => !(key in status)));
    const ips = status.podIPs && { podIPs: [{ $patch: 'replace' }, ...status.podIPs] };
    const hostIps = status.hostIPs && { hostIPs: [{ $patch: 'replace' }, ...status.hostIPs] };
    // What is merged by type keeps what is not taken back.
    const own = (status.conditions ?? []).map(each => ({ reason: null, message: null, ...each }));
    const conditions = [...own, ...this.#outdated(status)];
    const patch = {
      ...(uid !== undefined && { metadata: { uid } }),
      status: { ...present, ...status, conditions, ...ips, ...hostIps },
    };
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
