import type { Random } from '#base/random.ts';
import { Service } from '#api/core/v1/service.ts';
import { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { selectionOf } from '../cache/selection.ts';
import { keyOf, type Registry } from '../registry.ts';
import type { RemoteService } from './api-services.ts';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** Where services are, from the API server's own cache. */
export interface Endpoints {
  service(namespace: string, name: string): Service | undefined;
  slices(namespace: string, name: string): readonly EndpointSlice[];
  /**
   * A ready endpoint of a service's port: the API server's machine needs no service proxy to reach it. Throws an Error that
   * says what is missing.
   */
  resolve(remote: Pick<RemoteService, 'namespace' | 'service' | 'port'>): Endpoint;
}

const nameLabel = 'kubernetes.io/service-name';

export function endpointsFrom(registry: Registry, random: Random): Endpoints {
  const services = registry.of(Service as never);
  const endpointSlices = registry.of(EndpointSlice as never);
  const service = (namespace: string, name: string) =>
    services.cache.get(keyOf(services.kind, namespace, name))?.object as unknown as Service | undefined;
  const slices = (namespace: string, name: string) => {
    const selection = selectionOf(endpointSlices.kind, `${nameLabel}=${name}`, '');
    return endpointSlices.cache
      .select(`${namespace}/`, selection)
      .map(entry => entry.object as unknown as EndpointSlice);
  };
  return {
    service,
    slices,
    resolve({ namespace, service: name, port }) {
      const found = service(namespace, name);
      if (!found) throw new Error(`service ${JSON.stringify(name)} not found`);
      const { type = 'ClusterIP', externalName = '', ports = [] } = found.spec ?? {};
      if (type === 'ExternalName') return { host: externalName, port };
      const wanted = ports.find(each => each.port === port);
      if (!wanted) throw new Error(`no service port ${port} found for service ${JSON.stringify(name)}`);
      const choices = slices(namespace, name).flatMap(slice => {
        const target = (slice.ports ?? []).find(each => (each.name ?? '') === (wanted.name ?? ''))?.port;
        const ready = (slice.endpoints ?? []).filter(each => each.conditions?.ready !== false);
        return target === undefined ? [] : ready.flatMap(each => each.addresses.map(host => ({ host, port: target })));
      });
      const chosen = choices[Math.floor(random.next() * choices.length)];
      if (!chosen) throw new Error(`no endpoints available for service ${JSON.stringify(name)}`);
      return chosen;
    },
  };
}
