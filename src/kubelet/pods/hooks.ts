import type { LifecycleHandler } from '#api/core/v1/pod-spec.ts';
import type { Clock } from '#base/clock.ts';
import { runExec, runHttp, runTcp, type Finding, type Target } from '../probes/handlers.ts';

/** Hooks over HTTP have upstream's client timeout of none; this bounds what cannot be waited for anyway. */
const hookTimeoutMs = 3_600_000;

/** Runs a post-start or pre-stop hook to its end. */
export async function runHook(
  hook: LifecycleHandler,
  target: Target,
  clock: Clock,
  signal: AbortSignal,
): Promise<Finding> {
  if (hook.exec) return runExec(hook.exec, target, 0, signal);
  if (hook.httpGet) return runHttp(hook.httpGet, target, hookTimeoutMs, 'kube-lifecycle');
  if (hook.tcpSocket) return runTcp(hook.tcpSocket, target, hookTimeoutMs);
  if (hook.sleep) {
    const isWhole = await clock.sleep(hook.sleep.seconds * 1000, signal).then(
      () => true,
      () => false,
    );
    return { ok: isWhole, output: isWhole ? '' : 'the sleep was cut short' };
  }
  return { ok: true, output: '' };
}
