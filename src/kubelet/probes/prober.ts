import type { Container, Probe } from '#api/core/v1/pod-spec.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { runExec, runHttp, runTcp, type Finding, type Target } from './handlers.ts';
import { runGrpc } from './grpc.ts';

export type ProbeKind = 'startup' | 'liveness' | 'readiness';

/** What the probes of one running container say by now. */
export interface ProbeState {
  readonly startup: boolean | undefined;
  readonly liveness: boolean | undefined;
  readonly readiness: boolean | undefined;
}

export interface ProberOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** The target of the moment; `undefined` when the container is gone. */
  readonly target: () => Target | undefined;
  /** What is known of the container from before: it holds until a probe says otherwise. */
  readonly before?: { readonly startup: boolean; readonly readiness: boolean } | undefined;
  /** A result has changed. */
  readonly changed: () => void;
  /** One probe has said something. */
  readonly asked?: (kind: ProbeKind, result: 'successful' | 'failed') => void;
  /** One probe has failed. */
  readonly failed: (kind: ProbeKind, output: string) => void;
  /** One probe was good, with something to be said about it. */
  readonly warned?: (kind: ProbeKind, output: string) => void;
}

const titles: Readonly<Record<ProbeKind, string>> = {
  startup: 'Startup',
  liveness: 'Liveness',
  readiness: 'Readiness',
};

export function probeTitle(kind: ProbeKind): string {
  return titles[kind];
}

/** Probes one container for as long as it runs. The others wait for the startup probe. */
export class Prober implements Disposable {
  readonly #options: ProberOptions;
  readonly #container: Container;
  readonly #cancels = new Map<ProbeKind, () => void>();
  readonly #results = new Map<ProbeKind, boolean>();
  readonly #streaks = new Map<ProbeKind, { ok: boolean; count: number }>();
  readonly #startedMs: number;
  #closed = false;

  constructor(container: Container, startedMs: number, options: ProberOptions) {
    this.#container = container;
    this.#startedMs = startedMs;
    this.#options = options;
    const { startup = false, readiness = false } = options.before ?? {};
    if (startup) this.#results.set('startup', true);
    if (readiness) this.#results.set('readiness', true);
    if (container.startupProbe && !startup) this.#arm('startup', container.startupProbe, true);
    else this.#armOthers();
  }

  get state(): ProbeState {
    const { startupProbe, livenessProbe, readinessProbe } = this.#container;
    return {
      startup: startupProbe ? this.#results.get('startup') : true,
      liveness: livenessProbe ? this.#results.get('liveness') : true,
      // Not ready until a probe has said so.
      readiness: readinessProbe ? (this.#results.get('readiness') ?? false) : true,
    };
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    for (const cancel of this.#cancels.values()) cancel();
    this.#cancels.clear();
  }

  #armOthers(): void {
    const { livenessProbe, readinessProbe } = this.#container;
    if (livenessProbe) this.#arm('liveness', livenessProbe, true);
    if (readinessProbe) this.#arm('readiness', readinessProbe, true);
  }

  #arm(kind: ProbeKind, probe: Probe, first: boolean): void {
    if (this.#closed) return;
    const { clock } = this.#options;
    const sinceStartMs = clock.now() - this.#startedMs;
    const waitMs = first
      ? Math.max(0, (probe.initialDelaySeconds ?? 0) * 1000 - sinceStartMs)
      : probe.periodSeconds * 1000;
    this.#cancels.set(
      kind,
      clock.after(waitMs, () => void this.#run(kind, probe)),
    );
  }

  async #run(kind: ProbeKind, probe: Probe): Promise<void> {
    const target = this.#options.target();
    if (this.#closed || !target) return;
    const finding: Finding = await runProbe(probe, target).catch((error: unknown) => ({
      ok: false,
      output: String(error),
    }));
    if (this.#closed) return;
    this.#options.asked?.(kind, finding.ok ? 'successful' : 'failed');
    if (!finding.ok) this.#options.failed(kind, finding.output);
    else if (finding.isWarning) this.#options.warned?.(kind, finding.output);
    this.#count(kind, probe, finding);
    // A startup probe has done its work with its first success.
    if (kind === 'startup' && this.#results.get(kind)) return this.#armOthers();
    // A container that is to be killed is not asked again.
    if (kind !== 'readiness' && this.#results.get(kind) === false) return;
    this.#arm(kind, probe, false);
  }

  #count(kind: ProbeKind, probe: Probe, { ok }: Finding): void {
    const streak = this.#streaks.get(kind);
    const count = streak?.ok === ok ? streak.count + 1 : 1;
    this.#streaks.set(kind, { ok, count });
    const threshold = ok ? probe.successThreshold : probe.failureThreshold;
    if (count < threshold || this.#results.get(kind) === ok) return;
    this.#results.set(kind, ok);
    this.#options.changed();
  }
}

export async function runProbe(probe: Probe, target: Target): Promise<Finding> {
  const timeoutMs = probe.timeoutSeconds * 1000;
  if (probe.exec) return runExec(probe.exec, target, probe.timeoutSeconds);
  if (probe.httpGet) return runHttp(probe.httpGet, target, timeoutMs, 'kube-probe');
  if (probe.tcpSocket) return runTcp(probe.tcpSocket, target, timeoutMs);
  if (probe.grpc) return runGrpc(probe.grpc, target.podIp, timeoutMs);
  return { ok: true, output: '' };
}
