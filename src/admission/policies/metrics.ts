import { Counter, Histogram, type Registry } from 'prom-client';

/** What came of an expression, by upstream's labels. */
export type ErrorType = 'no_error' | 'compile_error' | 'invalid_error' | 'out_of_budget';

/** Where policies tell what they did; absent where nobody counts. */
export interface PolicyMetrics {
  validating(
    policy: string,
    binding: string,
    errorType: ErrorType,
    action: 'allow' | 'deny' | 'audit' | 'warn',
    seconds: number,
  ): void;
  mutating(policy: string, binding: string, errorType: ErrorType, seconds: number): void;
}

export function errorTypeOf(message: string): ErrorType {
  if (message.startsWith('compilation')) return 'compile_error';
  if (message.startsWith('validation failed due to running out of cost budget')) return 'out_of_budget';
  return 'invalid_error';
}

/** Upstream's metrics of admission policies. `registerOn` shows them once there is somebody who asks. */
export function policyMetrics(): PolicyMetrics & { registerOn(registry: Registry): void } {
  const validating = seriesOf('validating', ['policy', 'policy_binding', 'error_type', 'enforcement_action']);
  const mutating = seriesOf('mutating', ['policy', 'policy_binding', 'error_type']);
  return {
    validating(policy, policy_binding, error_type, enforcement_action, seconds) {
      const labels = { policy, policy_binding, error_type, enforcement_action };
      validating.checks.inc(labels);
      validating.durations.observe(labels, seconds);
    },
    mutating(policy, policy_binding, error_type, seconds) {
      const labels = { policy, policy_binding, error_type };
      mutating.checks.inc(labels);
      mutating.durations.observe(labels, seconds);
    },
    registerOn(registry) {
      for (const { checks, durations } of [validating, mutating]) {
        registry.registerMetric(checks);
        registry.registerMetric(durations as never);
      }
    },
  };
}

function seriesOf(sort: 'validating' | 'mutating', labelNames: string[]) {
  const name = `apiserver_${sort}_admission_policy_check`;
  return {
    checks: new Counter({
      name: `${name}_total`,
      help: 'Expressions of admission policies, by policy, binding and what came of them.',
      labelNames,
      registers: [],
    }),
    durations: new Histogram({
      name: `${name}_duration_seconds`,
      help: 'How long expressions of admission policies took.',
      labelNames,
      buckets: [0.000_000_5, 0.001, 0.01, 0.1, 1],
      registers: [],
    }),
  };
}
