import { Report } from '#api/machinery/validation.ts';
import { readConfiguration } from '#auth/configuration-file.ts';

export interface TracingConfiguration {
  /** `host:port`, or a gRPC name: `unix:///run/collector.sock`, `dns:///collector:4317`. */
  readonly endpoint: string;
  /** Of a million traces that begin here, so many are recorded. */
  readonly samplesPerMillion: number;
}

const defaultEndpoint = 'localhost:4317';
const million = 1_000_000;

/** Reads a TracingConfiguration. Throws a sentence for what upstream refuses. */
export function parseTracingConfiguration(text: string): TracingConfiguration {
  let wire: { readonly endpoint?: string; readonly samplingRatePerMillion?: number };
  try {
    wire = readConfiguration(text, 'TracingConfiguration', ['v1', 'v1beta1', 'v1alpha1'], {
      endpoint: 'string',
      samplingRatePerMillion: 'number',
    });
  } catch (error) {
    throw new Error(`failed to read tracing config: ${(error as Error).message}`, { cause: error });
  }
  const { endpoint = defaultEndpoint, samplingRatePerMillion = 0 } = wire;
  const report = new Report();
  const rate = report.at('samplingRatePerMillion');
  if (samplingRatePerMillion < 0) rate.invalid(samplingRatePerMillion, 'sampling rate must be positive');
  if (samplingRatePerMillion > million)
    rate.invalid(samplingRatePerMillion, 'sampling rate per million must be less than or equal to one million');
  const [, scheme] = /^([a-z-]+):\/\//.exec(endpoint) ?? [];
  if (scheme !== undefined && !['dns', 'unix', 'unix-abstract'].includes(scheme))
    report
      .at('endpoint')
      .invalid(endpoint, `unsupported scheme: ${scheme}.  Options are none, dns, unix, or unix-abstract.`);
  if (report.errors.length > 0)
    throw new Error(
      `failed to validate tracing configuration: ${report.errors.map(({ field, message }) => `tracing.${field}: ${message}`).join(', ')}`,
    );
  return { endpoint, samplesPerMillion: samplingRatePerMillion };
}
