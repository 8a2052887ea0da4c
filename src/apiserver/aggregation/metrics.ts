import { Counter, Gauge, type Registry } from 'prom-client';

/** Upstream's metrics of the availability of API services. */
export interface AvailabilityMetrics {
  set(name: string, available: boolean): void;
  /** A service that was available no longer is. */
  lost(name: string, reason: string): void;
  forget(name: string): void;
}

export function availabilityMetrics(registry: Registry): AvailabilityMetrics {
  const unavailable = new Gauge({
    name: 'aggregator_unavailable_apiservice',
    help: 'Whether an API service is marked as unavailable.',
    labelNames: ['name'],
    registers: [registry],
  });
  const lost = new Counter({
    name: 'aggregator_unavailable_apiservice_total',
    help: 'How often API services were marked as unavailable, by reason.',
    labelNames: ['name', 'reason'],
    registers: [registry],
  });
  return {
    set: (name, available) => unavailable.set({ name }, available ? 0 : 1),
    lost: (name, reason) => lost.inc({ name, reason }),
    forget: name => unavailable.remove({ name }),
  };
}
