import type { Service } from '#api/core/v1/service.ts';

/** Variables that lead to Services, as containers of old expect them: `REDIS_SERVICE_HOST`, `REDIS_PORT_6379_TCP`, … */
export function serviceEnvironment(services: Iterable<Service>): Map<string, string> {
  const found = new Map<string, string>();
  for (const service of services) {
    const ip = service.spec?.clusterIP ?? '';
    const ports = service.spec?.ports ?? [];
    const [first] = ports;
    if (ip === '' || ip === 'None' || !first) continue;
    const name = variableName(service.metadata.name ?? '');
    found.set(`${name}_SERVICE_HOST`, ip);
    found.set(`${name}_SERVICE_PORT`, String(first.port));
    for (const port of ports)
      if (port.name) found.set(`${name}_SERVICE_PORT_${variableName(port.name)}`, String(port.port));
    const host = ip.includes(':') ? `[${ip}]` : ip;
    const scheme = (protocol: string) => protocol.toLowerCase();
    found.set(`${name}_PORT`, `${scheme(first.protocol)}://${host}:${first.port}`);
    for (const { port, protocol } of ports) {
      const prefix = `${name}_PORT_${port}_${protocol.toUpperCase()}`;
      found.set(prefix, `${scheme(protocol)}://${host}:${port}`);
      found.set(`${prefix}_PROTO`, scheme(protocol));
      found.set(`${prefix}_PORT`, String(port));
      found.set(`${prefix}_ADDR`, ip);
    }
  }
  return found;
}

function variableName(name: string): string {
  return name.toUpperCase().replaceAll('-', '_');
}
