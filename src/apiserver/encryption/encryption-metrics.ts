import type { Registry as PrometheusRegistry } from 'prom-client';
import { Histogram, type Sample } from '../histogram.ts';

const transformationBounds = Array.from({ length: 25 }, (_, power) => 5e-6 * 2 ** power);
const kmsBounds = Array.from({ length: 13 }, (_, power) => 1e-4 * 2 ** power);

/** Upstream's `apiserver_storage_transformation_…`, and what is asked of KMS plugins. */
export class EncryptionMetrics {
  readonly #durations = new Map<string, { readonly labels: Record<string, string>; readonly histogram: Histogram }>();
  readonly #operations = new Map<string, { readonly labels: Record<string, string>; count: number }>();
  readonly #kms = new Map<string, { readonly labels: Record<string, string>; readonly histogram: Histogram }>();
  readonly #reloads = new Map<string, { count: number; atMs: number }>();
  #misses = 0;

  transformed(resource: string, direction: string, prefix: string, seconds: number, failure: boolean): void {
    const status = failure ? 'Unknown' : 'OK';
    const key = `${resource} ${direction} ${prefix} ${status}`;
    let operation = this.#operations.get(key);
    if (!operation) {
      const labels = { resource, transformation_type: direction, transformer_prefix: prefix, status };
      this.#operations.set(key, (operation = { labels, count: 0 }));
    }
    operation.count++;
    if (failure) return;
    const name = `${direction} ${prefix}`;
    let duration = this.#durations.get(name);
    if (!duration) {
      const labels = { transformation_type: direction, transformer_prefix: prefix };
      this.#durations.set(name, (duration = { labels, histogram: new Histogram(transformationBounds) }));
    }
    duration.histogram.observe(seconds);
  }

  missed(): void {
    this.#misses++;
  }

  asked(provider: string, method: string, code: string, seconds: number): void {
    const key = `${provider} ${method} ${code}`;
    let asked = this.#kms.get(key);
    if (!asked) {
      const labels = { provider_name: provider, method_name: method, grpc_status_code: code };
      this.#kms.set(key, (asked = { labels, histogram: new Histogram(kmsBounds) }));
    }
    asked.histogram.observe(seconds);
  }

  reloaded(status: 'success' | 'failure', nowMs: number): void {
    const { count = 0 } = this.#reloads.get(status) ?? {};
    this.#reloads.set(status, { count: count + 1, atMs: nowMs });
  }

  registerIn(registry: PrometheusRegistry): void {
    const register = (name: string, help: string, type: string, read: () => readonly Sample[]) => {
      const get = async () => ({ name, help, type, aggregator: 'sum', values: read() });
      registry.registerMetric({ name, help, type, get, reset() {} } as never);
    };
    const histograms = (
      name: string,
      all: Iterable<{ readonly labels: Record<string, string>; readonly histogram: Histogram }>,
    ) => [...all].flatMap(({ labels, histogram }) => histogram.samples(name, labels));
    const duration = 'apiserver_storage_transformation_duration_seconds';
    register(duration, 'Latencies in seconds of value transformation operations.', 'histogram', () =>
      histograms(duration, this.#durations.values()),
    );
    register(
      'apiserver_storage_transformation_operations_total',
      "Total number of transformations. Successful transformation will have a status 'OK' and a varied status string when the transformation fails.",
      'counter',
      () => [...this.#operations.values()].map(({ labels, count }) => ({ labels, value: count })),
    );
    register(
      'apiserver_storage_envelope_transformation_cache_misses_total',
      'Total number of cache misses while accessing key decryption key(KEK).',
      'counter',
      () => [{ labels: {}, value: this.#misses }],
    );
    const asked = 'apiserver_envelope_encryption_kms_operations_latency_seconds';
    register(asked, 'KMS operation duration with gRPC error code status total.', 'histogram', () =>
      histograms(asked, this.#kms.values()),
    );
    register(
      'apiserver_encryption_config_controller_automatic_reloads_total',
      'Total number of reload successes and failures of encryption configuration split by apiserver identity.',
      'counter',
      () => [...this.#reloads].map(([status, { count }]) => ({ labels: { status }, value: count })),
    );
    register(
      'apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds',
      'Timestamp of the last successful or failed automatic reload of encryption configuration split by apiserver identity.',
      'gauge',
      () => [...this.#reloads].map(([status, { atMs }]) => ({ labels: { status }, value: atMs / 1000 })),
    );
  }
}
