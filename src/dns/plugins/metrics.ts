import { argCount, only } from '../corefile.ts';
import { typeNames } from '../dns-metrics.ts';
import { addRoute } from '../http-endpoints.ts';
import { codeOf } from '../message.ts';
import { serverLabel, then, type Plugin } from '../plugin.ts';
import { placeOf } from './health.ts';

/** `prometheus [ADDRESS]`: counts queries and times one in sixteen; `/metrics` by HTTP. */
export const prometheus: Plugin = directives => {
  const directive = only(directives);
  argCount(directive, 0, 1);
  const place = placeOf(directive, directive.args[0] ?? 'localhost:9153');
  return (next, { metrics, clock, http, address, clusterZones }) => {
    if (!metrics) return next;
    addRoute(http, place(address), '/metrics', async () => ({
      status: 200,
      body: await metrics.registry.metrics(),
      contentType: metrics.registry.contentType,
    }));
    const zones = [...clusterZones, ''].map(zone => {
      const label = `${zone}.`;
      const requests = metrics.requests.get(label) ?? new Map<number, number>();
      const responses = metrics.responses.get(label) ?? new Map<number, number>();
      metrics.requests.set(label, requests);
      metrics.responses.set(label, responses);
      const labels = { server: serverLabel, view: '', zone: label };
      const seconds = metrics.requestSeconds.labels(labels);
      return { zone, suffix: `.${zone}`, inside: zone === '' ? 0 : 1, requests, responses, seconds };
    });
    let turn = 0;
    return (query, client) => {
      const { name } = query;
      // The last one is the root: there is always one.
      const counts = zones.find(({ zone, suffix }) => zone === '' || name.endsWith(suffix) || name === zone);
      if (!counts) return next(query, client);
      const { requests, responses, inside, seconds } = counts;
      // Types are whatever a client sends: only known ones have a number of their own.
      const type = typeNames.has(query.type) ? query.type : 0;
      const asked = (type << 2) | (client.transport === 'tcp' ? 2 : 0) | (client.address.includes(':') ? 1 : 0);
      count(requests, asked);
      const startMs = (turn++ & 15) === 0 ? clock.monotonic() : undefined;
      return then(next(query, client), answer => {
        if (startMs !== undefined) seconds.observe((clock.monotonic() - startMs) / 1000);
        const answered = (codeOf(answer) << 1) | inside;
        count(responses, answered);
        if (answer.kind !== 'records' || !answer.lasting) return answer;
        const again = () => {
          count(requests, asked);
          count(responses, answered);
        };
        return { ...answer, lasting: { isCurrent: answer.lasting.isCurrent, again } };
      });
    };
  };
};

function count(counts: Map<number, number>, key: number): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
