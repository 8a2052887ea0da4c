import { isIP } from 'node:net';
import { argCount, durationMs, only, wholeNumber, wrong, type Directive } from '../corefile.ts';
import { addRoute } from '../http-endpoints.ts';
import type { Plugin } from '../plugin.ts';

/** `health [ADDRESS] { lameduck DURATION }`: says at `/health` that the server runs. Queries pass untouched. */
export const health: Plugin = directives => {
  const directive = only(directives);
  argCount(directive, 0, 1);
  const place = placeOf(directive, directive.args[0] ?? ':8080');
  for (const property of directive.block) {
    // A node's agent ends with its node: there is nobody who would go on asking, so the wait is read and not made.
    if (property.name !== 'lameduck') throw wrong(property, 'unknown property of health');
    argCount(property, 1);
    durationMs(property, property.args[0]);
  }
  return (next, { http, address }) => {
    addRoute(http, place(address), '/health', () => ({ status: 200, body: 'OK' }));
    return next;
  };
};

/** `ready [ADDRESS]`: says at `/ready` that the server knows the cluster, or which plugins do not. */
export const ready: Plugin = directives => {
  const directive = only(directives);
  argCount(directive, 0, 1);
  const place = placeOf(directive, directive.args[0] ?? ':8181');
  return (next, { http, address, readiness }) => {
    addRoute(http, place(address), '/ready', () => {
      const waiting = [...readiness].filter(([, isReady]) => !isReady()).map(([name]) => name);
      return waiting.length === 0 ? { status: 200, body: 'OK' } : { status: 503, body: waiting.join(',') };
    });
    return next;
  };
};

/** `:8080`, `localhost:8080`, `10.0.0.1:8080`; without a host it is the server's own address, not every one of the node. */
export function placeOf(
  directive: Directive,
  text: string,
): (address: string) => { readonly host: string; readonly port: number } {
  const colon = text.lastIndexOf(':');
  if (colon < 0) throw wrong(directive, `${JSON.stringify(text)} has no port`);
  const port = wholeNumber(directive, text.slice(colon + 1), 0, 65_535);
  const host = text.slice(0, colon).replaceAll(/[[\]]/g, '');
  if (host !== '' && host !== 'localhost' && isIP(host) === 0)
    throw wrong(directive, `${JSON.stringify(host)} is no address`);
  return address => ({ host: host === '' || host === '0.0.0.0' || host === '::' ? address : host, port });
}
