import { Counter, Histogram, type Registry } from 'prom-client';

export type WebhookType = 'admit' | 'validating';

/** Where webhooks tell what came of their calls. */
export interface WebhookMetrics {
  called(call: WebhookCallMeasure): void;
  /** A request was refused: by the webhook, or because it could not be asked. */
  refused(
    name: string,
    type: WebhookType,
    operation: string,
    why: 'no_error' | 'calling_webhook_error' | 'apiserver_internal_error',
    code: number,
  ): void;
  failedOpen(name: string, type: WebhookType): void;
  /** A match condition was false, so that nobody was asked. */
  excluded(name: string, type: WebhookType, operation: string): void;
  conditionFailed(name: string, type: WebhookType, operation: string): void;
}

export interface WebhookCallMeasure {
  readonly name: string;
  readonly type: WebhookType;
  readonly operation: string;
  readonly seconds: number;
  readonly refused: boolean;
  readonly code: number;
}

/** Upstream's metrics of admission webhooks. `registerOn` shows them once there is somebody who asks. */
export function webhookMetrics(): WebhookMetrics & { registerOn(registry: Registry): void } {
  const registers: Registry[] = [];
  const durations = new Histogram({
    name: 'apiserver_admission_webhook_admission_duration_seconds',
    help: 'How long webhooks took, by name, type, operation and whether they refused.',
    labelNames: ['name', 'type', 'operation', 'rejected'],
    buckets: [0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 25],
    registers,
  });
  const requests = new Counter({
    name: 'apiserver_admission_webhook_request_total',
    help: 'Calls of webhooks, by name, type, operation, code and whether they refused.',
    labelNames: ['name', 'type', 'operation', 'code', 'rejected'],
    registers,
  });
  const refusals = new Counter({
    name: 'apiserver_admission_webhook_rejection_count',
    help: 'Requests refused because of webhooks, by name, type, operation, kind of error and code.',
    labelNames: ['name', 'type', 'operation', 'error_type', 'rejection_code'],
    registers,
  });
  const opened = new Counter({
    name: 'apiserver_admission_webhook_fail_open_count',
    help: 'Calls that failed and were passed over, by name and type.',
    labelNames: ['name', 'type'],
    registers,
  });
  const exclusions = new Counter({
    name: 'apiserver_admission_match_condition_exclusions_total',
    help: 'Requests that a match condition kept from a webhook.',
    labelNames: ['name', 'kind', 'type', 'operation'],
    registers,
  });
  const failures = new Counter({
    name: 'apiserver_admission_match_condition_evaluation_errors_total',
    help: 'Match conditions of webhooks that came to no answer.',
    labelNames: ['name', 'kind', 'type', 'operation'],
    registers,
  });
  return {
    called({ name, type, operation, seconds, refused, code }) {
      const rejected = String(refused);
      durations.observe({ name, type, operation, rejected }, seconds);
      requests.inc({ name, type, operation, code: codeText(code), rejected });
    },
    refused: (name, type, operation, why, code) =>
      refusals.inc({ name, type, operation, error_type: why, rejection_code: codeText(code) }),
    failedOpen: (name, type) => opened.inc({ name, type }),
    excluded: (name, type, operation) => exclusions.inc({ name, kind: 'webhook', type, operation }),
    conditionFailed: (name, type, operation) => failures.inc({ name, kind: 'webhook', type, operation }),
    registerOn(registry) {
      for (const metric of [durations, requests, refusals, opened, exclusions, failures])
        registry.registerMetric(metric as never);
    },
  };
}

/** Webhooks choose their codes: without a bound they would make series without end. */
function codeText(code: number): string {
  return String(Math.min(600, code));
}
