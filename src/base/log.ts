import { pino, type Logger as Pino } from 'pino';

/** A structured log, one JSON object a line. Child logs carry the component's name. */
export interface Log {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
  child(component: string): Log;
}

/** Writes to a file, or to standard error when none is given. */
export function openLog(options: { readonly file?: string; readonly level?: string } = {}): Log {
  const destination = pino.destination({ dest: options.file ?? 2, sync: false, mkdir: true, append: true });
  return over(pino({ level: options.level ?? 'info', base: null }, destination));
}

/** Swallows everything; for tests and for embedding. */
export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
};

function over(logger: Pino): Log {
  // Making the text of an Error costs more than most of what is logged at these levels.
  const writes =
    (level: 'debug' | 'info' | 'warn' | 'error') => (message: string, fields?: Record<string, unknown>) => {
      if (logger.isLevelEnabled(level)) logger[level](plain(fields), message);
    };
  return {
    debug: writes('debug'),
    info: writes('info'),
    warn: writes('warn'),
    error: writes('error'),
    child: component => over(logger.child({ component })),
  };
}

/** pino prints an Error only under the key `err`; ours may stand under any name. */
function plain(fields: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  const entries = Object.entries(fields).map(([key, value]) => [
    key,
    value instanceof Error ? (value.stack ?? value.message) : value,
  ]);
  return Object.fromEntries(entries) as Record<string, unknown>;
}
