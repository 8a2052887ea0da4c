import { argCount, durationMs, only, wrong } from '../corefile.ts';
import { failure, responseCode, type Answer } from '../message.ts';
import type { Pattern } from '../pattern.ts';
import type { Plugin } from '../plugin.ts';

interface Consolidation {
  readonly periodMs: number;
  readonly pattern: Pattern;
  readonly source: string;
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  count: number;
  showFirst: boolean;
}

const levels = { warning: 'warn', error: 'error', info: 'info', debug: 'debug' } as const;

/** `errors { consolidate DURATION REGEXP [LEVEL] [show_first] }`: whatever goes wrong is SERVFAIL and a line in the log. */
export const errors: Plugin = (directives, { pattern }) => {
  const directive = only(directives);
  argCount(directive, 0);
  const rules = directive.block
    .filter(each => each.name !== 'stacktrace')
    .map((each): Omit<Consolidation, 'count'> => {
      if (each.name !== 'consolidate') throw wrong(each, 'unknown property of errors');
      argCount(each, 2, 4);
      const [period, source = '', ...rest] = each.args;
      const showFirst = rest.includes('show_first');
      const level = rest.find(word => word !== 'show_first') ?? 'error';
      if (!Object.hasOwn(levels, level)) throw wrong(each, `${JSON.stringify(level)} is no level`);
      try {
        return {
          periodMs: durationMs(each, period),
          pattern: pattern(source),
          source,
          level: levels[level as keyof typeof levels],
          showFirst,
        };
      } catch (error) {
        throw wrong(each, error instanceof Error ? error.message : String(error));
      }
    });
  return (next, { log, lifetime, clock }) => {
    const consolidations: Consolidation[] = rules.map(rule => ({ ...rule, count: 0 }));
    const failed = (name: string, error: unknown): Answer => {
      if (lifetime.signal.aborted) return failure(responseCode.SERVFAIL);
      const message = error instanceof Error ? error.message : String(error);
      const rule = consolidations.find(each => each.pattern.exec(message) !== undefined);
      if (!rule || (rule.showFirst && rule.count === 0)) log.warn('cannot answer a query', { name, error });
      if (rule && rule.count++ === 0) {
        const cancel = clock.after(rule.periodMs, () => {
          const { count, source: errorsLike, periodMs, level } = rule;
          log[level]('cannot answer queries', { count, errorsLike, periodMs });
          rule.count = 0;
        });
        lifetime.signal.addEventListener('abort', cancel, { once: true });
      }
      return failure(responseCode.SERVFAIL);
    };
    return (query, client) => {
      try {
        const answer = next(query, client);
        return answer instanceof Promise ? answer.catch((error: unknown) => failed(query.name, error)) : answer;
      } catch (error) {
        return failed(query.name, error);
      }
    };
  };
};
