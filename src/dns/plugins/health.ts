import { createServer } from 'node:http';
import type { Plugin } from '../plugin.ts';

/** By HTTP: `/health` says that the server runs, `/ready` that it knows the cluster. Queries pass untouched. */
export const health: Plugin = (next, { healthPort, address, records, log, lifetime }) => {
  if (healthPort === undefined) return next;
  const server = createServer((request, response) => {
    const known = request.url === '/health' || request.url === '/ready';
    const ok = known && (request.url === '/health' || records.hasSynced);
    response.writeHead(ok ? 200 : known ? 503 : 404, { 'Content-Type': 'text/plain' });
    response.end(ok ? 'OK' : known ? 'kubernetes' : '');
  });
  server.on('error', error => log.error('cannot serve the health of DNS', { port: healthPort, error }));
  server.listen(healthPort, address);
  lifetime.defer(() => {
    server.close();
    server.closeAllConnections();
  });
  return next;
};
