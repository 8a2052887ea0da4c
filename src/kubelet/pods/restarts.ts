import type { Pod } from '#api/core/v1/pod.ts';
import type { Container } from '#api/core/v1/pod-spec.ts';

/** Whether a container that ended with this code is to be started again. `asInit`: before the pod is initialized. */
export function restarts(pod: Pod, container: Container, exitCode: number, asInit = false): boolean {
  const rule = container.restartPolicyRules?.find(({ exitCodes }) => {
    const isListed = exitCodes?.values?.includes(exitCode) ?? false;
    return exitCodes?.operator === 'NotIn' ? !isListed : isListed;
  });
  if (rule) return rule.action === 'Restart';
  const policy = container.restartPolicy ?? pod.spec?.restartPolicy ?? 'Always';
  // An init container has done its work when it has succeeded, whatever the policy.
  if (asInit && exitCode === 0) return container.restartPolicy === 'Always';
  return policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0);
}

const initialMs = 10_000;
const defaultMaxMs = 300_000;

interface Entry {
  readonly delayMs: number;
  readonly updatedMs: number;
}

/** How long each container waits before it is started again: 10 s, doubling to 5 min, forgotten after 10 quiet minutes. */
export class RestartBackoff {
  readonly #entries = new Map<string, Entry>();
  readonly #maxMs: number;

  constructor(maxMs = defaultMaxMs) {
    this.#maxMs = maxMs;
  }

  /** Until when the container that ended then has to wait; `undefined` when it need not. */
  until(name: string, endedMs: number, nowMs: number): { readonly atMs: number; readonly delayMs: number } | undefined {
    const entry = this.#entries.get(name);
    if (!entry || isOld(entry, endedMs)) return undefined;
    const atMs = endedMs + entry.delayMs;
    return atMs > nowMs ? { atMs, delayMs: entry.delayMs } : undefined;
  }

  /** The container is started again. */
  next(name: string, endedMs: number, nowMs: number): void {
    const entry = this.#entries.get(name);
    const delayMs = Math.min(this.#maxMs, !entry || isOld(entry, endedMs) ? initialMs : entry.delayMs * 2);
    this.#entries.set(name, { delayMs, updatedMs: nowMs });
  }
}

function isOld(entry: Entry, atMs: number): boolean {
  return atMs - entry.updatedMs > 2 * defaultMaxMs;
}
