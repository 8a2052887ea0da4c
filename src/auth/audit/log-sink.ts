import type { Clock } from '#base/clock.ts';
import { legacyLine, type EncodedEvent } from './event.ts';
import { RotatingFile, type RotationOptions } from './rotating-file.ts';
import type { AuditSink, SinkReport } from './sink.ts';

export interface LogSinkOptions extends RotationOptions {
  /** `-`: standard output. */
  readonly path: string;
  readonly format: 'json' | 'legacy';
}

/** One line an event. */
export async function openLogSink(options: LogSinkOptions, report: SinkReport, clock: Clock): Promise<AuditSink> {
  const lineOf = ({ event, json }: EncodedEvent) => `${options.format === 'json' ? json : legacyLine(event)}\n`;
  const file = options.path === '-' ? undefined : await RotatingFile.open(options.path, options, clock);
  const write = file ? (text: string) => file.write(text) : writeOut;
  return {
    async process(events) {
      try {
        await write(events.map(lineOf).join(''));
        return true;
      } catch (error) {
        report.metrics.failed('log', events.length);
        report.log.error('cannot write audit events', { error, events: events.length });
        return false;
      }
    },
    async [Symbol.asyncDispose]() {
      await file?.[Symbol.asyncDispose]();
    },
  };
}

function writeOut(text: string): Promise<void> {
  return new Promise((resolve, reject) =>
    process.stdout.write(text, error => {
      if (error) reject(error);
      else resolve();
    }),
  );
}
