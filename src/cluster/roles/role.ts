import { systemClock, type Clock } from '#base/clock.ts';
import { sentenceOf, type FromRole, type ToRole } from '../messages.ts';
import { progressTo, type Progress } from '../progress.ts';

/** A role's process as its supervisor made it: where it reports, and what it is told. */
export interface RoleProcess {
  readonly clock: Clock;
  readonly progress: Progress;
  ready(): void;
  failed(error: unknown): void;
  /** Resolves when the supervisor says that the API server answers; at once when there is no supervisor. */
  readonly go: Promise<void>;
  /** `stop`: leave nothing behind. `leave`: end, but what runs goes on for the next process. */
  readonly ended: Promise<'stop' | 'leave'>;
  /** Lets go of the supervisor: an open channel to it would keep this process from ending. */
  release(): void;
}

export function roleProcess(): RoleProcess {
  const go = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<'stop' | 'leave'>();
  const send = process.send?.bind(process) as ((message: FromRole) => boolean) | undefined;
  const tell = (message: FromRole) => {
    if (process.connected) send?.(message);
  };
  if (!send) go.resolve();
  process.on('message', message => {
    const said = message as ToRole;
    if (said.type === 'go') go.resolve();
    else ended.resolve('stop');
  });
  // The supervisor is gone, or somebody ended just this process.
  process.on('disconnect', () => ended.resolve('leave'));
  if (send && !process.connected) ended.resolve('leave');
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => ended.resolve('leave'));
  return {
    clock: systemClock,
    progress: progressTo(step => tell({ type: 'step', step }), systemClock),
    ready: () => tell({ type: 'ready' }),
    failed: error => tell({ type: 'failed', reason: sentenceOf(error) }),
    go: go.promise,
    ended: ended.promise,
    release: () => {
      if (process.connected) process.disconnect?.();
    },
  };
}
