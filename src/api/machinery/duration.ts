/** A span as people read it, upstream's way: `45s`, `3m20s`, `5h`, `12d`. */
export function formatDuration(durationMs: number): string {
  const seconds = Math.trunc(durationMs / 1000);
  // Two seconds of disagreement between clocks are none.
  if (seconds < -1) return '<invalid>';
  if (seconds < 0) return '0s';
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes < 10) return pair(minutes, 'm', seconds % 60, 's');
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.trunc(minutes / 60);
  if (hours < 8) return pair(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  const days = Math.trunc(hours / 24);
  if (hours < 192) return pair(days, 'd', hours % 24, 'h');
  if (days < 365 * 2) return `${days}d`;
  const years = Math.trunc(days / 365);
  if (days < 365 * 8) return pair(years, 'y', days % 365, 'd');
  return `${years}y`;
}

/** The time since an RFC 3339 instant; `<unknown>` when there is none. */
export function formatAge(timestamp: string | undefined | null, nowMs: number): string {
  if (!timestamp) return '<unknown>';
  return formatDuration(nowMs - Date.parse(timestamp));
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`;
}

/** Milliseconds of a duration as Go writes it: `1h30m`, `250ms`. Throws an Error in Go's words. */
export function parseGoDuration(text: string): number {
  const invalid = () => new Error(`time: invalid duration ${JSON.stringify(text)}`);
  const [, sign = '', rest = ''] = /^([-+]?)(.*)$/s.exec(text) ?? [];
  if (rest === '0') return 0;
  if (rest === '') throw invalid();
  let totalMs = 0;
  for (let at = 0; at < rest.length; ) {
    const match = /^([0-9]*\.?[0-9]*)([^0-9.]*)/.exec(rest.slice(at)) as RegExpExecArray;
    const [all, number = '', unit = ''] = match;
    if (!/[0-9]/.test(number)) throw invalid();
    if (unit === '') throw new Error(`time: missing unit in duration ${JSON.stringify(text)}`);
    const unitMs = Object.hasOwn(goUnitsMs, unit) ? goUnitsMs[unit] : undefined;
    if (unitMs === undefined)
      throw new Error(`time: unknown unit ${JSON.stringify(unit)} in duration ${JSON.stringify(text)}`);
    totalMs += Number(number) * unitMs;
    at += all.length;
  }
  // Go counts nanoseconds in 64 bits.
  if (totalMs > 9_223_372_036_854) throw invalid();
  return sign === '-' ? -totalMs : totalMs;
}

/** As Go writes a duration: `1h30m0s`, `1.5s`, `250ms`, `0s`. */
export function formatGoDuration(durationMs: number): string {
  if (durationMs === 0) return '0s';
  const sign = durationMs < 0 ? '-' : '';
  const ms = Math.abs(durationMs);
  if (ms < 0.001) return `${sign}${decimals(ms * 1_000_000)}ns`;
  if (ms < 1) return `${sign}${decimals(ms * 1_000)}µs`;
  if (ms < 1_000) return `${sign}${decimals(ms)}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor(ms / 60_000) % 60;
  const seconds = decimals((ms % 60_000) / 1_000);
  return `${sign}${hours > 0 ? `${hours}h` : ''}${hours > 0 || minutes > 0 ? `${minutes}m` : ''}${seconds}s`;
}

const goUnitsMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

function decimals(value: number): string {
  return value.toFixed(9).replace(/\.?0+$/, '');
}
