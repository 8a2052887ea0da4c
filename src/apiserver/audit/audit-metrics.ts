import type { Registry as PrometheusRegistry } from 'prom-client';
import type { AuditMetrics } from '#auth/audit/sink.ts';

/** Upstream's `apiserver_audit_…`. */
export function registerAuditMetrics(registry: PrometheusRegistry, metrics: AuditMetrics): void {
  const register = (name: string, help: string, read: () => readonly object[]) => {
    const get = async () => ({ name, help, type: 'counter', aggregator: 'sum', values: read() });
    registry.registerMetric({ name, help, type: 'counter', get, reset() {} } as never);
  };
  const labelled = (label: string, counts: ReadonlyMap<string, number>) =>
    [...counts].map(([key, value]) => ({ labels: { [label]: key }, value }));
  register('apiserver_audit_event_total', 'Counter of audit events generated and sent to the audit backend.', () => [
    { labels: {}, value: metrics.events },
  ]);
  register(
    'apiserver_audit_error_total',
    'Counter of audit events that failed to be audited properly. Plugin identifies the plugin affected by the error.',
    () => labelled('plugin', metrics.errors),
  );
  register('apiserver_audit_level_total', 'Counter of policy levels for audit events (1 per request).', () =>
    labelled('level', metrics.levels),
  );
  register(
    'apiserver_audit_requests_rejected_total',
    'Counter of apiserver requests rejected due to an error in audit logging backend.',
    () => [{ labels: {}, value: metrics.rejected }],
  );
}
