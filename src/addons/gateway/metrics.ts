import { Counter, Gauge, Registry } from 'prom-client';
import type { Arrangement } from './arrange.ts';
import type { ProxyCounts } from './proxy.ts';

/** What the controller counts; the proxy has metrics of its own. */
export function openGatewayMetrics(counts: () => ProxyCounts) {
  const registry = new Registry();
  const registers = [registry];
  const counter = (name: string, help: string, read: (now: ProxyCounts) => number) =>
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read(counts()));
      },
    });
  counter('windlass_gateway_proxy_loads_total', 'Configurations that the proxy has loaded.', now => now.reloads);
  counter(
    'windlass_gateway_proxy_failed_loads_total',
    'Configurations that the proxy could not load.',
    now => now.failedReloads,
  );
  counter(
    'windlass_gateway_server_changes_total',
    'Servers changed without loading a configuration.',
    now => now.serverChanges,
  );
  const listeners = new Gauge({ name: 'windlass_gateway_ports', help: 'Ports that the proxy serves.', registers });
  const backends = new Gauge({
    name: 'windlass_gateway_backends',
    help: 'Ports of Services that routes lead to.',
    registers,
  });
  const duration = new Gauge({
    name: 'windlass_gateway_last_sync_duration_seconds',
    help: 'How long the last change took to get into the proxy and the statuses.',
    registers,
  });
  return {
    /** Shows them beside the metrics of whoever runs this. */
    registerOn(other: Registry) {
      for (const metric of registry.getMetricsAsArray()) other.registerMetric(metric as never);
    },
    arranged({ model }: Arrangement) {
      listeners.set(model.ports.length);
      backends.set(model.backends.size);
    },
    tookMs: (durationMs: number) => duration.set(durationMs / 1000),
    close: () => registry.clear(),
  };
}
