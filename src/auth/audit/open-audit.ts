import { readFileSync } from 'node:fs';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { endpointFromKubeconfig, outgoingTo } from '../outgoing.ts';
import { buffered, type BatchOptions } from './buffered.ts';
import { openLogSink, type LogSinkOptions } from './log-sink.ts';
import { parseAuditPolicy, type AuditPolicy } from './policy.ts';
import { AuditMetrics, ignoringFailures, toAll, type AuditSink, type SinkReport } from './sink.ts';
import { truncating, type TruncateOptions } from './truncate.ts';
import { webhookSink } from './webhook-sink.ts';

export const auditModes = ['batch', 'blocking', 'blocking-strict'] as const;
export type AuditMode = (typeof auditModes)[number];

interface Delivery {
  readonly mode: AuditMode;
  readonly batch: BatchOptions;
  readonly truncate: TruncateOptions | undefined;
}

export interface AuditOptions {
  readonly policyFile: string | undefined;
  readonly log: (LogSinkOptions & Delivery) | undefined;
  /** `file` is a kubeconfig whose cluster is the webhook. */
  readonly webhook: (Delivery & { readonly file: string; readonly firstPauseMs: number }) | undefined;
}

/** The audit log of a server. */
export interface Audit extends AsyncDisposable {
  readonly policy: AuditPolicy;
  readonly sink: AuditSink;
  readonly metrics: AuditMetrics;
}

/** Upstream's time for one request to a webhook. */
const webhookTimeoutMs = 30_000;

/** Undefined where there is no policy, or nowhere to write to. Throws a sentence for a configuration that is wrong. */
export async function openAudit(
  options: AuditOptions,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<Audit | undefined> {
  const { policyFile } = options;
  if (policyFile === undefined) return undefined;
  const policy = parseAuditPolicy(readFileSync(policyFile, 'utf8'), policyFile, log);
  const metrics = new AuditMetrics();
  const report: SinkReport = { metrics, log };
  const sinks: AuditSink[] = [];
  if (options.log) sinks.push(delivered(await openLogSink(options.log, report, clock), options.log, report, clock));
  const stop = new AbortController();
  if (options.webhook) {
    const { file, firstPauseMs } = options.webhook;
    const outgoing = outgoingTo(await endpointFromKubeconfig(file), {
      clock,
      timeoutMs: webhookTimeoutMs,
      signal: stop.signal,
    });
    const webhook = webhookSink(outgoing, report, { clock, signal: stop.signal, firstPauseMs });
    sinks.push(delivered(webhook, options.webhook, report, clock));
  }
  if (sinks.length === 0) return undefined;
  const sink = toAll(sinks);
  return {
    policy,
    sink,
    metrics,
    async [Symbol.asyncDispose]() {
      // A webhook that is not there must not keep the server from ending.
      const cancel = clock.after(closingMsMax, () => stop.abort(new Error('the server is ending')));
      try {
        await sink[Symbol.asyncDispose]();
      } finally {
        cancel();
      }
    },
  };
}

const closingMsMax = 2_000;

function delivered(sink: AuditSink, { mode, batch, truncate }: Delivery, report: SinkReport, clock: Clock): AuditSink {
  const kept =
    mode === 'blocking-strict'
      ? sink
      : mode === 'blocking'
        ? ignoringFailures(sink)
        : buffered(sink, batch, report, clock);
  return truncate ? truncating(kept, truncate, report) : kept;
}
