import type { WebhookClientConfig } from '#api/admissionregistration/v1/webhook-client-config.ts';
import { Service } from '#api/core/v1/service.ts';
import { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import type { Sources } from '../sources.ts';

/** Where a webhook is called, and whose certificate it has to show. */
export interface WebhookTarget {
  readonly url: string;
  /** Who is dialled instead of the URL's host. */
  readonly address: string | undefined;
  readonly port: number;
  readonly caPem: string | undefined;
}

/**
 * A service is called at one of its ready endpoints, under the name `<service>.<namespace>.svc`: the API server's machine
 * needs neither cluster DNS nor the service proxy. Throws an Error when there is nobody to call.
 */
export async function targetOf(
  { service, url, caBundle }: WebhookClientConfig,
  sources: Pick<Sources, 'client' | 'random'>,
): Promise<WebhookTarget> {
  const caPem = caBundle ? Buffer.from(caBundle, 'base64').toString() : undefined;
  if (!service) {
    const parsed = new URL(url ?? '');
    return { url: parsed.href, address: undefined, port: Number(parsed.port || 443), caPem };
  }
  const { namespace, name, port = 443 } = service;
  const endpoint = await endpointOf(namespace, name, port, sources);
  return {
    url: urlOf({ service }),
    address: endpoint.address,
    port: endpoint.port,
    caPem,
  };
}

async function endpointOf(
  namespace: string,
  name: string,
  port: number,
  { client, random }: Pick<Sources, 'client' | 'random'>,
) {
  const { spec } = await client.get(Service, name, { namespace });
  if (spec?.type === 'ExternalName' && spec.externalName) return { address: spec.externalName, port };
  const servicePort = (spec?.ports ?? []).find(each => each.port === port);
  if (!servicePort) throw new Error(`no service port ${port} found for service ${JSON.stringify(name)}`);
  const labelSelector = `kubernetes.io/service-name=${name}`;
  const slices = await client.list(EndpointSlice, { namespace, labelSelector });
  const choices = slices.items.flatMap(slice => {
    const target = (slice.ports ?? []).find(each => (each.name ?? '') === (servicePort.name ?? ''))?.port;
    const ready = (slice.endpoints ?? []).filter(each => each.conditions?.ready !== false);
    return target === undefined
      ? []
      : ready.flatMap(each => each.addresses.map(address => ({ address, port: target })));
  });
  const chosen = choices[Math.floor(random.next() * choices.length)];
  if (!chosen) throw new Error(`no endpoints available for service ${JSON.stringify(name)}`);
  return chosen;
}

/** The address as messages name it, with the time that the webhook has. */
export function postUrlOf(config: WebhookClientConfig, timeoutMs: number): string {
  const parsed = new URL(urlOf(config));
  parsed.searchParams.set('timeout', `${timeoutMs / 1000}s`);
  return parsed.href;
}

function urlOf({ service, url }: WebhookClientConfig): string {
  if (!service) return url ?? '';
  const { namespace, name, path = '', port = 443 } = service;
  return `https://${name}.${namespace}.svc:${port}${path === '' || path.startsWith('/') ? path : `/${path}`}`;
}
