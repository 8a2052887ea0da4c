import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import { isReason } from '#api/machinery/errors.ts';
import { Lease } from '#api/coordination/v1/lease.ts';
import type { Client } from './client.ts';

export interface ElectionOptions {
  readonly client: Client;
  readonly namespace: string;
  readonly name: string;
  /** Differs between all candidates. */
  readonly identity: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly leaseDurationMs?: number;
  readonly renewDeadlineMs?: number;
  readonly retryPeriodMs?: number;
}

/**
 * Waits until this candidate holds the lease, runs `lead`, and keeps renewing meanwhile. The signal that `lead` gets aborts
 * when the lease could not be renewed in time. Gives the lease back at the end, so that another candidate need not wait.
 * Resolves when the outer signal aborts; throws when leadership was lost.
 */
export async function leadWhileHolding(
  options: ElectionOptions,
  lead: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const { clock, random, log, identity, name } = options;
  const { renewDeadlineMs = 10_000, retryPeriodMs = 2_000 } = options;
  const candidate = new Candidate(options);
  while (!(await candidate.tryHold(signal))) {
    if (signal.aborted) return;
    // Spread as upstream: one to 2.2 times the period.
    if (!(await slept(clock, retryPeriodMs * (1 + 1.2 * random.next()), signal))) return;
  }
  if (signal.aborted) return;
  log.info('became leader', { lease: name, identity });
  const lost = new AbortController();
  const leading = lead(AbortSignal.any([signal, lost.signal]));
  const ended = leading.then(
    () => undefined,
    () => undefined,
  );
  const finished = new AbortController();
  ended.then(() => finished.abort());
  const renewing = AbortSignal.any([signal, finished.signal]);
  let renewedMs = clock.monotonic();
  while (await slept(clock, retryPeriodMs, renewing)) {
    const leftMs = renewedMs + renewDeadlineMs - clock.monotonic();
    if (await inTime(clock, leftMs, renewing, attempt => candidate.tryHold(attempt))) renewedMs = clock.monotonic();
    else if (clock.monotonic() - renewedMs >= renewDeadlineMs) {
      lost.abort(new Error(`cannot renew lease ${name}: the deadline has passed`));
      break;
    }
  }
  await ended;
  if (!lost.signal.aborted) await candidate.release();
  await leading.catch((error: unknown) => {
    if (!signal.aborted || !lost.signal.aborted) throw error;
  });
  if (lost.signal.aborted) throw lost.signal.reason;
}

class Candidate {
  readonly #options: ElectionOptions;
  readonly #leaseDurationMs: number;
  /** The lease as last seen, and when: other machines' clocks are not trusted. */
  #seen: { readonly lease: Lease; readonly atMs: number } | undefined;

  constructor(options: ElectionOptions) {
    this.#options = options;
    this.#leaseDurationMs = options.leaseDurationMs ?? 15_000;
  }

  async tryHold(signal: AbortSignal): Promise<boolean> {
    const { client, namespace, name, identity, clock, log } = this.#options;
    try {
      const lease = await this.#read(signal);
      if (!lease) {
        this.#see(await client.create(Lease, this.#wanted(undefined), { namespace, signal }));
        return true;
      }
      if (this.#seen?.lease.metadata.resourceVersion !== lease.metadata.resourceVersion) this.#see(lease);
      const holder = lease.spec?.holderIdentity ?? '';
      const heldUntilMs = (this.#seen?.atMs ?? 0) + (lease.spec?.leaseDurationSeconds ?? 0) * 1000;
      if (holder !== '' && holder !== identity && clock.monotonic() < heldUntilMs) return false;
      this.#see(await client.update(Lease, this.#wanted(lease), { signal }));
      return true;
    } catch (error) {
      if (!signal.aborted && !isReason(error, 'Conflict', 'AlreadyExists'))
        log.warn('cannot hold the lease', { lease: name, error });
      return false;
    }
  }

  async release(): Promise<void> {
    const { client, log, name, identity } = this.#options;
    const lease = this.#seen?.lease;
    if (lease?.spec?.holderIdentity !== identity) return;
    const nowText = this.#nowText();
    try {
      await client.update(Lease, {
        ...lease,
        spec: {
          leaseTransitions: lease.spec.leaseTransitions,
          leaseDurationSeconds: 1,
          acquireTime: nowText,
          renewTime: nowText,
          holderIdentity: '',
        },
      });
    } catch (error) {
      // It runs out by itself.
      log.debug('cannot release the lease', { lease: name, error });
    }
  }

  async #read(signal: AbortSignal): Promise<Lease | undefined> {
    const { client, namespace, name } = this.#options;
    try {
      return await client.get(Lease, name, { namespace, signal });
    } catch (error) {
      if (isReason(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  #wanted(old: Lease | undefined): Lease {
    const { namespace, name, identity } = this.#options;
    const keeps = old?.spec?.holderIdentity === identity;
    const nowText = this.#nowText();
    return {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: old?.metadata ?? { namespace, name },
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: this.#leaseDurationMs / 1000,
        acquireTime: keeps ? old.spec?.acquireTime : nowText,
        renewTime: nowText,
        leaseTransitions: (old?.spec?.leaseTransitions ?? 0) + (old && !keeps ? 1 : 0),
      },
    };
  }

  #see(lease: Lease): void {
    this.#seen = { lease, atMs: this.#options.clock.monotonic() };
  }

  #nowText(): string {
    return new Date(this.#options.clock.now()).toISOString().replace('Z', '000Z');
  }
}

/** An attempt that hangs must not let a leader go on behind its deadline: by then another one may lead. */
function inTime(
  clock: Clock,
  leftMs: number,
  signal: AbortSignal,
  attempt: (signal: AbortSignal) => Promise<boolean>,
): Promise<boolean> {
  const late = new AbortController();
  return new Promise((resolve, reject) => {
    const cancel = clock.after(leftMs, () => {
      late.abort(new Error('the lease could not be renewed in time'));
      resolve(false);
    });
    attempt(AbortSignal.any([signal, late.signal]))
      .then(resolve, reject)
      .finally(cancel);
  });
}

/** False when the signal ended the sleep. */
function slept(clock: Clock, delayMs: number, signal: AbortSignal): Promise<boolean> {
  return clock.sleep(delayMs, signal).then(
    () => true,
    () => false,
  );
}
