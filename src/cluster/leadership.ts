import { hostname } from 'node:os';
import { Lifetime } from '#base/lifetime.ts';
import { leadWhileHolding, type ElectionOptions } from '#client/lease.ts';

/**
 * Acts while this process holds the lease, as often as it gets it, until the signal aborts. What `act` opens is closed when
 * the lease is lost: another process acts then.
 */
export async function actWhileLeading(
  options: Omit<ElectionOptions, 'namespace' | 'identity'>,
  act: (lifetime: Lifetime) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const { random, clock, log, name } = options;
  const identity = `${hostname()}_${random.uuid()}`;
  const lead = async (leading: AbortSignal) => {
    await using lifetime = new Lifetime();
    await act(lifetime);
    if (!leading.aborted)
      await new Promise<void>(resolve => leading.addEventListener('abort', () => resolve(), { once: true }));
  };
  while (!signal.aborted) {
    try {
      await leadWhileHolding({ ...options, namespace: 'kube-system', identity }, lead, signal);
    } catch (error) {
      if (signal.aborted) return;
      log.warn('no longer leads', { lease: name, error });
      await clock.sleep(pauseMs, signal).catch(() => undefined);
    }
  }
}

/** So that a fault that comes at once does not come all the time. */
const pauseMs = 1_000;
