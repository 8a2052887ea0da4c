import type { Random } from '#base/random.ts';
import { errors } from '#api/machinery/errors.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { Service } from '#api/core/v1/service.ts';
import { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import type { Client } from '#client/client.ts';
import type { Backend } from './backend.ts';
import type { NodeAgents } from './node-agent.ts';

export interface ProxySources {
  readonly client: Client;
  readonly agents: NodeAgents;
  readonly random: Random;
}

/** What `[scheme:]name[:port]` names. */
export interface ProxyName {
  readonly scheme: '' | 'http' | 'https';
  readonly name: string;
  readonly port: string;
}

export function parseProxyName(text: string): ProxyName | undefined {
  const parts = text.split(':');
  const [first = '', second = '', third = ''] = parts;
  if (parts.length === 1 && first !== '') return { scheme: '', name: first, port: '' };
  if (parts.length === 2 && first !== '') return { scheme: '', name: first, port: second };
  const scheme = first as ProxyName['scheme'];
  if (parts.length === 3 && second !== '' && ['', 'http', 'https'].includes(first))
    return { scheme, name: second, port: third };
  return undefined;
}

/** The server of a pod: the port it is asked for, or the first one it declares. */
export async function podBackend({ client }: ProxySources, namespace: string, asked: string): Promise<Backend> {
  const wanted = parseProxyName(asked);
  if (!wanted) throw errors.badRequest(`invalid pod request ${JSON.stringify(asked)}`);
  const pod = await client.get(Pod, wanted.name, { namespace });
  const declared = pod.spec?.containers.flatMap(each => each.ports ?? [])[0]?.containerPort;
  const scheme = wanted.scheme || 'http';
  const port = wanted.port === '' ? (declared ?? standardPort(scheme)) : numberOf(wanted.port);
  return backend(scheme, pod.status?.podIP ?? '', port);
}

/** A ready endpoint of a service. */
export async function serviceBackend(
  { client, random }: ProxySources,
  namespace: string,
  asked: string,
): Promise<Backend> {
  const wanted = parseProxyName(asked);
  if (!wanted) throw errors.badRequest(`invalid service request ${JSON.stringify(asked)}`);
  const service = await client.get(Service, wanted.name, { namespace });
  const ports = service.spec?.ports ?? [];
  const portName = /^\d+$/.test(wanted.port)
    ? (ports.find(each => each.port === Number(wanted.port))?.name ??
      (ports.some(each => each.port === Number(wanted.port)) ? '' : undefined))
    : wanted.port === '' && ports.length === 1
      ? (ports[0]?.name ?? '')
      : wanted.port;
  if (portName === undefined)
    throw errors.serviceUnavailable(`no service port ${wanted.port} found for service ${JSON.stringify(wanted.name)}`);
  const labelSelector = `kubernetes.io/service-name=${wanted.name}`;
  const slices = await client.list(EndpointSlice, { namespace, labelSelector });
  const choices = slices.items.flatMap(slice => {
    const port = (slice.ports ?? []).find(each => (each.name ?? '') === portName)?.port;
    const ready = (slice.endpoints ?? []).filter(each => each.conditions?.ready !== false);
    return port === undefined ? [] : ready.flatMap(each => each.addresses.map(address => ({ address, port })));
  });
  const chosen = choices[Math.floor(random.next() * choices.length)];
  if (!chosen) throw errors.serviceUnavailable(`no endpoints available for service ${JSON.stringify(wanted.name)}`);
  return backend(wanted.scheme || 'http', chosen.address, chosen.port);
}

/** A node's agent, or another port of the node. */
export async function nodeBackend({ agents }: ProxySources, asked: string): Promise<Backend> {
  const wanted = parseProxyName(asked);
  if (!wanted) throw errors.badRequest(`invalid node request ${JSON.stringify(asked)}`);
  const agent = await agents.of(wanted.name);
  if (wanted.port === '' || Number(wanted.port) === agent.port) return agent;
  return backend(wanted.scheme || 'http', agent.host, numberOf(wanted.port));
}

/** The API server's own network is none of a pod's addresses: what it alone can reach is not proxied. */
function backend(scheme: 'http' | 'https', host: string, port: number): Backend {
  if (host === '') throw errors.badRequest('address not allowed');
  if (isLocal(host)) throw errors.badRequest('address not allowed');
  return { scheme, host, port };
}

/** Loopback, link-local, multicast and unspecified addresses, in every spelling of IPv4 within IPv6. */
export function isLocal(host: string): boolean {
  const ip = host.toLowerCase().replace(/^::ffff:/, '');
  if (/^(127\.|169\.254\.|0\.|22[4-9]\.|23\d\.)/.test(ip)) return true;
  return ip === 'localhost' || ip === '::1' || ip === '::' || /^fe[89ab]/.test(ip) || ip.startsWith('ff');
}

function standardPort(scheme: 'http' | 'https'): number {
  return scheme === 'http' ? 80 : 443;
}

function numberOf(port: string): number {
  const value = Number(port);
  if (!/^\d+$/.test(port) || value < 1 || value > 65_535)
    throw errors.badRequest(`invalid port ${JSON.stringify(port)}`);
  return value;
}
