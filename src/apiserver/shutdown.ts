import type { Clock } from '#base/clock.ts';
import type { ApiRequest, ApiResponse } from '#client/transport.ts';
import { textResponse } from './text.ts';

export interface ShutdownOptions {
  /** How long the server goes on as before while load balancers learn that it is not ready any more. */
  readonly delayMs: number;
  /** Afterwards what is new is sent to another server, until what is under way is done. */
  readonly sendsRetryAfter: boolean;
  /** How long what is under way is waited for. */
  readonly drainMsMax: number;
}

const exemptPaths = ['/readyz', '/livez', '/healthz', '/metrics'];
const retryAfterSeconds = '5';

/** How a server ends: it says so first, then takes nothing new, and then lets what is under way finish. */
export class Shutdown {
  readonly #clock: Clock;
  #announced = false;
  #refuses = false;
  #running = 0;
  #idle: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether it has been said; then the server is not ready. */
  get announced(): boolean {
    return this.#announced;
  }

  /** The answer to a request from outside that comes too late. */
  refusal({ path, headers }: ApiRequest): ApiResponse | undefined {
    if (!this.#refuses || exemptPaths.some(each => path.startsWith(each))) return undefined;
    if (String(headers['user-agent'] ?? '').startsWith('kube-apiserver/')) return undefined;
    return textResponse(429, 'The apiserver is shutting down, please try again later.\n', {
      'retry-after': retryAfterSeconds,
      connection: 'close',
    });
  }

  began(): void {
    this.#running++;
  }

  done(): void {
    this.#running--;
    if (this.#running === 0) this.#idle?.();
  }

  /** Resolves when the server may be closed. */
  async run({ delayMs, sendsRetryAfter, drainMsMax }: ShutdownOptions): Promise<void> {
    this.#announced = true;
    if (delayMs > 0) await this.#clock.sleep(delayMs);
    this.#refuses = sendsRetryAfter;
    if (this.#running === 0) return;
    await new Promise<void>(resolve => {
      const cancel = this.#clock.after(drainMsMax, resolve);
      this.#idle = () => {
        cancel();
        resolve();
      };
    });
  }
}
