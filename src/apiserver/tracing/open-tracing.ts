import { readFileSync } from 'node:fs';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import { parseTracingConfiguration } from './configuration.ts';
import { Tracer } from './tracer.ts';

/** Traces of requests, sent to a collector. */
export interface Tracing extends AsyncDisposable {
  readonly tracer: Tracer;
  /** Sends what was recorded so far. */
  flush(): Promise<void>;
}

/** Throws a sentence for a file that is wrong. A collector that is not there is no error. */
export async function openTracing(
  file: string,
  { clock, random, log }: { readonly clock: Clock; readonly random: Random; readonly log: Log },
): Promise<Tracing> {
  const { endpoint, samplesPerMillion } = parseTracingConfiguration(readFileSync(file, 'utf8'));
  // gRPC takes a tenth of a second to load: only those pay for it who use it.
  const { Exporter } = await import('./exporter.ts');
  const resource = { 'service.name': 'apiserver', 'service.instance.id': random.uuid() };
  const exporter = new Exporter(endpoint, resource, clock, log);
  const tracer = new Tracer({ clock, random, samplesPerMillion, record: span => exporter.add(span) });
  return {
    tracer,
    flush: () => exporter.flush(),
    [Symbol.asyncDispose]: () => exporter[Symbol.asyncDispose](),
  };
}
