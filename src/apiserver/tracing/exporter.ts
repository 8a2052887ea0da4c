import { Client, credentials, Metadata } from '@grpc/grpc-js';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Attributes, FinishedSpan } from '#base/trace.ts';
import { encodeExport } from './otlp.ts';

/** OpenTelemetry's own values for batches. */
const batchMax = 512;
const queueMax = 2_048;
const waitMs = 5_000;
const timeoutMs = 10_000;
const path = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';

/** Sends spans to a collector by OTLP over gRPC, in batches; what does not fit into the queue is dropped. */
export class Exporter implements AsyncDisposable {
  readonly #client: Client;
  readonly #resource: Attributes;
  readonly #clock: Clock;
  readonly #log: Log;
  #queue: FinishedSpan[] = [];
  #cancel: (() => void) | undefined;
  #sending: Promise<void> | undefined;
  #isFailing = false;
  #dropped = 0;

  constructor(endpoint: string, resource: Attributes, clock: Clock, log: Log) {
    this.#client = new Client(endpoint, credentials.createInsecure(), { 'grpc.enable_http_proxy': 0 });
    this.#resource = resource;
    this.#clock = clock;
    this.#log = log;
  }

  add(span: FinishedSpan): void {
    if (this.#queue.length >= queueMax) {
      this.#dropped++;
      return;
    }
    this.#queue.push(span);
    if (this.#queue.length >= batchMax) this.#send();
    else this.#cancel ??= this.#clock.after(waitMs, () => this.#send());
  }

  /** Sends what there is. */
  async flush(): Promise<void> {
    while (this.#queue.length > 0 || this.#sending) {
      this.#send();
      await this.#sending;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.flush();
    this.#client.close();
  }

  #send(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    if (this.#sending) return;
    const batch = this.#queue.splice(0, batchMax);
    if (batch.length === 0) return;
    this.#sending = this.#export(batch).finally(() => {
      this.#sending = undefined;
      if (this.#queue.length >= batchMax) this.#send();
      else if (this.#queue.length > 0) this.#cancel ??= this.#clock.after(waitMs, () => this.#send());
    });
  }

  async #export(batch: readonly FinishedSpan[]): Promise<void> {
    try {
      await this.#call(encodeExport(this.#resource, batch));
      this.#isFailing = false;
    } catch (error) {
      // A collector that is not there is said once, not every five seconds.
      if (!this.#isFailing)
        this.#log.warn('cannot export spans', { error, lost: batch.length, dropped: this.#dropped });
      this.#isFailing = true;
    }
  }

  #call(message: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        asItIs,
        asItIs,
        message,
        new Metadata(),
        { deadline: this.#clock.now() + timeoutMs },
        error => (error ? reject(error) : resolve()),
      );
    });
  }
}

function asItIs(message: Buffer): Buffer {
  return message;
}
