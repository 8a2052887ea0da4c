import { codeOf } from '../message.ts';
import { then, type Plugin } from '../plugin.ts';

/** A line a query, when it is asked for. */
export const log: Plugin = (next, { log: lines, logQueries, clock }) => {
  if (!logQueries) return next;
  return (query, client) => {
    const startMs = clock.monotonic();
    return then(next(query, client), answer => {
      lines.info('query', {
        name: query.name,
        type: query.type,
        client: client.address,
        transport: client.transport,
        code: codeOf(answer),
        ms: clock.monotonic() - startMs,
      });
      return answer;
    });
  };
};
