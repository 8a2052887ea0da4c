import { argCount, durationMs, only, wrong } from '../corefile.ts';
import type { Plugin } from '../plugin.ts';

/** Upstream's floors. */
const intervalMsMin = 2_000;
const jitterMsMin = 1_000;

/**
 * `reload [INTERVAL] [JITTER]`: another Corefile takes this one's place. The ConfigMap is watched, so it does at once; without
 * this line it does at the next start.
 */
export const reload: Plugin = directives => {
  const directive = only(directives);
  argCount(directive, 0, 2);
  const [interval, jitter] = directive.args;
  if (interval !== undefined && durationMs(directive, interval) < intervalMsMin)
    throw wrong(directive, 'interval value must be greater or equal to 2s');
  if (jitter !== undefined && durationMs(directive, jitter) < jitterMsMin)
    throw wrong(directive, 'jitter value must be greater or equal to 1s');
  return next => next;
};
