import { spawn } from 'node:child_process';

/** Word from the machine that it is about to go down, and the means to hold it up for a moment. */
export interface ShutdownNotice extends Disposable {
  /** Resolves when it is about to; never when it is not. */
  readonly announced: Promise<void>;
  /** It may go down now. Disposing does the same. */
  release(): void;
}

/**
 * Asks systemd-logind for the delay that it grants (`InhibitDelayMaxSec`, five seconds unless configured). Rejects where
 * there is no logind, or not its tools.
 */
export async function awaitShutdown(who: string, why: string): Promise<ShutdownNotice> {
  // Both end with this process: their input ends with it.
  const lock = spawn('systemd-inhibit', ['--what=shutdown', '--mode=delay', `--who=${who}`, `--why=${why}`, 'cat'], {
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  const match = "type='signal',interface='org.freedesktop.login1.Manager',member='PrepareForShutdown'";
  const monitor = spawn('sh', ['-c', 'dbus-monitor --system "$1" & cat; kill $!', 'sh', match], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const release = () => {
    lock.stdin.end();
    monitor.stdin.end();
  };
  const announced = new Promise<void>(resolve => {
    let said = '';
    monitor.stdout.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-textMax);
      if (/member=PrepareForShutdown\s+boolean true/.test(said)) resolve();
    });
  });
  const ended = new Promise<never>((_, reject) => {
    for (const child of [lock, monitor]) {
      child.stdin.on('error', () => undefined);
      child.on('error', error => reject(new Error(`cannot watch for the machine's shutdown: ${error.message}`)));
      child.on('exit', code => reject(new Error(`cannot watch for the machine's shutdown: a tool ended with ${code}`)));
    }
  });
  ended.catch(() => undefined);
  // dbus-monitor says first that it has its name: then the bus is there.
  const connected = new Promise<void>(resolve => monitor.stdout.once('data', () => resolve()));
  try {
    await Promise.race([connected, ended]);
  } catch (error) {
    release();
    throw error;
  }
  return { announced, release, [Symbol.dispose]: release };
}

const textMax = 4096;
