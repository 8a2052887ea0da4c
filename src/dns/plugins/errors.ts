import { failure, responseCode, type Answer } from '../message.ts';
import type { Plugin } from '../plugin.ts';

/** Whatever goes wrong behind it is SERVFAIL to the client and a line in the log. */
export const errors: Plugin = (next, { log, lifetime }) => {
  const failed = (name: string, error: unknown): Answer => {
    if (!lifetime.signal.aborted) log.warn('cannot answer a query', { name, error });
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
