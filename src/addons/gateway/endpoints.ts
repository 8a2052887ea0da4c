import type { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { formatIp, parseIp } from '#base/ip.ts';
import type { ProxyBackend } from './model.ts';

/** The name of the Service that a slice is of. */
export function serviceOf({ metadata }: EndpointSlice): string {
  return metadata.labels?.['kubernetes.io/service-name'] ?? '';
}

/**
 * `ip:port` of the endpoints that take requests, sorted: those that are ready, and where none is those that end but still
 * answer.
 */
export function serversOf({ portName }: ProxyBackend, slices: Iterable<EndpointSlice>): readonly string[] {
  const ready = new Set<string>();
  const ending = new Set<string>();
  for (const { addressType, endpoints, ports } of slices) {
    if (addressType === 'FQDN') continue;
    const port = ports?.find(each => (each.name ?? '') === portName && (each.protocol ?? 'TCP') === 'TCP')?.port;
    if (port === undefined || port === null) continue;
    for (const { addresses, conditions } of endpoints ?? []) {
      const parsed = parseIp(addresses[0] ?? '');
      if (!parsed) continue;
      const ip = formatIp(parsed);
      const server = parsed.family === 6 ? `[${ip}]:${port}` : `${ip}:${port}`;
      if (conditions?.ready !== false) ready.add(server);
      else if (conditions.serving && conditions.terminating) ending.add(server);
    }
  }
  return [...(ready.size > 0 ? ready : ending)].sort();
}
