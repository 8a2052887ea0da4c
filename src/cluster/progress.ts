import type { Clock } from '#base/clock.ts';

/** Something that a start goes through, with a name a person understands. */
export type Step =
  | { readonly step: string; readonly state: 'started' }
  | { readonly step: string; readonly state: 'done'; readonly tookMs: number; readonly note?: string }
  | { readonly step: string; readonly state: 'failed'; readonly reason: string };

export interface Progress {
  report(step: Step): void;
  /** Runs a step with its time. */
  run<Result>(step: string, work: () => Promise<Result>): Promise<Result>;
}

/** A live list on a terminal, a line a finished step elsewhere. */
export function progressOn(output: NodeJS.WriteStream, clock: Clock): Progress {
  const open: string[] = [];
  const live = output.isTTY === true;

  const clear = () => {
    if (live && open.length > 0) output.write(`\u001b[${open.length}A\u001b[0J`);
  };
  const draw = () => {
    if (live) for (const step of open) output.write(`  \u001b[2m…\u001b[0m ${step}\n`);
  };

  return timed(clock, step => {
    clear();
    const at = open.indexOf(step.step);
    if (step.state === 'started') {
      if (at < 0) open.push(step.step);
    } else if (at >= 0) open.splice(at, 1);
    const note = step.state === 'done' && step.note ? `  ${step.note}` : '';
    if (step.state === 'done')
      output.write(`  ${live ? '\u001b[32m✓\u001b[0m' : '✓'} ${step.step.padEnd(24)} ${seconds(step.tookMs)}${note}\n`);
    if (step.state === 'failed')
      output.write(`  ${live ? '\u001b[31m✗\u001b[0m' : '✗'} ${step.step}: ${step.reason}\n`);
    draw();
  });
}

/** Steps of a child process travel to its supervisor as messages. */
export function progressTo(send: (step: Step) => void, clock: Clock): Progress {
  return timed(clock, send);
}

function timed(clock: Clock, report: (step: Step) => void): Progress {
  return {
    report,
    async run(step, work) {
      const startMs = clock.monotonic();
      report({ step, state: 'started' });
      try {
        const result = await work();
        report({ step, state: 'done', tookMs: clock.monotonic() - startMs });
        return result;
      } catch (error) {
        report({ step, state: 'failed', reason: error instanceof Error ? error.message : String(error) });
        throw error;
      }
    },
  };
}

function seconds(tookMs: number): string {
  return tookMs < 1000 ? `${Math.round(tookMs)} ms`.padStart(8) : `${(tookMs / 1000).toFixed(1)} s`.padStart(8);
}
